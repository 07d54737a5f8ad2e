"""Versions of models: every one is kept, one is in use, and nothing is written over."""

from __future__ import annotations

import errno
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packs import find_packs
from SemiSegTrainerLib import versions as kept
from SemiSegTrainerLib.versions import SHIPPED, install, install_steps, names, restore, restore_steps, versions


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """A run's model, each of its own content and time."""
    made: list[Path] = []

    def make(content: bytes = b"") -> Path:
        path = tmp_path / f"run-{len(made)}" / "model.semiseg"
        path.parent.mkdir()
        path.write_bytes(content or b"model %d" % len(made))
        os.utime(path, (1000 + len(made), 1000 + len(made)))
        made.append(path)
        return path

    return make


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def told(name: str) -> list[tuple[int, str, bool]]:
    return [(version.number, version.origin, version.current) for version in versions(name)]


def test_a_trained_model_is_listed_at_once_and_every_version_stays(models: Path, run: Callable[..., Path]) -> None:
    assert versions("heart") == []
    first = install(run(), "heart", {"validation": {"dice": 0.5}})
    assert (first.number, first.origin, first.current) == (1, "trained", True)
    assert find_packs()["heart"].read_bytes() == b"model 0"
    second = install(run(), "heart", {"validation": {"dice": 0.6}})
    assert find_packs() == {"heart": models / "heart.semiseg"}
    assert find_packs()["heart"].read_bytes() == b"model 1"
    assert told("heart") == [(1, "trained", False), (2, "trained", True)]
    assert [v.summary["validation"]["dice"] for v in versions("heart")] == [0.5, 0.6]
    assert [v.seconds for v in versions("heart")] == [1000, 1001]
    assert first.path.read_bytes() == b"model 0"
    assert second.path.read_bytes() == b"model 1"
    assert names() == ["heart"]


def test_an_earlier_version_is_used_again_and_the_later_one_stays(models: Path, run: Callable[..., Path]) -> None:
    for _ in range(3):
        install(run(), "heart")
    before = {v.number: v.path.read_bytes() for v in versions("heart")}
    back = restore(versions("heart")[0])
    assert (back.number, back.current) == (1, True)
    assert find_packs()["heart"].read_bytes() == b"model 0"
    assert {v.number: v.path.read_bytes() for v in versions("heart")} == before
    assert restore(back) == back
    assert restore(versions("heart")[2]).number == 3
    assert told("heart") == [(1, "trained", False), (2, "trained", False), (3, "trained", True)]
    # What is trained from here is the fourth.
    assert install(run(), "heart").number == 4


def test_a_model_that_the_user_added_is_kept_before_it_makes_room(models: Path, run: Callable[..., Path]) -> None:
    (models / "heart.semiseg").write_bytes(b"the user's own")
    assert told("heart") == [(1, "added", True)]
    assert names() == []
    assert install(run(), "heart").number == 2
    assert told("heart") == [(1, "added", False), (2, "trained", True)]
    (models / "heart.semiseg").write_bytes(b"copied over by hand")
    assert told("heart") == [(1, "added", False), (2, "trained", False), (3, "added", True)]
    restore(versions("heart")[0])
    assert told("heart") == [(1, "added", True), (2, "trained", False), (3, "added", False)]
    assert [v.path.read_bytes() for v in versions("heart")] == [b"the user's own", b"model 0", b"copied over by hand"]


def test_the_shipped_one_comes_back(models: Path, run: Callable[..., Path], tmp_path, monkeypatch) -> None:
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "carotid.semiseg").write_bytes(b"shipped")
    monkeypatch.setattr(kept, "resource_folder", lambda kind: shipped)
    monkeypatch.setattr("SemiSegCervicalLib.packs.resource_folder", lambda kind: shipped)
    assert told("carotid") == [(SHIPPED, "shipped", True)]
    install(run(), "carotid")
    assert told("carotid") == [(SHIPPED, "shipped", False), (1, "trained", True)]
    restore(versions("carotid")[0])
    assert find_packs()["carotid"].read_bytes() == b"shipped"
    assert told("carotid") == [(SHIPPED, "shipped", True), (1, "trained", False)]
    restore(versions("carotid")[1])
    assert find_packs()["carotid"].read_bytes() == b"model 0"


def test_an_unpacked_model_is_a_version_like_any_other(models: Path, trained: Path, run: Callable[..., Path]) -> None:
    with zipfile.ZipFile(trained) as archive:
        archive.extractall(models / "heart.semiseg")
    content = everything(models / "heart.semiseg")
    install(run(), "heart")
    assert told("heart") == [(1, "added", False), (2, "trained", True)]
    restore(versions("heart")[0])
    assert told("heart") == [(1, "added", True), (2, "trained", False)]
    assert everything(models / "heart.semiseg") == content == everything(versions("heart")[0].path)
    restore(versions("heart")[1])
    assert told("heart") == [(1, "added", False), (2, "trained", True)]


@pytest.mark.parametrize("step", range(4))
def test_whatever_is_interrupted_leaves_the_old_or_the_new(models: Path, run: Callable[..., Path], step: int) -> None:
    """The user closes the panel at each moment of it; afterwards the run is taken over all the same."""
    install(run(), "heart")
    model = run(b"x" * (2 * kept._PIECE_BYTES))
    steps = install_steps(model, "heart")
    for _ in range(step):
        next(steps)
    steps.close()
    assert find_packs()["heart"].read_bytes() == b"model 0"
    assert not list(models.rglob("*.part"))
    assert (told("heart")[0], len(told("heart"))) == ((1, "trained", True), 2 if step > 2 else 1)
    assert install(model, "heart").number == 2
    assert told("heart") == [(1, "trained", False), (2, "trained", True)]


@pytest.mark.parametrize("moment", range(2))
def test_a_full_disk_changes_nothing(models: Path, run: Callable[..., Path], monkeypatch, moment: int) -> None:
    install(run(), "heart")
    left = [moment]

    def full(handle: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(kept.os, "fsync", full)
    model = run()
    with pytest.raises(SemiSegError, match="nothing was lost") as caught:
        install(model, "heart")
    assert "No space left" in caught.value.cause
    assert find_packs()["heart"].read_bytes() == b"model 0"
    assert [v for v in told("heart") if v[2]] == [(1, "trained", True)]
    assert not list(models.rglob("*.part"))
    monkeypatch.undo()
    monkeypatch.setenv("SEMISEG_MODELS", str(models))
    assert install(model, "heart").number == 2


def test_a_version_is_chosen_while_another_is_installed(models: Path, run: Callable[..., Path]) -> None:
    """Each copies a few megabytes at a time; their copies must not be mixed."""
    size = 3 * kept._PIECE_BYTES
    install(run(b"a" * size), "heart")
    install(run(b"b" * size), "heart")
    steps = [install_steps(run(b"c" * size), "heart"), restore_steps(versions("heart")[0])]
    while steps:
        for work in list(steps):
            try:
                next(work)
            except StopIteration:
                steps.remove(work)
    assert find_packs()["heart"].read_bytes() in (letter * size for letter in (b"a", b"c"))
    assert len(versions("heart")) == 3
    assert not list(models.rglob("*.part"))


def test_two_programs_at_once_take_two_numbers(models: Path, run: Callable[..., Path]) -> None:
    first, second = run(), run()
    one, other = install_steps(first, "heart"), install_steps(second, "heart")
    next(one)
    next(other)
    assert {version.number for version in (_end(one), _end(other))} == {1, 2}
    assert sorted(v.path.read_bytes() for v in versions("heart")) == [b"model 0", b"model 1"]


def _end(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize(
    "name", ["", " heart", "heart ", ".heart", "a/b", "a\\b", "..", "con", "COM1.old", "a:b", "a\nb", "x" * 81]
)
def test_a_name_that_no_file_can_have_is_refused(models: Path, run: Callable[..., Path], name: str) -> None:
    with pytest.raises(SemiSegError, match="cannot be the name"):
        install(run(), name)
    assert list(models.iterdir()) == []


def test_what_is_gone_is_refused(models: Path, run: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(SemiSegError, match="There is no model"):
        install(tmp_path / "nothing.semiseg", "heart")
    install(run(), "heart")
    install(run(), "heart")
    first = versions("heart")[0]
    shutil.rmtree(first.path.parent)
    with pytest.raises(SemiSegError, match="not there any more"):
        restore(first)
    assert told("heart") == [(2, "trained", True)]
    # The number of one that is gone is not given away again while a later one is there.
    assert install(run(), "heart").number == 3
    (versions("heart")[0].path.parent / kept.ABOUT).write_text("no JSON")
    assert [v.summary for v in versions("heart")] == [{}, {}]
