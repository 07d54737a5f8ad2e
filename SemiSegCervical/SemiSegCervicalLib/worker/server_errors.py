"""What is told of whatever a job raised."""

from __future__ import annotations

import errno
import sys
import traceback
from pathlib import Path

from ..errors import SemiSegError, first_line
from .arrays import cannot_write
from .protocol import Failure

# The words of CUDA, its libraries, ROCm and Metal.
_DEVICE_WORDS = (
    "cuda error", "cudnn", "cublas", "cufft", "cusparse", "hip error", "miopen", "mps backend", "on mps", "metal ",
)  # fmt: skip
# What loading a library raises as an OSError, as PyTorch's own import does: the words of Linux and macOS, and Windows'
# codes for one that is not there, does not fit or cannot begin.
_LOADER_WORDS = ("cannot open shared object file", "undefined symbol", "dlopen(", "failed to map segment")
_LOADER_CODES = (126, 127, 182, 193, 1114)
_WINDOWS_MEMORY = (8, 14, 1450, 1455)  # among them the paging file, without room for PyTorch's libraries
# What is there, but broken, is not offered by the button before it is gone.
_REINSTALL = "Remove the package (in a terminal: PythonSlicer -m pip uninstall torch, or its name) and press Install"
_INSTALL = "Install what is missing with the button Install, and try again"


def explain(error: BaseException, stage: str) -> Failure:
    """Turn what a job raised into what the client is told; the log gets the whole."""
    if isinstance(error, SemiSegError):
        return Failure(error.code, error.stage or stage, error.cause, error.remedy)
    traceback.print_exception(type(error), error, error.__traceback__, file=sys.stderr)
    sys.stderr.flush()
    text = first_line(error)
    if getattr(error, "winerror", None) in _WINDOWS_MEMORY:
        return Failure(
            "out-of-memory", stage, f"Windows has no memory left: {text}",
            "Close other programs, or enlarge Windows' paging file (virtual memory), and try again",
        )  # fmt: skip
    if _is_out_of_memory(error):
        return Failure(
            "out-of-memory", stage, "The memory does not suffice for this image",
            "Close other programs, choose the device cpu, or use a smaller image",
        )  # fmt: skip
    if isinstance(error, ModuleNotFoundError):
        return Failure("missing-package", stage, f"The Python package {error.name} is not installed", _INSTALL)
    if isinstance(error, ImportError) or _is_of_loader(error):
        remedy = _REINSTALL
        if sys.platform == "win32" or getattr(error, "winerror", None) is not None:
            remedy = f"Install the Microsoft Visual C++ Redistributable (x64). If that does not help: {_REINSTALL}"
        return Failure("broken-package", stage, f"A Python package cannot be loaded: {text}", remedy)
    lacks = isinstance(error, NotImplementedError)  # an operation that PyTorch has not for this device
    if lacks or (isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _DEVICE_WORDS)):
        return Failure(
            "device-error", stage, f"The graphics card failed: {text}",
            "Try again, or choose the device cpu", restart=True,
        )  # fmt: skip
    if isinstance(error, OSError):
        fault = cannot_write(Path(str(error.filename or "?")), error) if error.errno is not None else None
        if fault is not None and fault.code == "disk-full":
            return Failure(fault.code, stage, fault.cause, fault.remedy)
        return Failure(
            "file-error", stage, f"A file cannot be read or written: {text}", "Check the disk and the permissions"
        )
    return Failure(
        "defect", stage, f"SemiSeg made a mistake ({type(error).__name__}: {text})",
        "Please report it with the log; the program can be used on",
    )  # fmt: skip


def _is_of_loader(error: BaseException) -> bool:
    if not isinstance(error, OSError):
        return False
    return getattr(error, "winerror", None) in _LOADER_CODES or any(word in str(error) for word in _LOADER_WORDS)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if "torch" not in sys.modules or not isinstance(error, RuntimeError):
        return False
    from ..engine.backends.ladder import is_out_of_memory

    return is_out_of_memory(error)
