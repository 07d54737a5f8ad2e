"""Turn what goes wrong while an environment is set up into one line: the cause, and what to do about it."""

from __future__ import annotations

import platform
import re
import sys
from pathlib import Path

# This runs before anything is installed, and so before the libraries are on the path.
sys.path.append(str(Path(__file__).resolve().parents[2] / "SemiSegCervical"))

from SemiSegCervicalLib.pip_faults import read_fault


class SetupError(Exception):
    """The environment cannot be made; the message is one line of cause and remedy, for the user."""


def explain(output: str, log: str) -> SetupError:
    """Name the cause and the remedy of a failed step.

    Args:
        output: what ``venv`` or ``pip`` printed.
        log: where the whole of it can be read.

    Returns:
        The fault, for the caller to raise.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    where = f"{platform.system()} on {platform.machine()}"
    if re.search(r"ensurepip is not|No module named '?(ensurepip|venv)\b", output):
        return SetupError(
            f"this Python {version} comes without venv and ensurepip. Install them (on Debian and Ubuntu: "
            f"apt install python{version}-venv) or use a Python that has them."
        )
    fault = read_fault(output)
    if fault.kind == "disk":
        return disk_fault()
    if fault.kind == "certificate":
        return SetupError(
            "the package index's certificate is not trusted here. Point PIP_CERT to your organisation's "
            "certificate file and run the same command again."
        )
    if fault.kind == "network":
        return SetupError(
            "the package index cannot be reached. Check the network (behind a proxy: set HTTPS_PROXY) and "
            "run the same command again."
        )
    if fault.kind == "changed":
        return SetupError(
            "a downloaded package is not the one that was locked, so it was not installed. Run the same "
            f"command again; if that does not help, a mirror or proxy changes packages: {log} names the one."
        )
    if fault.kind in ("permission", "in-use"):
        return SetupError(
            "the environment's folder cannot be written. Name one that can be written in SEMISEG_ENV and run "
            f"the same command again; the details are in {log}."
        )
    missing = re.search(r"(?:No matching distribution found for|satisfies the requirement) ([^\s(;]+)", output)
    if missing:
        return SetupError(
            f"there is no ready-made build of {missing.group(1)} for Python {version} on {where}. Use Python "
            "3.11 or 3.12 on 64-bit Linux, Windows or macOS; `test --without-torch` does without PyTorch."
        )
    return SetupError(f"a set-up step failed: {fault.line} The whole output is in {log}.")


def disk_fault(needed_gb: float | None = None, free_gb: float | None = None) -> SetupError:
    """Say that the disk is full, or (with figures in GB) that it would be."""
    figures = f": {needed_gb:.1f} GB are needed, {free_gb:.1f} GB are free" if needed_gb is not None else ""
    return SetupError(
        f"the disk is too full for the environment{figures}. Free some space, or name a folder on another "
        "disk in SEMISEG_ENV (and in TMPDIR for the downloads), and run the same command again."
    )
