"""A stand-in for ``slicer.packaging``: checking is real, installing is left to the test."""

from __future__ import annotations

import importlib.metadata
import re
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

install: Callable[..., Any] | None = None
"""What `pip_install` calls with the requirements and its keywords; a test sets it through `application`."""
_running = False


def pip_check(requirements: str | Sequence[str]) -> bool:
    """Tell whether requirements are met, without importing anything."""
    return all(_met(entry) for entry in _listed(requirements))


def pip_install(
    requirements: str | Sequence[str],
    constraints: Any = None,
    no_deps_requirements: Any = None,
    skip_packages: Any = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    logCallback: Callable[[str], Any] | None = None,
    completedCallback: Callable[[int], Any] | None = None,
) -> Any:
    """Call what the test put in place of pip.

    Raises:
        RuntimeError: nothing was put there.
    """
    if install is None:
        raise RuntimeError("nothing is installed in tests; set application.on_pip_install(function)")
    keywords = {
        "constraints": constraints,
        "no_deps_requirements": no_deps_requirements,
        "skip_packages": skip_packages,
        "blocking": blocking,
        "show_progress": show_progress,
        "requester": requester,
        "logCallback": logCallback,
        "completedCallback": completedCallback,
    }
    return install(_listed(requirements), **keywords)


def pip_ensure(
    requirements: str | Sequence[str],
    constraints: Any = None,
    skip_packages: Any = None,
    prompt_install: bool = True,
    prompt_restart: bool = True,
    requester: str | None = None,
    skip_in_testing: bool = True,
    show_progress: bool = True,
) -> None:
    """Install what is missing; nothing in testing mode unless asked."""
    missing = [entry for entry in _listed(requirements) if not _met(entry)]
    if missing and not skip_in_testing:
        pip_install(missing, constraints=constraints, skip_packages=skip_packages, requester=requester)


def pip_uninstall(requirements: str | Sequence[str], **_: Any) -> None:
    """Refuse.

    Raises:
        RuntimeError: always.
    """
    raise RuntimeError(f"nothing is uninstalled in tests: {requirements}")


def isPipInstallInProgress() -> bool:
    """Tell whether a background installation runs."""
    return _running


def load_requirements(path: str | Path) -> list[str]:
    """Read a requirements file, without comments."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return [text for line in lines if (text := line.partition("#")[0].strip())]


def module() -> types.ModuleType:
    """Return what ``import slicer.packaging`` gives."""
    made = types.ModuleType("slicer.packaging")
    offered = (pip_check, pip_install, pip_ensure, pip_uninstall, isPipInstallInProgress, load_requirements)
    vars(made).update({known.__name__: known for known in offered})
    return made


def _listed(requirements: str | Sequence[str]) -> list[str]:
    return [requirements] if isinstance(requirements, str) else list(requirements)


def _met(requirement: str) -> bool:
    matched = re.match(r"\s*([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*(.*)$", requirement.partition(";")[0])
    if matched is None:
        raise ValueError(f"Invalid requirement: {requirement!r}")
    name, wanted = matched.groups()
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return all(_compare(version, part.strip()) for part in wanted.strip("() ").split(",") if part.strip())


def _compare(version: str, clause: str) -> bool:
    matched = re.match(r"(==|>=|<=|!=|~=|>|<)\s*([0-9][0-9.]*)(\.\*)?$", clause)
    if matched is None:
        raise ValueError(f"the rig does not know the version clause {clause!r}")
    sign, text, star = matched.groups()
    have, want = _numbers(version), _numbers(text)
    if star or sign == "~=":
        prefix = want if star else want[:-1]
        same = have[: len(prefix)] == prefix
        return same if sign == "==" else not same if sign == "!=" else same and have >= want
    width = max(len(have), len(want))
    have, want = have + (0,) * (width - len(have)), want + (0,) * (width - len(want))
    return {
        "==": have == want,
        "!=": have != want,
        ">=": have >= want,
        "<=": have <= want,
        ">": have > want,
        "<": have < want,
    }[sign]


def _numbers(version: str) -> tuple[int, ...]:
    release = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(int(part) for part in release[0].split(".")) if release else (0,)
