"""Cases that memory is not to hold lie in a file, of which nothing is seen and nothing is left."""

import subprocess
import sys
import textwrap

import pytest
import torch
from SemiSegTrainerLib.learning import data as reading
from SemiSegTrainerLib.learning import memory, storage
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.run import train_model
from SemiSegTrainerLib.learning.storage import Storage
from SemiSegTrainerLib.learning.training import Settings
from TrainingRig import cases, parts


def some():
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(1, 5, 7, generator=generator),
        torch.randint(1, 8, (5, 7), generator=generator, dtype=torch.int32),
        torch.randn(3, 4, generator=generator).T,  # not contiguous
        torch.randint(0, 2, (11,), generator=generator, dtype=torch.uint8),
        torch.randn(2, 3, 4, 5, generator=generator),
    ]


@pytest.mark.parametrize("in_memory", [0, 150, 10_000], ids=["file", "both", "memory"])
def test_what_is_put_in_comes_back_in_its_order(tmp_path, in_memory):
    kept, given = Storage(tmp_path / "made when needed", in_memory), some()
    for tensor in given:
        kept.put(tensor)
    found = kept.all()
    held = [tensor for tensor in given if any(tensor is other for other in found)]
    assert sum(tensor.nbytes for tensor in held) <= in_memory
    assert [(t.dtype, t.shape) for t in found] == [(t.dtype, t.shape) for t in some()]
    assert all(map(torch.equal, found, some()))
    assert (tmp_path / "made when needed").exists() == (in_memory < 10_000), "a file is made where it is needed"
    found[-1].zero_()
    assert not kept.all()[-1].any(), "a private copy of the file would have to fit into memory"


def test_nothing_is_put_in():
    assert Storage().all() == ()


def test_the_file_goes_with_the_last_tensor(tmp_path):
    kept = Storage(tmp_path, 0)
    kept.put(some()[0])
    found = kept.all()
    del kept
    assert torch.equal(found[0], some()[0])
    del found
    assert not list(tmp_path.iterdir())


def test_a_process_that_is_killed_leaves_no_file(tmp_path):
    code = """
        import os, signal, sys, torch
        from pathlib import Path
        from SemiSegTrainerLib.learning.storage import Storage
        kept = Storage(Path(sys.argv[1]), 0)
        kept.put(torch.ones(1000))
        found = kept.all()
        print(float(found[0].sum()), flush=True)
        os.kill(os.getpid(), signal.SIGTERM)
        """
    told = subprocess.run([sys.executable, "-c", textwrap.dedent(code), tmp_path], capture_output=True, text=True)
    assert told.stdout.strip() == "1000.0", told.stderr
    assert told.returncode != 0
    assert not list(tmp_path.iterdir())


class Full:
    """A file on a disk that is full after some writes, with half of the next on it, for good or for that one only."""

    def __init__(self, file, writes, again):
        self.file, self.writes, self.again = file, writes, again

    def write(self, data):
        self.writes -= 1
        if self.writes == -1 or (self.writes < 0 and not self.again):
            self.file.write(memoryview(data).cast("B")[: len(memoryview(data).cast("B")) // 2])
            raise OSError(28, "No space left on device")
        return self.file.write(data)

    def __getattr__(self, name):
        return getattr(self.file, name)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("writes", [0, 1, 5])
def test_what_a_full_disk_does_not_take_stays_in_memory(tmp_path, monkeypatch, writes, again):
    made = storage.tempfile.TemporaryFile
    monkeypatch.setattr(storage.tempfile, "TemporaryFile", lambda **how: Full(made(**how), writes, again))
    kept = Storage(tmp_path, 0)
    for tensor in some():
        kept.put(tensor)
    assert all(map(torch.equal, kept.all(), some()))


def test_a_folder_that_cannot_be_written_leaves_everything_in_memory(tmp_path):
    (tmp_path / "file").touch()
    kept = Storage(tmp_path / "file" / "folder", 0)
    for tensor in some():
        kept.put(tensor)
    assert all(map(torch.equal, kept.all(), some()))


@pytest.mark.parametrize(
    ("written", "size"),
    [
        pytest.param(cases.write_dataset, cases.SIZE, id="pictures"),
        pytest.param(cases.write_stacks, (16, 16, 16), id="volumes"),
    ],
)
def test_a_training_from_the_file_is_that_from_memory(tmp_path, monkeypatch, written, size):
    """To the last bit, with the folds that its calibration rests on, and with the same files in the end."""
    listed = written(tmp_path)
    branches = tuple((name, dict(arguments)) for name, arguments in parts.TINY)
    ends = []
    for in_memory in (storage.IN_MEMORY, 0):
        monkeypatch.setattr(reading, "Storage", lambda folder, room=in_memory: Storage(folder, room))
        out = tmp_path / f"run-{in_memory}"
        options = RunOptions(settings=Settings(iterations=4), size=size, branches=branches, calibrate="folds")
        summary = train_model(listed, out, options)
        told = {name: summary[name] for name in ("data_fingerprint", "labelled", "unlabelled", "calibration")}
        files = sorted(str(path.relative_to(out)) for path in out.rglob("*"))
        ends.append((told, files, parts.model_weights(summary["model"])))
    (first, files, weights), (second, others, also) = ends
    assert first["calibration"] is not None
    assert (first, files) == (second, others)
    assert parts.same(weights, also)


def test_cases_that_a_card_has_no_room_for_stay_in_memory(monkeypatch):
    """The device here is one without numbers: what lies where is all that it can tell."""
    card = torch.device("meta")
    data = parts.volumes(labelled=2, unlabelled=2)
    assert data.nbytes == sum(t.numel() * 4 for t in (*data.images, *data.possible))
    for room, where in ((data.nbytes, "meta"), (data.nbytes - 1, "cpu")):
        monkeypatch.setattr(reading, "room_for_cases", lambda device, room=room: room if device == card else None)
        moved = data.to(card)
        assert {t.device.type for t in (*moved.images, *moved.possible)} == {where}
        assert moved.device == card


def test_a_processor_has_room_for_whatever_is_read():
    assert memory.room_for_cases(torch.device("cpu")) == float("inf")
