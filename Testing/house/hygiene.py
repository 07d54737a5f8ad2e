"""What no committed file may be or hold. A check returns what is wrong, one line each."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from house.trees import ROOT

BIG_FOLDERS = ("Resources/models/", "Resources/samples/")
FILE_LIMIT = 1_000_000
# The extensions index takes 100 MB with the history, and what does not compress counts there twice.
TOTAL_LIMIT = 45_000_000
BINARY = {".png", ".jpg", ".semiseg", ".safetensors", ".nrrd", ".mrb", ".gz", ".npy", ".npz"}
_PLACES = "work|home|root|Users|tmp|opt|mnt|srv|farm|media|scratch"
_ABSOLUTE = re.compile(rf"(?<![\w.~$:{{}}/-])/(?:{_PLACES})/|(?<!\w)[A-Za-z]:\\\\?(?:{_PLACES}|Program)", re.ASCII)
_INDEX = re.compile(r"\b(?:pypi\.org|pythonhosted\.org|download\.pytorch\.org|registry\.npmjs\.org)")


def repository_files() -> list[Path]:
    """Return the files that are or would be committed, relative to the repository.

    Without git, as in an unpacked archive, these are all files outside hidden and build folders.
    """
    try:
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
        names = [Path(name) for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = [
            path.relative_to(ROOT)
            for path in ROOT.rglob("*")
            if not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(ROOT).parts)
        ]
    return sorted(name for name in names if (ROOT / name).is_file())


def check_size(name: Path, size: int) -> list[str]:
    """Refuse a file over 1 MB, except among the shipped models and samples."""
    if size > FILE_LIMIT and not name.as_posix().startswith(BIG_FOLDERS):
        return [f"{name.as_posix()}: {size / 1e6:.1f} MB; the limit is {FILE_LIMIT / 1e6:.0f} MB"]
    return []


def check_content(name: Path, content: bytes) -> list[str]:
    """Refuse in a text file: Windows line ends, a missing last line end, and places of one machine."""
    if name.suffix in BINARY:
        return []
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return [f"{name.as_posix()}: is neither UTF-8 nor of a known binary kind"]
    wrong = []
    if "\r" in text:
        wrong.append(f"{name.as_posix()}: has other line ends than LF")
    if text and not text.endswith("\n"):
        wrong.append(f"{name.as_posix()}: its last line has no end")
    for number, line in enumerate(text.splitlines(), start=1):
        if _ABSOLUTE.search(line):
            wrong.append(f"{name.as_posix()}, line {number}: names a place outside the repository")
        if _INDEX.search(line):
            wrong.append(f"{name.as_posix()}, line {number}: names a package index; pip's settings say which")
    return wrong
