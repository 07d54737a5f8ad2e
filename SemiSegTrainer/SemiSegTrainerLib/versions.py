"""Every version of a model that was ever trained here; one of them is the model that SemiSegCervical lists.

In the user's folder of models ``NAME.semiseg`` is the version in use, and ``versions/NAME/0001/`` and so on hold all
of them, each with what its run said of itself. Nothing that is kept is ever written over or removed: the version in
use is a copy, and what is about to make room for another one is kept first, wherever it came from.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from SemiSegCervicalLib.atomic import move
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packs import ENDING, resource_folder, user_folder

MODEL, ABOUT = f"model{ENDING}", "version.json"
FOLDER = "versions"
SHIPPED = 0
"""The number of the version that came with SemiSeg."""

Origin = Literal["trained", "added", "shipped"]
T = TypeVar("T")
Steps = Generator[None, None, T]

_PIECE_BYTES = 4 * 2**20
_LONGEST = 80
_MANIFEST = "model.json"
# Slashes, control characters and what Windows forbids; names that Windows keeps for devices.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class Version:
    """One version of a model.

    Attributes:
        name: of the model: its file's name without ending.
        number: 1, 2, 3 in the order in which they came; `SHIPPED` for the one that came with SemiSeg.
        path: the pack; it stays there.
        seconds: when it was trained or added, since the epoch.
        origin: "trained" here, "added" from a file, or "shipped".
        current: whether it is the one in use.
        summary: what its run said of itself (``summary.json``); empty where that is not known.
    """

    name: str
    number: int
    path: Path
    seconds: float
    origin: Origin
    current: bool
    summary: Mapping[str, Any] = field(default_factory=dict, compare=False)


def install(pack: Path, name: str, summary: Mapping[str, Any] | None = None) -> Version:
    """Keep a newly trained pack as the newest version of a model, and use it from now on.

    Args:
        pack: the file; it stays where it is.
        name: of the model; one that exists already gets one version more, a new one its first.
        summary: what the run said of itself.

    Returns:
        The new version.

    Raises:
        SemiSegError: no such file, a name that no file can have, or no room on the disk; what was in use still is.
    """
    return _whole(install_steps(pack, name, summary))


def install_steps(pack: Path, name: str, summary: Mapping[str, Any] | None = None) -> Steps[Version]:
    """Do what `install` does, in pieces of a few milliseconds."""
    check_name(name)
    if not pack.is_file():
        raise SemiSegError("missing-file", f"There is no model at {pack}", "Train it again", "saving")
    try:
        yield from _keep_current(name)
        # A run that was interrupted between the two steps is taken over again, not kept twice.
        number = next((n for n, folder in _kept(name).items() if _same(folder / MODEL, pack)), None)
        if number is None:
            number = yield from _keep(pack, name, "trained", summary or {})
        yield from _put_into_use(_found(name, number))
    except OSError as error:
        raise _cannot_keep(name, error) from error
    return _found(name, number)


def versions(name: str) -> list[Version]:
    """Return the versions of a model, the oldest first.

    Args:
        name: of the model.

    Returns:
        All that are kept, the shipped one where there is one, and what the user put there by hand. None or one of
        them is in use.
    """
    used = _used(name)
    found: list[Version] = []
    shipped = (resource_folder("models") or user_folder() / FOLDER) / f"{name}{ENDING}"
    if shipped.exists():
        found.append(Version(name, SHIPPED, shipped, _seconds(shipped), "shipped", used is None))
    kept = _kept(name)
    for number, folder in kept.items():
        pack = folder / MODEL
        origin, summary = _about(folder)
        current = used is not None and _same(pack, used) and not any(version.current for version in found)
        found.append(Version(name, number, pack, _seconds(pack), origin, current, summary))
    if used is not None and not any(version.current for version in found):
        found.append(Version(name, max(kept, default=SHIPPED) + 1, used, _seconds(used), "added", True))
    return found


def restore(version: Version) -> Version:
    """Use a version from now on; the one in use until then is kept.

    Returns:
        It, now in use.

    Raises:
        SemiSegError: it is gone, or there is no room on the disk; what was in use still is.
    """
    return _whole(restore_steps(version))


def restore_steps(version: Version) -> Steps[Version]:
    """Do what `restore` does, in pieces of a few milliseconds."""
    if not version.path.exists():
        raise SemiSegError(
            "missing-file", f"Version {version.number} of {version.name} is not there any more",
            "Choose another version", "saving",
        )  # fmt: skip
    try:
        yield from _keep_current(version.name)
        if version.origin != "shipped":
            if not any(v.number == version.number and v.current for v in versions(version.name)):
                yield from _put_into_use(version)
        elif (used := _used(version.name)) is not None:
            _remove(used)  # the user's own hides the shipped one of equal name
    except OSError as error:
        raise _cannot_keep(version.name, error) from error
    return _found(version.name, version.number)


def names() -> list[str]:
    """Return the models that have versions here: those trained on this computer."""
    folder = user_folder() / FOLDER
    return sorted(entry.name for entry in folder.iterdir() if _kept(entry.name)) if folder.is_dir() else []


def check_name(name: str) -> None:
    """Make sure that a model can be called so.

    Raises:
        SemiSegError: it cannot be the name of a file on every system.
    """
    if (
        not name
        or len(name) > _LONGEST
        or name != name.strip(" .")
        or _FORBIDDEN.search(name)
        or _DEVICES.fullmatch(name)
    ):
        raise SemiSegError(
            "bad-name", f'"{name}" cannot be the name of a model',
            f"Use letters, digits, spaces, hyphens and underscores, {_LONGEST} at most", "settings",
        )  # fmt: skip


def _whole(steps: Steps[T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def _found(name: str, number: int) -> Version:
    return next(version for version in versions(name) if version.number == number)


def _used(name: str) -> Path | None:
    """Return the user's pack of this name, as SemiSegCervical finds it."""
    path = user_folder() / f"{name}{ENDING}"
    return path if path.exists() else None


def _kept(name: str) -> dict[int, Path]:
    """Return the folders of the kept versions by number; one that a crash left half-made has no model and is none."""
    folder = user_folder() / FOLDER / name
    found = {int(entry.name): entry for entry in folder.iterdir() if entry.name.isdecimal()} if folder.is_dir() else {}
    return {number: found[number] for number in sorted(found) if (found[number] / MODEL).exists()}


def _about(folder: Path) -> tuple[Origin, dict[str, Any]]:
    """Return what is known of a kept version; its model is good also where that was damaged."""
    try:
        found = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        summary = found["summary"]
        origin: Origin = "added" if found["origin"] == "added" else "trained"
    except (OSError, ValueError, KeyError, TypeError):
        return "trained", {}
    return origin, summary if isinstance(summary, dict) else {}


def _keep_current(name: str) -> Steps[None]:
    """Make sure that what is in use is kept before it makes room."""
    used = _used(name)
    if used is None or any(_same(folder / MODEL, used) for folder in _kept(name).values()):
        return
    yield from _keep(used, name, "added", {})


def _keep(pack: Path, name: str, origin: Origin, summary: Mapping[str, Any]) -> Steps[int]:
    """Keep a copy of a pack and return its number; an unpacked one of the user's is moved."""
    folder = _claim(name)
    try:
        about = json.dumps({"origin": origin, "summary": summary}, indent=1)
        (folder / ABOUT).write_text(about, encoding="utf-8")
        if pack.is_dir():
            move(pack, folder / MODEL)
        else:
            yield from _copy(pack, folder / MODEL)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return int(folder.name)


def _claim(name: str) -> Path:
    """Make the folder of the next version; another program may do the same at this moment."""
    folder = user_folder() / FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    number = max((int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()), default=SHIPPED)
    while True:
        number += 1
        with suppress(FileExistsError):
            (folder / f"{number:04}").mkdir()
            return folder / f"{number:04}"


def _put_into_use(version: Version) -> Steps[None]:
    target = user_folder() / f"{version.name}{ENDING}"
    if version.path.is_dir():
        part = _part(target)
        try:
            shutil.copytree(version.path, part)
            _remove(target)
            move(part, target)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    else:
        if target.is_dir():
            _remove(target)
        yield from _copy(version.path, target)


def _remove(used: Path) -> None:
    """Remove what is in use; it is kept elsewhere."""
    if used.is_dir():
        gone = used.with_name(f".{used.name}.{os.getpid()}.gone")
        used.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    else:
        used.unlink(missing_ok=True)


def _copy(source: Path, target: Path) -> Steps[None]:
    """Copy a file with its time, whole or not at all; what is at the target stays there until then."""
    part = _part(target)
    try:
        with source.open("rb") as stream, part.open("wb") as copy:
            while piece := stream.read(_PIECE_BYTES):
                copy.write(piece)
                copy.flush()
                os.fsync(copy.fileno())
                yield
        times = source.stat()
        os.utime(part, ns=(times.st_atime_ns, times.st_mtime_ns))
        move(part, target)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _part(target: Path) -> Path:
    """Return a name for a copy that is being made: its own, for a version may be chosen while another is installed."""
    return target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")


def _same(one: Path, other: Path) -> bool:
    """Return whether one pack is a copy of the other that kept its time."""
    if one.is_dir() and other.is_dir():
        one, other = one / _MANIFEST, other / _MANIFEST
    if not one.is_file() or not other.is_file():
        return False
    first, second = one.stat(), other.stat()
    return (first.st_size, first.st_mtime_ns) == (second.st_size, second.st_mtime_ns)


def _seconds(path: Path) -> float:
    return path.stat().st_mtime


def _cannot_keep(name: str, error: OSError) -> SemiSegError:
    return SemiSegError(
        "cannot-write", f'The model "{name}" cannot be stored in {user_folder()}: {error.strerror or error}',
        "Free some space or allow writing there, then try again: nothing was lost", "saving",
    )  # fmt: skip
