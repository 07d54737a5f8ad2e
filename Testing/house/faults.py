"""Turn what goes wrong while an environment is set up into one line: the cause, and what to do about it."""

from __future__ import annotations

import platform
import re
import sys


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
    # The order matters: without a network pip also says that it found no distribution.
    if re.search(r"No space left on device|Errno 28|not enough space on the disk|Disk quota exceeded", output):
        return disk_fault()
    if re.search(r"ensurepip is not|No module named '?(ensurepip|venv)\b", output):
        return SetupError(
            f"this Python {version} comes without venv and ensurepip. Install them (on Debian and Ubuntu: "
            f"apt install python{version}-venv) or use a Python that has them."
        )
    if re.search(r"CERTIFICATE_VERIFY_FAILED|certificate verify failed", output, re.IGNORECASE):
        return SetupError(
            "the package index's certificate is not trusted here. Point PIP_CERT to your organisation's "
            "certificate file and run the same command again."
        )
    if re.search(
        r"NewConnectionError|NameResolutionError|Failed to establish a new connection|name resolution|"
        r"Name or service not known|getaddrinfo failed|Network is unreachable|Connection refused|ProxyError|"
        r"ConnectTimeoutError|ReadTimeoutError|Read timed out|Connection aborted|ConnectionResetError",
        output,
    ):
        return SetupError(
            "the package index cannot be reached. Check the network (behind a proxy: set HTTPS_PROXY) and "
            "run the same command again."
        )
    if re.search(r"DO NOT MATCH THE HASHES", output):
        return SetupError(
            "a downloaded package is not the one that was locked, so it was not installed. Run the same "
            f"command again; if that does not help, a mirror or proxy changes packages: {log} names the one."
        )
    if re.search(r"Permission denied|Read-only file system|Access is denied", output):
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
    errors = [line.strip() for line in output.splitlines() if line.strip().startswith(("ERROR", "Error", "error:"))]
    lines = errors or [line.strip() for line in output.splitlines() if line.strip()] or ["no message"]
    return SetupError(f"a set-up step failed: {lines[-1]} The whole output is in {log}.")


def disk_fault(needed_gb: float | None = None, free_gb: float | None = None) -> SetupError:
    """Say that the disk is full, or (with figures in GB) that it would be."""
    figures = f": {needed_gb:.1f} GB are needed, {free_gb:.1f} GB are free" if needed_gb is not None else ""
    return SetupError(
        f"the disk is too full for the environment{figures}. Free some space, or name a folder on another "
        "disk in SEMISEG_ENV (and in TMPDIR for the downloads), and run the same command again."
    )
