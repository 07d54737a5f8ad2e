"""Private folders, arrays, and the log."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time

import numpy as np
import pytest
from house.trees import ROOT
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.worker import folders
from SemiSegCervicalLib.worker.arrays import ArrayWriter, read_array, take_array, write_array
from SemiSegCervicalLib.worker.folders import PREFIX, PrivateFolder, remove_if_orphaned, sweep
from SemiSegCervicalLib.worker.log import BoundedLog, default_log

OWNER = """
import os, sys, time
sys.path[:0] = [sys.argv[1]]
from pathlib import Path
from SemiSegCervicalLib.worker.folders import PrivateFolder
folder = PrivateFolder(Path(sys.argv[2]))
(folder.path / "patient.npy").write_bytes(b"secret")
print(folder.path, flush=True)
sys.stdin.read()
os.abort()
"""


def owner(root):
    """Start a process that owns a private folder and crashes when its input closes."""
    command = [sys.executable, "-I", "-c", OWNER, str(ROOT / "SemiSegCervical"), str(root)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    return process, process.stdout.readline().strip()


def test_a_private_folder_is_private_and_goes(tmp_path):
    folder = PrivateFolder(tmp_path)
    if os.name == "posix":
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    (folder.path / "job-1").mkdir()
    (folder.path / "job-1" / "a.npy").write_bytes(b"x")
    folder.remove()
    folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_owner_left_is_swept_and_what_a_living_one_has_is_not(tmp_path):
    process, left = owner(tmp_path)
    mine = PrivateFolder(tmp_path)
    assert os.path.exists(left), "its owner lives"
    assert not remove_if_orphaned(mine.path)
    process.communicate()
    assert process.returncode != 0
    other = PrivateFolder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine.path, other.path])
    for folder in (mine, other):
        folder.remove()


def test_sweeping_touches_nothing_else(tmp_path, monkeypatch):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    root = tmp_path / "root"
    root.mkdir()
    (root / f"{PREFIX}link").symlink_to(outside)
    (root / f"{PREFIX}file").write_text("x")
    (root / f"{PREFIX}shared").mkdir(mode=0o700)
    (root / f"{PREFIX}shared").chmod(0o755)
    (root / f"{PREFIX}making").mkdir(mode=0o700)
    (root / "other").mkdir(mode=0o700)
    before = sorted(root.iterdir())
    sweep(root)
    assert sorted(root.iterdir()) == before
    assert (outside / "precious").exists()
    old = time.time() - 2 * folders._MAKING_SECONDS
    os.utime(root / f"{PREFIX}making", (old, old))
    sweep(root)
    assert not (root / f"{PREFIX}making").exists(), "nobody is making it any more"
    sweep(root / "nowhere")


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    with pytest.raises(SemiSegError, match="temporary files"):
        PrivateFolder(tmp_path / "nowhere")


def test_a_disk_without_room_for_any_temporary_file_is_said(monkeypatch):
    def full():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(folders.tempfile, "gettempdir", full)
    with pytest.raises(SemiSegError, match="temporary files"):
        PrivateFolder()


def test_files_that_cannot_be_locked_are_not_tried_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "lock_file", lambda path, create=False: None)
    with pytest.raises(SemiSegError, match="locked"):
        PrivateFolder(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("gone", ["folder", "lock"])
def test_a_folder_that_a_cleaner_removed_is_made_again(tmp_path, gone):
    folder = PrivateFolder(tmp_path)
    if gone == "folder":
        shutil.rmtree(folder.path)
    else:
        (folder.path / "owner.lock").unlink()
    folder.ensure()
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    sweep(tmp_path)
    assert not remove_if_orphaned(folder.path), "it has an owner"
    folder.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="a folder that all may write")
def test_what_another_laid_in_the_place_of_a_removed_folder_is_refused(tmp_path):
    folder = PrivateFolder(tmp_path)
    shutil.rmtree(folder.path)
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    folder.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SemiSegError):
        folder.ensure()
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, bool])
def test_arrays_written_in_pieces_are_exact(tmp_path, dtype):
    array = (np.random.default_rng(0).random((7, 5, 3)) * 100).astype(dtype)
    with ArrayWriter(tmp_path / "a.npy", array.shape, dtype) as writer:
        writer.write(array[:4])
        writer.write(array[4])
        writer.write(array[5:])
    assert (tmp_path / "a.npy").read_bytes() == write_array(tmp_path / "b.npy", array).read_bytes()
    found = read_array(tmp_path / "a.npy")
    assert found.dtype == dtype
    assert np.array_equal(found, array)
    del found
    assert np.array_equal(take_array(tmp_path / "b.npy"), array)
    assert not (tmp_path / "b.npy").exists()


def test_an_array_that_is_not_whole_leaves_no_file(tmp_path):
    with ArrayWriter(tmp_path / "a.npy", (3, 4), np.uint8) as writer:
        writer.write(np.zeros((2, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="shape"), ArrayWriter(tmp_path / "b.npy", (1, 4), np.uint8) as writer:
        writer.write(np.zeros((2, 4), dtype=np.uint8))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_full_disk_is_said_and_leaves_no_file(tmp_path):
    code = (
        "import resource, sys\n"
        "sys.path[:0] = [sys.argv[1]]\n"
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from SemiSegCervicalLib.errors import SemiSegError\n"
        "from SemiSegCervicalLib.worker.arrays import write_array\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "try:\n"
        "    write_array(Path(sys.argv[2]), np.zeros(100_000))\n"
        "except SemiSegError as error:\n"
        "    print(error.code)\n"
    )
    command = [sys.executable, "-I", "-c", code, str(ROOT / "SemiSegCervical"), str(tmp_path / "a.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "disk-full"
    assert list(tmp_path.iterdir()) == []


def test_damaged_arrays_are_refused(tmp_path):
    (tmp_path / "cut.npy").write_bytes(write_array(tmp_path / "a.npy", np.zeros(100)).read_bytes()[:-8])
    (tmp_path / "junk.npy").write_bytes(b"junk")
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    for name in ("cut", "junk", "empty", "pickled", "missing"):
        with pytest.raises(SemiSegError, match=name):
            read_array(tmp_path / f"{name}.npy")


def test_the_log_is_bounded_and_keeps_the_last(tmp_path):
    log = BoundedLog(tmp_path / "logs" / "worker.log", limit=1000)
    for number in range(200):
        log.say(f"line {number} é")
    log.write(b"y" * 5000)
    log.say("the end")
    log.close()
    sizes = {p.name: p.stat().st_size for p in (tmp_path / "logs").iterdir()}
    assert sizes.keys() == {"worker.log", "worker.log.1"}
    assert max(sizes.values()) <= 1000
    assert "the end" in (tmp_path / "logs" / "worker.log").read_text()


def test_a_log_that_cannot_be_written_disturbs_nobody(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("x")
    log = BoundedLog(tmp_path / "file" / "worker.log")
    log.say("hello")
    log.close()
    monkeypatch.setenv("SEMISEG_MODELS", str(tmp_path / "models"))
    assert default_log() == tmp_path / "logs" / "worker.log"
