"""Runs on disk: what is kept, what is offered again, and what is removed; told by what is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from house.environment import with_libraries
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.panel.run_folder import Reached, Run, RunClass
from SemiSegTrainerLib.panel.runs import Runs
from SemiSegTrainerLib.worker.protocol import Part, Train

CLASSES = (RunClass("bright", (1.0, 0.5, 0.0)), RunClass("dark", (0.0, 0.5, 1.0)))
PARTS = (Part("unet", {"channels": [4, 8]}), Part("unet", {"channels": [4, 8]}))


def train(name: str = "My model", **more: Any) -> Train:
    return Train("", "", "supervised", iterations=5, size=(32, 48), branches=PARTS, name=name, **more)


def whole(steps: Iterable[Any]) -> None:
    for _ in steps:
        pass


def prepared(run: Run) -> Run:
    run.data.mkdir()
    run.datalist.write_text("{}")
    whole(run.settle())
    return run


def trained(run: Run) -> Run:
    prepared(run)
    (run.out / "checkpoints").mkdir(parents=True)
    (run.out / "checkpoints" / "last.ckpt").write_bytes(b"saved")
    run.model.write_bytes(b"model")
    (run.out / "summary.json").write_text('{"finished": true}')
    return run


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


def test_what_was_asked_for_comes_back_from_the_disk(runs: Runs) -> None:
    begun = prepared(runs.begin(train("Cervix, é 2", start=str(runs.root)), CLASSES, {"a": "Picture"}))
    begun.note(Reached(7, 40, 12.5))
    begun.release()
    (found,) = runs.unfinished()
    assert (found, found.about) == (begun, begun.about)
    assert (found.name, found.reached) == ("Cervix, é 2", Reached(7, 40, 12.5))
    message = found.message()
    assert message.branches == PARTS
    assert message.size == (32, 48)
    assert Path(message.datalist) == found.datalist
    assert Path(message.out) == found.out
    assert message.start == str(found.start), "its own copy, whatever becomes of the other"
    assert not message.resume
    assert os.sep not in begun.folder.name
    assert begun.folder.name.isascii()


def test_who_works_on_a_run_keeps_others_off(runs: Runs, tmp_path: Path) -> None:
    run = prepared(runs.begin(train(), CLASSES))
    assert runs.unfinished() == [], "it runs here"
    other = Run(run.folder, run.about)
    assert not other.hold()
    run.release()
    holds = (
        "import sys\n"
        "from pathlib import Path\n"
        "from SemiSegTrainerLib.panel.run_folder import Run\n"
        "assert Run(Path(sys.argv[1]), None).hold(); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holds, str(run.folder)],
        env=with_libraries(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"held"
        assert runs.unfinished() == [], "another program works on it"
        whole(runs.tidy())
        assert run.prepared
        process.kill()
    assert runs.unfinished() == [run], "it was killed, and the system took its lock"


def test_a_run_is_free_at_once_though_another_process_is_just_being_started(runs: Runs) -> None:
    """What was forked and has not begun its program yet holds a copy of every open file."""
    run = prepared(runs.begin(train(), CLASSES))
    copy = os.dup(run._lock)
    run.release()
    assert runs.unfinished() == [run]
    os.close(copy)


def test_going_on_needs_something_saved(runs: Runs) -> None:
    run = prepared(runs.begin(train(), CLASSES))
    (run.out / "checkpoints").mkdir(parents=True)
    (run.out / "checkpoints" / "last.ckpt.part").write_bytes(b"half")
    assert not run.message().resume
    assert not run.out.exists(), "what was not finished would be in the way"
    (run.out / "checkpoints").mkdir(parents=True)
    (run.out / "checkpoints" / "last.ckpt").write_bytes(b"saved")
    assert run.message().resume
    assert run.saved
    fold = run.out / "checkpoints" / "fold-1" / "last.ckpt"
    fold.parent.mkdir()
    fold.write_bytes(b"damaged")
    run.start_over(damaged=f"The checkpoint {fold} is damaged")
    assert not fold.exists()
    assert run.message().resume, "the training itself was good"
    run.start_over(damaged=f"The checkpoint {run.out / 'checkpoints' / 'last.ckpt'} is damaged")
    assert not run.message().resume
    assert run.prepared


def test_two_runs_of_one_second_have_folders_of_their_own(runs: Runs) -> None:
    assert len({runs.begin(train(), CLASSES).folder for _ in range(3)}) == 3


def test_what_was_never_begun_is_removed_once_its_owner_is_gone(runs: Runs) -> None:
    run = runs.begin(train(), CLASSES)
    (run.folder / ".data.1234").mkdir()
    (run.folder / ".data.1234" / "image.png").write_bytes(b"half")
    old(run.folder)
    whole(runs.tidy())
    assert run.folder.exists(), "it is ours"
    run.release()
    assert runs.unfinished() == []
    whole(runs.tidy())
    assert list(runs.root.iterdir()) == []


def test_a_removal_that_was_interrupted_is_finished_the_next_time(runs: Runs) -> None:
    run = trained(runs.begin(train(), CLASSES))
    steps = iter(run.discard())
    next(steps)
    assert runs.unfinished() == []
    del steps
    assert len(list(runs.root.iterdir())) == 1
    whole(runs.tidy())
    assert list(runs.root.iterdir()) == []


def test_of_installed_runs_the_latest_keeps_its_data_and_nothing_else(runs: Runs) -> None:
    made = []
    for number in range(2):
        run = trained(runs.begin(train(f"model {number}"), CLASSES))
        assert run.trained
        assert not run.installed
        run.complete(Path("/somewhere/model.semiseg"))
        run.release()
        os.utime(run.folder / "result.json", (time.time() + number, time.time() + number))
        made.append(run)
    assert runs.unfinished() == []
    whole(runs.tidy())
    assert runs.latest() == made[1]
    assert not made[0].folder.exists()
    assert made[1].prepared
    assert not made[1].saved
    assert not made[1].model.exists()
    assert made[1].result == {"model": "/somewhere/model.semiseg", "summary": {"finished": True}}


def test_a_run_that_cannot_be_read_is_offered_only_to_be_discarded(runs: Runs) -> None:
    for number, change in enumerate(({"version": 999}, {"unheard": 1}, None)):
        run = prepared(runs.begin(train(), CLASSES))
        path = run.folder / "run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}) if change else '{"version": 1, "cre')
        run.release()
        assert len(runs.unfinished()) == number + 1
    for run in runs.unfinished():
        assert run.about is None
        with pytest.raises(SemiSegError) as caught:
            run.message()
        assert caught.value.code == "unknown-run"
        whole(run.discard())
    assert runs.unfinished() == []


def test_the_model_that_is_started_from_is_copied(runs: Runs, tmp_path: Path) -> None:
    pack = tmp_path / "given.semiseg"
    pack.write_bytes(b"x" * 2**20)
    run = runs.begin(train(start=str(pack)), CLASSES)
    steps = iter(run.copy_start())
    next(steps)
    assert not run.start.exists(), "whole or not at all"
    whole(steps)
    pack.unlink()
    assert run.start.read_bytes() == b"x" * 2**20
    whole(run.copy_start())
    lost = runs.begin(train(start=str(pack)), CLASSES)
    with pytest.raises(SemiSegError) as caught:
        whole(lost.copy_start())
    assert caught.value.code == "missing-file"
    folder = tmp_path / "folder.semiseg"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    unpacked = runs.begin(train(start=str(folder)), CLASSES)
    whole(unpacked.copy_start())
    assert (unpacked.start / "model.json").read_text() == "{}"


def test_settling_asks_the_disk_for_every_file(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs.begin(train(), CLASSES)
    (run.data / "images").mkdir(parents=True)
    (run.data / "images" / "a.png").write_bytes(b"a")
    run.datalist.write_text("{}")
    synced: set[tuple[int, int]] = set()
    real = os.fsync

    def fsync(handle: int) -> None:
        found = os.fstat(handle)
        synced.add((found.st_dev, found.st_ino))
        real(handle)

    monkeypatch.setattr("os.fsync", fsync)
    assert not run.prepared, "a power cut now could leave empty files"
    whole(run.settle())
    assert run.prepared
    for path in (run.datalist, run.data / "images" / "a.png", run.folder / "run.json", run.data, run.folder, runs.root):
        assert (path.stat().st_dev, path.stat().st_ino) in synced, path


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SemiSegError) as caught:
        Runs(tmp_path / "file" / "runs").begin(train(), CLASSES)
    assert caught.value.code == "cannot-write"


def test_the_usual_place_is_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEMISEG_RUNS", str(tmp_path / "elsewhere"))
    assert Runs().root == tmp_path / "elsewhere"


def old(folder: Path) -> None:
    os.utime(folder, (time.time() - 3600, time.time() - 3600))
