"""The set-up: made once, reused, made again when it is incomplete, and its faults told in one line.

Real pip and venv run here, on a package made on the spot, so nothing is downloaded.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from house import environment
from house.environment import MARK, ROOT, Flavour, SetupError, locate, prepare
from house.faults import explain

SMALL = Flavour(suffix="-small", locks=("small.txt",), download="nothing", disk_gb=0.1)


@pytest.fixture
def wheels(tmp_path, monkeypatch) -> Path:
    """A folder with one tiny package, which is all that pip can find."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    info = "semiseg_tiny-1.0.dist-info"
    with zipfile.ZipFile(folder / "semiseg_tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("semiseg_tiny.py", "value = 1\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: semiseg-tiny\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"semiseg_tiny.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", folder.as_uri())  # pip splits it at spaces, which a path may have
    return folder


@pytest.fixture
def locks(tmp_path, wheels, monkeypatch) -> Path:
    """A folder with a lock of that package, in place of the repository's."""
    folder = tmp_path / "locks"
    folder.mkdir()
    (folder / "small.txt").write_text(lock_of(wheels))
    monkeypatch.setattr(environment, "REQUIREMENTS", folder)
    monkeypatch.setenv("SEMISEG_ENV", str(tmp_path / "environments"))
    return folder


def lock_of(wheels: Path) -> str:
    digest = hashlib.sha256(next(wheels.glob("*.whl")).read_bytes()).hexdigest()
    return f"semiseg-tiny==1.0 --hash=sha256:{digest}\n"


def test_incomplete_set_up_is_made_again_and_a_complete_one_reused(locks, capsys):
    here = locate(SMALL)
    here.folder.mkdir(parents=True)
    (here.folder / "pyvenv.cfg").touch()  # as a set-up leaves it that was killed before its end
    (here.folder / "left over").touch()
    made = prepare(SMALL)
    assert made == here
    assert not (made.folder / "left over").exists()
    done = subprocess.run([made.python, "-c", "import semiseg_tiny"], capture_output=True)
    assert done.returncode == 0, done.stderr
    told = capsys.readouterr().out
    for words in ("made anew", "Download: nothing", "ready after 0:"):
        assert words in told

    (made.folder / "kept").touch()
    assert prepare(SMALL) == made
    assert (made.folder / "kept").exists(), "the second call was to reuse the folder"
    assert capsys.readouterr().out == ""

    with (locks / "small.txt").open("a") as file:
        file.write("# another lock\n")
    assert not made.ready()


def test_environment_whose_python_is_gone_is_not_ready(locks):
    here = locate(SMALL)
    here.folder.mkdir(parents=True)
    (here.folder / MARK).write_text(json.dumps(here.fingerprint()))
    assert not here.ready()


def test_what_is_no_environment_is_never_removed(locks):
    here = locate(SMALL)
    here.folder.mkdir(parents=True)
    (here.folder / "thesis.txt").write_text("precious")
    with pytest.raises(SetupError, match="Move it away"):
        prepare(SMALL)
    assert (here.folder / "thesis.txt").read_text() == "precious"


def test_too_small_a_disk_is_told_before_anything_is_made(locks):
    big = Flavour(suffix="-big", locks=("small.txt",), download="much", disk_gb=1e9)
    with pytest.raises(SetupError, match=r"disk is too full.*SEMISEG_ENV"):
        prepare(big)
    assert not locate(big).folder.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_disk_that_fills_up_is_told(wheels):
    with pytest.raises(OSError, match="No space left") as caught:
        environment._step("Listing", [sys.executable, "-m", "pip", "list"], Path("/dev/full"))
    assert "too full" in str(explain(str(caught.value), log="a.log"))


def pip_fails(tmp_path: Path, *arguments: str) -> str:
    """Run pip as the set-up does and return the one line that its failure is told in."""
    command = [sys.executable, "-m", "pip", "install", "--only-binary=:all:", "--target", str(tmp_path / "x")]
    with pytest.raises(SetupError) as caught:
        environment._step("Installing", [*command, *arguments], tmp_path / "a.log")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_network_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_EXTRA_INDEX_URL", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_RETRIES", "1")
    # Port 9 of this very machine: nobody listens there.
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    assert "index cannot be reached" in pip_fails(tmp_path, "semiseg-tiny==1.0")


def test_a_package_without_a_build_for_this_platform_is_told(tmp_path, wheels):
    (wheels / "semiseg_tiny-2.0-cp310-cp310-plan9_mips.whl").write_bytes(b"")
    message = pip_fails(tmp_path, "semiseg-tiny==2.0")
    assert "no ready-made build of semiseg-tiny==2.0" in message


def test_a_changed_package_is_told(tmp_path, wheels):
    lock = tmp_path / "lock.txt"
    lock.write_text(lock_of(wheels))
    with zipfile.ZipFile(next(wheels.glob("*.whl")), "a") as wheel:
        wheel.writestr("evil.py", "")
    assert "not the one that was locked" in pip_fails(tmp_path, "--require-hashes", "-r", str(lock))


def test_a_python_without_venv_is_told():
    debian = "The virtual environment was not created successfully because ensurepip is not\navailable."
    assert "apt install python3." in str(explain(debian, log="a.log"))


def test_an_unknown_fault_names_the_last_error_and_the_log():
    message = str(explain("Collecting a\nERROR: something odd\n", log="a.log"))
    assert "something odd" in message
    assert "a.log" in message


def test_entry_point_is_readable_by_old_pythons():
    ast.parse((ROOT / "Testing" / "run.py").read_text(encoding="utf-8"), feature_version=(3, 7))


def test_unknown_jobs_and_benchmarks_are_told_with_the_known_ones():
    for arguments, known in ((["paint"], "demo, test, bench"), (["bench", "nothing"], "There are:")):
        command = [sys.executable, str(ROOT / "Testing" / "run.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2
        assert known in done.stderr
        assert "Traceback" not in done.stderr
