"""Install the Python packages that SemiSeg computes with: what to run, in which order, and what to say when it fails.

PyTorch comes through Slicer's PyTorch extension, which picks the build for this computer's graphics card; the rest
comes through Slicer's own pip. Nothing here runs before the user asked for it, and no widget is touched.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import inspect
import io
import logging
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import slicer

from ..errors import SemiSegError
from ..packages import NEEDED, TORCH, Lack, Package, find_lacks, installed_version, is_there
from ..pip_faults import PipFault, read_fault

EXTENSION, EXTENSION_CPU, PIP = "extension", "extension-cpu", "pip"
Lines = Callable[[str], None]
# Runs pip: the arguments after ``install``, a callback for each line, and one for the exit status.
Pip = Callable[[list[str], Lines, Callable[[int], None]], None]

# Slicer itself or other extensions use these: pip may add packages, but not replace these to suit them.
_KEPT = ("torch", "torchvision", "pydicom", *(package.name for package in NEEDED if package.with_slicer))
_TORCH_GB, _CUDA_GB = 0.2, 3.0
_FREE_GB = 1.5  # what the smallest build of PyTorch and the rest take unpacked, with some room
_AGAIN = "and press Install again: what is already there is kept"


@dataclass(frozen=True)
class Choice:
    """What is to be installed, and from where.

    Attributes:
        lacks: what is missing.
        extras: optional packages that were asked for.
        folder: with wheels, for computers without a network; None for the internet.
        torch: ``extension``, ``extension-cpu`` (no build for graphics cards) or ``pip``; of no effect with a folder.
    """

    lacks: tuple[Lack, ...]
    extras: tuple[Package, ...] = ()
    folder: Path | None = None
    torch: str = EXTENSION

    @property
    def packages(self) -> tuple[Package, ...]:
        """What pip or the extension must bring."""
        return (*(lack.package for lack in self.lacks if not lack.package.with_slicer), *self.extras)

    @property
    def torch_by_extension(self) -> bool:
        """Whether PyTorch is among them and does not come by pip."""
        return TORCH in self.packages and self.folder is None and self.torch != PIP

    @property
    def question(self) -> str:
        """What the user is asked before anything happens."""
        names = ", ".join(package.label for package in self.packages)
        where = f"from {self.folder}" if self.folder else f"from the internet ({self.download})"
        return (
            f"SemiSeg will install {names} {where} into Slicer's own Python. This can take several minutes. "
            "What Slicer itself computes with, such as numpy and SimpleITK, stays as it is.\n\nInstall now?"
        )

    @property
    def download(self) -> str:
        """How much comes through the network, in words."""
        rest = sum(package.megabytes for package in self.packages if package is not TORCH)
        if TORCH not in self.packages:
            return f"about {rest} MB"
        low, high = _TORCH_GB + rest / 1000, _CUDA_GB + rest / 1000
        if self.torch == EXTENSION_CPU or (self.torch == PIP and sys.platform != "linux"):
            return f"about {low:.1f} GB"
        if self.torch == PIP:
            return f"about {high:.0f} GB"
        return f"about {low:.1f} GB, or {high:.0f} GB with an NVIDIA card"


class Installing:
    """One installation, from the first step to the check that everything is there."""

    def __init__(
        self,
        choice: Choice,
        on_line: Lines,
        on_end: Callable[[SemiSegError | None], None],
        pip: Pip | None = None,
    ) -> None:
        """Prepare it; `start` begins.

        Args:
            choice: what and from where.
            on_line: gets each line that pip prints, in the main thread.
            on_end: called once, with what went wrong or None.
            pip: runs pip; None for Slicer's own.
        """
        self._choice, self._on_line, self._on_end = choice, on_line, on_end
        self._pip = pip or slicer_pip
        self._lines: list[str] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._over = False

    def start(self) -> None:
        """Begin; returns when the rest goes on by itself, or at the end where Slicer's pip blocks."""
        try:
            self._check()
            if self._choice.torch_by_extension:
                self._on_line("Installing PyTorch")
                self._lines.append(f"> PyTorchUtils installTorch ({self._choice.torch})")
                torch_by_extension(self._choice.torch, self._line)
            rest = [p for p in self._choice.packages if not (p is TORCH and self._choice.torch_by_extension)]
            if not rest:
                self._verify()
                return
            self._folder = tempfile.TemporaryDirectory(prefix="semiseg-install-", ignore_cleanup_errors=True)
            arguments = pip_arguments(rest, self._choice.folder, Path(self._folder.name) / "keep.txt")
            self._on_line(f"Installing {', '.join(package.label for package in rest)}")
            self._lines.append(f"> pip install {' '.join(arguments)}")
            self._pip(arguments, self._line, self._pip_ended)
        except SemiSegError as error:
            self._end(error)
        except Exception as error:  # a full disk, or a Slicer whose pip is another: the row must not wait for ever
            logging.exception("SemiSeg: the installation could not begin")
            self._lines.append(f"{type(error).__name__}: {error}")
            self._end(explain(read_fault("\n".join(self._lines)), self._choice.folder))

    def forget(self) -> None:
        """Call back no more. A pip that runs goes on to its end: half a package would be worse than a whole one."""
        self._over = True

    def report(self) -> str:
        """Return everything that somebody needs to know who is to help, for the clipboard."""
        lacks = [lack.text for lack in find_lacks()] or ["nothing"]
        return "\n".join(
            [
                f"SemiSeg installation report, Slicer {slicer.app.applicationVersion}, Python {_python()}, {_system()}",
                f"Missing: {', '.join(lacks)}",
                f"PyTorch extension: {'there' if has_extension() else 'not installed'}",
                f"From: {self._choice.folder or 'the internet'}; PyTorch by {self._choice.torch}",
                "",
                *self._lines,
            ]
        )

    def _check(self) -> None:
        own = [lack for lack in self._choice.lacks if lack.package.with_slicer]
        if own:
            raise SemiSegError(
                "slicer-too-old", f"This Slicer lacks {own[0].text}, which newer versions bring along",
                "Update Slicer to the latest stable version", "installing",
            )  # fmt: skip
        if TORCH in self._choice.packages and self._choice.folder is None and _is_intel_mac():
            raise SemiSegError(
                "install-no-build",
                f"PyTorch {TORCH.minimum} and newer are not made for Macs with Intel processors, nor for Slicer's "
                "Intel version on another Mac",
                "On a Mac with Apple silicon use Slicer's own version for it (arm64, among the preview releases); "
                "otherwise another computer", "installing",
            )  # fmt: skip
        if self._choice.folder is not None and not any(self._choice.folder.glob("*.whl")):
            raise SemiSegError(
                "no-wheels", f"The folder {self._choice.folder} holds no wheels (files ending in .whl)",
                "Choose the folder that was filled on a computer with internet", "installing",
            )  # fmt: skip
        if TORCH in self._choice.packages and TORCH.module in sys.modules:
            raise SemiSegError(
                "in-use", "Another module already uses PyTorch in this session, so it cannot be replaced",
                "Restart Slicer, and install before you open any other module", "installing",
            )  # fmt: skip
        place = packages_folder()
        if self._choice.packages and not _may_be_written(place):  # pip says so, too, but after the whole download
            raise explain(PipFault("permission", self._choice.packages[0].label, ""), self._choice.folder)
        free = shutil.disk_usage(place).free / 1e9
        if TORCH in self._choice.packages and free < _FREE_GB:
            raise SemiSegError(
                "disk-full", f"At least {_FREE_GB:.1f} GB are needed on Slicer's disk, and {free:.1f} GB are free",
                f"Free some space {_AGAIN}", "installing",
            )  # fmt: skip

    def _pip_ended(self, status: int) -> None:
        if status == 0:
            self._verify()
        else:
            fault = read_fault("\n".join(self._lines))
            self._end(explain(fault, self._choice.folder))

    def _verify(self) -> None:
        """Believe the environment, not the exit status."""
        importlib.invalidate_caches()
        lacks = find_lacks(self._choice.packages)
        if not lacks:
            self._end(None)
            return
        error = SemiSegError(
            "not-installed", f"The installation ended without an error, but {lacks[0].text} is still missing",
            "Restart Slicer and try again; if that does not help, copy the report and ask for help", "installing",
        )  # fmt: skip
        self._end(error)

    def _end(self, error: SemiSegError | None) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        if error is not None:
            self._lines.append(str(error))
        if not self._over:
            self._over = True
            self._on_end(error)

    def _line(self, line: str) -> None:
        self._lines.append(line)
        if not self._over:
            self._on_line(line)


def packages_folder() -> Path:
    """Return where pip installs."""
    return Path(sysconfig.get_path("purelib"))


def _may_be_written(folder: Path) -> bool:
    """Tell whether files can be made in a folder, by making one: what Windows says of rights is not the whole truth."""
    probe = folder / f".semiseg-{os.getpid()}"
    try:
        probe.open("wb").close()
    except OSError as error:
        return error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS)
    with contextlib.suppress(OSError):
        probe.unlink()
    return True


def pip_arguments(packages: Sequence[Package], folder: Path | None, keep: Path) -> list[str]:
    """Return what follows ``pip install``, and write the file that pins what must stay as it is.

    Args:
        packages: to install.
        folder: with wheels, or None.
        keep: constraints file to write: the versions of Slicer's own packages and of PyTorch, which other packages
            would otherwise drag in again or replace.
    """
    wanted = {package.name for package in packages}
    pinned = {name: installed_version(name) for name in _KEPT if name not in wanted}
    keep.write_text("".join(f"{name}=={version}\n" for name, version in pinned.items() if version), encoding="utf-8")
    arguments = ["--only-binary=:all:", "--progress-bar=off", "--no-input", "--disable-pip-version-check"]
    if folder is not None:
        arguments += ["--no-index", "--find-links", str(folder)]
    return [*arguments, "--constraint", str(keep), *(package.requirement for package in packages)]


def slicer_pip(arguments: list[str], on_line: Lines, on_end: Callable[[int], None]) -> None:
    """Run Slicer's own pip: in the background where this Slicer can (5.12 and newer), else until it ends.

    Raises:
        SemiSegError: another installation is running.
    """
    try:
        packaging = importlib.import_module("slicer.packaging")
    except ImportError:  # Slicer 5.10
        packaging = None
    if packaging is not None and packaging.isPipInstallInProgress():
        raise SemiSegError(
            "busy", "Slicer is installing packages for another module", "Wait until it is done, and try again",
            "installing",
        )  # fmt: skip
    # In its testing mode Slicer's pip always blocks, and then calls nobody back.
    if packaging is not None and not slicer.app.testingEnabled():
        packaging.pip_install(
            arguments, blocking=False, show_progress=False, logCallback=on_line, completedCallback=on_end
        )
        return
    status = 0
    with _printed_lines(on_line):
        try:
            slicer.util.pip_install(arguments)
        except subprocess.CalledProcessError as error:
            status = error.returncode
    on_end(status)


def has_extension() -> bool:
    """Tell whether the PyTorch extension is there."""
    return is_there("PyTorchUtils")


def torch_by_extension(choice: str, on_line: Lines) -> None:
    """Let Slicer's PyTorch extension install PyTorch; blocks, while Slicer's windows stay alive.

    Args:
        choice: ``extension`` or ``extension-cpu``.
        on_line: gets what it prints.

    Raises:
        SemiSegError: the extension is not there, or PyTorch is not there afterwards.
    """
    try:
        extension = importlib.import_module("PyTorchUtils")
    except ImportError as error:
        raise SemiSegError(
            "no-extension", "The PyTorch extension is not installed",
            "Install it with the Extension Manager and restart Slicer, or choose PyTorch without it", "installing",
        ) from error  # fmt: skip
    install = extension.PyTorchUtilsLogic().installTorch
    wanted = {
        "askConfirmation": False,  # the user has been asked
        "torchVersionRequirement": f">={TORCH.minimum}",
        "forceComputationBackend": "cpu" if choice == EXTENSION_CPU else None,
    }
    # Its keywords changed between versions. Asking which it takes is surer than catching the TypeError of a wrong
    # one: a TypeError from deep inside would start a second installation.
    taken = inspect.signature(install).parameters
    lines: list[str] = []

    def note(line: str) -> None:
        lines.append(line)
        on_line(line)

    try:
        with _never_imported(TORCH.module, "torchvision"), _printed_lines(note):
            install(**{name: value for name, value in wanted.items() if name in taken})
    except Exception as error:  # a foreign extension may raise anything; what counts is what is there afterwards
        note(f"{type(error).__name__}: {error}")
    importlib.invalidate_caches()
    if find_lacks([TORCH]):
        raise explain(read_fault("\n".join(lines)), None)


def explain(fault: PipFault, folder: Path | None) -> SemiSegError:
    """Turn pip's fault into cause and remedy."""
    name = fault.package or "a package"
    texts = {
        "disk": (f"The disk is too full for {name}", f"Free 2 GB or more {_AGAIN}"),
        "certificate": (
            f"The certificate of the place where {name} comes from is not trusted on this computer",
            "Ask whoever runs your network, or install from a folder",
        ),
        "network": (
            f"The internet could not be reached for {name}",
            f"Check the connection {_AGAIN}; without internet, choose a folder instead",
        ),
        "changed": (f"The file of {name} was changed on its way", "Try again, or install from a folder"),
        "long-path": (
            f"Windows refuses the long file names of {name}",
            "Install Slicer in a folder with a short name, or switch on long paths in Windows",
        ),
        "in-use": (
            f"{name} is in use and cannot be replaced",
            "Restart Slicer, and press Install before you open any other module",
        ),
        "permission": (
            f"Slicer's own folder may not be written, so {name} cannot be installed",
            "Install Slicer in a folder of your own, or ask whoever looks after this computer",
        ),
        "conflict": (
            f"{name} does not fit the packages that are already in Slicer",
            "Update Slicer; if that does not help, copy the report and ask for help",
        ),
        "no-build": (
            f"There is no ready-made {name} for Python {_python()} on {_system()}"
            if folder is None
            else f"The folder holds no {name} for Python {_python()} on {_system()}",
            "Update Slicer; if that does not help, copy the report and ask for help"
            if folder is None
            else "Fill it with the copied command, on a computer of the same kind with the same Slicer",
        ),
    }
    cause, remedy = texts.get(
        fault.kind, (f"Installing {name} failed: {fault.line.rstrip('.')}", "Copy the report and ask for help")
    )
    return SemiSegError(f"install-{fault.kind}", cause, remedy, "installing")


def download_command(packages: Sequence[Package]) -> str:
    """Return the command that fills a folder with wheels, for a computer with internet and the same Slicer."""
    wanted = " ".join(f'"{package.requirement}"' for package in packages)
    return f"PythonSlicer -m pip download --only-binary=:all: --dest semiseg-wheels {wanted}"


@contextlib.contextmanager
def _never_imported(*modules: str) -> Iterator[None]:
    """Let no import of these succeed: the extension imports PyTorch when it is done, which can crash Slicer."""
    held = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(held))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in held:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def _printed_lines(on_line: Lines) -> Iterator[None]:
    """Pass on every line that is printed, which is how a blocking pip shows what it does."""
    with contextlib.redirect_stdout(_Lines(sys.stdout, on_line)):
        yield


class _Lines(io.TextIOBase):
    def __init__(self, beside: object, on_line: Lines) -> None:
        self._beside, self._on_line, self._begun = beside, on_line, ""

    def write(self, text: str) -> int:
        with contextlib.suppress(Exception):  # the console may be gone; pip's output still counts
            self._beside.write(text)  # type: ignore[attr-defined]
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._on_line(line.rstrip())
        return len(text)


def _is_intel_mac() -> bool:
    """Tell whether PyTorch has ended its builds for this Python (with 2.2); under Rosetta it says the same."""
    return (platform.system(), platform.machine()) == ("Darwin", "x86_64")


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _system() -> str:
    return f"{platform.system()} on {platform.machine()}"
