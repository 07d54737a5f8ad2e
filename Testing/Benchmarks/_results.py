"""What the benchmarks have stored and how they store it, and what they say of the computer that they ran on."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from SemiSegCervicalLib.atomic import write_atomically

RESULTS = Path(__file__).resolve().parent / "results"


def read(path: Path, **empty: Any) -> dict[str, Any]:
    """Return what a file holds so far; `empty` where there is none yet."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else empty


def write(path: Path, results: dict[str, Any]) -> None:
    """Write results as people can read them, whole or not at all."""
    write_atomically(path, (json.dumps(results, indent=1) + "\n").encode())


def machine() -> dict[str, Any]:
    """Say on what computer it was measured."""
    return {"processor": platform.machine(), "cores": os.cpu_count(), "system": platform.system()}


def machine_in_words() -> str:
    """Say it in a line."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def load_average() -> float | None:
    """Return how busy the computer was in the last minute, in processes; None where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def versions_of(*packages: str) -> dict[str, str]:
    """Return the versions of Python and of these packages, none of which is imported."""
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
