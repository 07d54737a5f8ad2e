"""Installing, with a real pip on packages made on the spot, and every way in which it fails."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packages import Lack, Package, find_lacks
from SemiSegCervicalLib.panel import installing
from SemiSegCervicalLib.panel.installing import (
    EXTENSION,
    EXTENSION_CPU,
    PIP,
    Choice,
    Installing,
    download_command,
    pip_arguments,
    slicer_pip,
)
from SemiSegCervicalLib.pip_faults import read_fault
from SlicerRig.wheels import make_wheel

TINY = Package("semiseg-tiny", "semiseg_tiny", "1.0", "nothing", 1)
OTHER = Package("semiseg-other", "semiseg_other", "1.0", "nothing", 2)
TORCH = Package("semiseg-torch", "semiseg_torch", "2.6", "everything", 200)


@pytest.fixture
def pip(site):
    """A real pip that installs into `site` and answers as Slicer's does."""

    def run(arguments, on_line, on_end):
        command = [sys.executable, "-m", "pip", "install", "--target", str(site), *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in done.stdout.splitlines():
            on_line(line)
        on_end(done.returncode)

    return run


def install(choice: Choice, pip) -> tuple[SemiSegError | None, list[str], Installing]:
    lines: list[str] = []
    ends: list[SemiSegError | None] = []
    job = Installing(choice, lines.append, ends.append, pip)
    job.start()
    assert len(ends) == 1, "the end is told once"
    return ends[0], lines, job


@pytest.fixture(autouse=True)
def application(monkeypatch):
    """What the report asks Slicer for, and a disk with room, however full the one is that the tests run on."""
    monkeypatch.setattr(installing.slicer, "app", types.SimpleNamespace(applicationVersion="5.12.1"), raising=False)
    leave_free(monkeypatch, gb=50)


def leave_free(monkeypatch: pytest.MonkeyPatch, gb: float) -> None:
    """Let the disk of Slicer's packages have so much free space."""
    usage = shutil.disk_usage(Path.home())
    monkeypatch.setattr(installing.shutil, "disk_usage", lambda path: usage._replace(free=int(gb * 1e9)))


def test_from_a_folder_without_network(wheels, pip, site):
    error, lines, _ = install(Choice((Lack(TINY),), folder=wheels), pip)
    assert error is None
    assert find_lacks([TINY]) == []
    assert "semiseg_tiny" not in sys.modules, "what was installed is not imported"
    assert any("Successfully installed semiseg-tiny" in line for line in lines)


def test_the_missing_package_is_named_and_the_report_holds_all(wheels, pip, site):
    error, lines, job = install(Choice((Lack(TINY), Lack(OTHER)), folder=wheels), pip)
    assert error is not None
    assert error.code == "install-no-build"
    assert "semiseg-other" in error.cause
    assert "copied command" in error.remedy
    report = job.report()
    assert "Slicer 5.12.1" in report
    assert "No matching distribution found for semiseg-other" in report
    assert all(line in report for line in lines[1:]), "the first says only what begins"
    assert "> pip install --only-binary" in report


def test_what_a_package_drags_in_is_never_slicers_own(wheels, pip, site, monkeypatch):
    """A package that wants another numpy fails and is named; numpy stays."""
    make_wheel(wheels, "semiseg-other", needs="numpy>=9999")
    make_wheel(wheels, "numpy", "9999.0")
    error, _, _ = install(Choice((Lack(OTHER),), folder=wheels), pip)
    assert error is not None
    assert error.code == "install-conflict"
    assert not list(site.iterdir())


def test_a_folder_without_wheels_is_told_before_pip_runs(tmp_path):
    error, _, _ = install(Choice((Lack(TINY),), folder=tmp_path), None)
    assert error is not None
    assert error.code == "no-wheels"


def test_what_slicer_should_have_brought_is_not_installed():
    error, _, _ = install(Choice((Lack(Package("numpy", "numpy", "99", "arrays", with_slicer=True), "1.0"),)), None)
    assert error is not None
    assert error.code == "slicer-too-old"


def test_success_that_installed_nothing_is_no_success():
    error, _, _ = install(Choice((Lack(TINY),)), lambda arguments, on_line, on_end: on_end(0))
    assert error is not None
    assert error.code == "not-installed"
    assert "semiseg-tiny" in error.cause


def test_nothing_is_called_back_after_closing(wheels):
    kept = []
    job = Installing(Choice((Lack(TINY),), folder=wheels), kept.append, kept.append, lambda *told: kept.append(told))
    job.start()
    _, on_line, on_end = kept[-1]
    job.forget()
    seen = len(kept)
    on_line("late")
    on_end(1)
    assert len(kept) == seen


def test_pip_keeps_what_slicer_and_others_use(tmp_path):
    arguments = pip_arguments([TINY], None, tmp_path / "keep.txt")
    pinned = (tmp_path / "keep.txt").read_text()
    assert "numpy==" in pinned
    assert "SimpleITK==" in pinned
    assert arguments[-1] == "semiseg-tiny>=1.0"
    assert "--only-binary=:all:" in arguments
    assert "--no-index" not in arguments


def test_pip_may_replace_what_it_is_to_replace(tmp_path):
    numpy = Package("numpy", "numpy", "1.26", "arrays")
    pip_arguments([numpy], None, tmp_path / "keep.txt")
    assert "numpy==" not in (tmp_path / "keep.txt").read_text()


# -- PyTorch through its extension --

CURRENT = "self, askConfirmation=False, forceComputationBackend=None, torchVersionRequirement=None, more=None"
OLD = "self, confirm=True"
EXTENSION_CODE = """
import pathlib
class PyTorchUtilsLogic:
    def installTorch({arguments}):
        given = dict(locals()); given.pop("self")
        pathlib.Path({given!r}).write_text(repr(given))
        print("Collecting semiseg-torch")
        {body}
        import semiseg_torch
"""
PUTS = (
    "site = pathlib.Path({site!r}); (site / 'semiseg_torch').mkdir(); "
    "(site / 'semiseg_torch' / '__init__.py').write_text('raise SystemExit(1)'); "
    "about = site / 'semiseg_torch-2.7.dist-info'; about.mkdir(); "
    "(about / 'METADATA').write_text(chr(10).join(['Metadata-Version: 2.1', 'Name: semiseg-torch', 'Version: 2.7']))"
)


@pytest.fixture
def extension(tmp_path, site, monkeypatch):
    """Write an extension whose `installTorch` takes the given arguments; return what it was called with."""
    monkeypatch.setattr(installing, "TORCH", TORCH)
    folder = tmp_path / "extension"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)

    def write(arguments: str, body: str) -> Path:
        given = folder / "given.txt"
        code = EXTENSION_CODE.format(arguments=arguments, given=str(given), body=body.format(site=str(site)))
        (folder / "PyTorchUtils.py").write_text(code)
        return given

    yield write
    sys.modules.pop("PyTorchUtils", None)


@pytest.mark.parametrize("arguments", [CURRENT, OLD])
def test_torch_through_the_extension_is_never_imported(extension, arguments):
    given = extension(arguments, PUTS)
    error, lines, _ = install(Choice((Lack(TORCH),), torch=EXTENSION_CPU), None)
    assert error is None
    assert "Collecting semiseg-torch" in lines
    assert "semiseg_torch" not in sys.modules
    if arguments == CURRENT:
        wanted = {"askConfirmation": False, "forceComputationBackend": "cpu", "torchVersionRequirement": ">=2.6"}
        assert wanted.items() <= eval(given.read_text()).items()


def test_torch_comes_first_and_the_rest_by_pip(extension, wheels, monkeypatch):
    extension(CURRENT, PUTS)
    asked = []
    install(Choice((Lack(TORCH), Lack(TINY)), torch=EXTENSION), lambda *told: (asked.append(told[0]), told[2](1)))
    assert len(asked) == 1
    assert "semiseg-tiny>=1.0" in asked[0]
    assert not any("torch>=" in argument for argument in asked[0])


def test_an_extension_that_fails_is_explained_and_the_rest_not_begun(extension):
    extension(CURRENT, "print('ERROR: No matching distribution found for semiseg-torch'); raise RuntimeError('no')")
    error, lines, _ = install(Choice((Lack(TORCH), Lack(TINY)), torch=EXTENSION), None)
    assert error is not None
    assert error.code == "install-no-build"
    assert "semiseg-torch" in error.cause
    assert "RuntimeError: no" in lines


def test_without_the_extension_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setattr(installing, "TORCH", TORCH)
    error, _, _ = install(Choice((Lack(TORCH),), torch=EXTENSION), None)
    assert error is not None
    assert error.code == "no-extension"
    assert "Extension Manager" in error.remedy


def test_torch_in_use_is_not_replaced(monkeypatch):
    monkeypatch.setattr(installing, "TORCH", TORCH)
    monkeypatch.setitem(sys.modules, "semiseg_torch", types.ModuleType("semiseg_torch"))
    error, _, _ = install(Choice((Lack(TORCH, "2.0"),), torch=PIP), None)
    assert error is not None
    assert error.code == "in-use"


def test_a_full_disk_is_told_before_anything_runs(monkeypatch):
    monkeypatch.setattr(installing, "TORCH", TORCH)
    leave_free(monkeypatch, gb=0.9)
    error, _, _ = install(Choice((Lack(TORCH),), torch=PIP), None)
    assert error is not None
    assert error.code == "disk-full"
    assert "0.9 GB are free" in error.cause


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_slicer_that_may_not_be_changed_is_told_before_anything_is_downloaded(monkeypatch, tmp_path, code):
    def refuse(path, *_arguments, **_more):
        assert path.parent == tmp_path
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(installing, "packages_folder", lambda: tmp_path)
    monkeypatch.setattr(installing.Path, "open", refuse)
    error, lines, _ = install(Choice((Lack(TINY),)), None)
    assert error.code == "install-permission"
    assert "semiseg-tiny" in error.cause
    assert "folder of your own" in error.remedy
    assert lines == []
    monkeypatch.undo()
    assert installing._may_be_written(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("machine", ["x86_64", "arm64"])
def test_that_there_is_no_torch_for_intel_macs_is_told_before_anything_runs(monkeypatch, wheels, machine):
    """Slicer's stable versions for macOS are made for Intel processors, and run on the other Macs in translation."""
    monkeypatch.setattr(installing, "TORCH", TORCH)
    monkeypatch.setattr(installing.platform, "system", lambda: "Darwin")
    monkeypatch.setattr(installing.platform, "machine", lambda: machine)
    ran = []

    def pip(arguments, on_line, on_end):
        ran.append(arguments)
        on_end(1)

    error, _, _ = install(Choice((Lack(TORCH),), torch=PIP), pip)
    assert error is not None
    assert ("Apple silicon" in error.remedy) == (machine == "x86_64") == (not ran)
    install(Choice((Lack(TORCH),), folder=wheels), pip)
    assert ran, "whoever has built one may use it"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (OSError(28, "No space left on device"), "install-disk"),
        (RuntimeError("A non-blocking pip_install is already in progress."), "install-other"),
        (TypeError("pip_install() got an unexpected keyword argument 'blocking'"), "install-other"),
    ],
)
def test_an_installation_that_cannot_begin_ends(fault, code):
    def pip(arguments, on_line, on_end):
        raise fault

    error, _, job = install(Choice((Lack(TINY),)), pip)
    assert error is not None
    assert error.code == code
    assert str(fault) in job.report()


# -- Slicer's pip, old and new --


def lines_and_status(arguments: list[str]) -> tuple[list[str], list[int]]:
    lines: list[str] = []
    ends: list[int] = []
    slicer_pip(arguments, lines.append, ends.append)
    return lines, ends


@pytest.fixture
def slicer_510(monkeypatch):
    """Slicer 5.10: no slicer.packaging; slicer.util.pip_install blocks, prints, and raises."""

    def pip_install(requirements):
        command = [sys.executable, "-m", "pip", *requirements]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert process.stdout is not None
        for line in process.stdout:
            print(line.rstrip())
        if process.wait() != 0:
            raise subprocess.CalledProcessError(process.returncode, command)

    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
    monkeypatch.setattr(installing.slicer.util, "pip_install", pip_install, raising=False)


def test_slicer_510_blocks_and_its_lines_are_read(slicer_510, capsys):
    lines, ends = lines_and_status(["--version"])
    assert ends == [0]
    assert lines[0].startswith("pip ")
    assert capsys.readouterr().out.startswith("pip "), "the console shows it too"
    lines, ends = lines_and_status(["no-such-command"])
    assert ends == [1]
    assert any("unknown command" in line for line in lines)


@pytest.fixture
def slicer_512(monkeypatch):
    """Slicer 5.12: slicer.packaging runs pip in the background, except in testing mode."""
    packaging = types.ModuleType("slicer.packaging")
    calls: list[dict] = []
    packaging.isPipInstallInProgress = lambda: False
    packaging.pip_install = lambda requirements, **options: calls.append({"requirements": requirements, **options})
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    monkeypatch.setattr(installing.slicer, "app", types.SimpleNamespace(testingEnabled=lambda: False))
    return packaging, calls


def test_slicer_512_goes_on_in_the_background(slicer_512):
    _, calls = slicer_512
    lines, ends = lines_and_status(["a"])
    assert ends == []
    assert calls[0]["requirements"] == ["a"]
    assert calls[0]["blocking"] is False
    calls[0]["logCallback"]("Collecting a")
    calls[0]["completedCallback"](0)
    assert (lines, ends) == (["Collecting a"], [0])


def test_two_installations_at_once_are_refused(slicer_512):
    packaging, calls = slicer_512
    packaging.isPipInstallInProgress = lambda: True
    with pytest.raises(SemiSegError, match="for another module"):
        lines_and_status(["a"])
    assert calls == []


# -- texts --


def test_the_question_names_packages_source_and_size(tmp_path):
    choice = Choice((Lack(TINY), Lack(OTHER)))
    assert "semiseg-tiny, semiseg-other from the internet (about 3 MB)" in choice.question
    assert f"from {tmp_path}" in Choice((Lack(TINY),), folder=tmp_path).question


def test_the_size_of_torch_depends_on_its_build(monkeypatch):
    monkeypatch.setattr(installing, "TORCH", TORCH)
    assert Choice((Lack(TORCH),), torch=EXTENSION_CPU).download == "about 0.2 GB"
    assert "with an NVIDIA card" in Choice((Lack(TORCH),), torch=EXTENSION).download
    monkeypatch.setattr(sys, "platform", "win32")
    assert Choice((Lack(TORCH),), torch=PIP).download == "about 0.2 GB"
    monkeypatch.setattr(sys, "platform", "linux")
    assert Choice((Lack(TORCH),), torch=PIP).download == "about 3 GB"


@pytest.mark.parametrize(
    "kind",
    ["disk", "certificate", "network", "changed", "long-path", "in-use", "permission", "conflict", "no-build", "other"],
)
def test_every_fault_has_cause_and_remedy_with_its_package(kind):
    fault = read_fault("Collecting semiseg-tiny\nERROR: odd.")
    for folder in (None, Path("wheels")):
        error = installing.explain(type(fault)(kind, fault.package, fault.line), folder)
        assert "semiseg-tiny" in error.cause
        assert len(error.remedy.split()) > 3
        assert ".." not in str(error)


def test_the_command_fills_a_folder_with_slicers_own_python():
    assert download_command([TINY, OTHER]) == (
        "PythonSlicer -m pip download --only-binary=:all: --dest semiseg-wheels "
        '"semiseg-tiny>=1.0" "semiseg-other>=1.0"'
    )
