"""What holds for every test: which need PyTorch, and what is left out where it is not installed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from house.trees import Graph, imports

HERE = Path(__file__).resolve().parent
TORCH_FOLDERS = {"engine", "learning"}
WITHOUT_TORCH = os.environ.get("SEMISEG_WITHOUT_TORCH") == "1"
# What the torch-free lock lacks.
MISSING = {"torch", "monai", "lightning_fabric", "safetensors", "einops"}

_left_out: list[str] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the computing layers, and in a torch-free run leave out everything so marked."""
    for item in items:
        if TORCH_FOLDERS & set(item.path.relative_to(HERE).parts):
            item.add_marker("torch")
    if WITHOUT_TORCH:
        items[:] = [item for item in items if item.get_closest_marker("torch") is None]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """In a torch-free run, do not even import a test file whose imports reach PyTorch."""
    if not WITHOUT_TORCH or collection_path.suffix != ".py":
        return None
    wanted = imports(collection_path.read_text(encoding="utf-8"), collection_path.stem)
    if Graph.of_repository().reached_by(wanted) & MISSING:
        _left_out.append(str(collection_path.relative_to(HERE)))
        return True
    return None


def pytest_report_collectionfinish() -> str:
    """Say what a torch-free run leaves out, so that it is not taken for the whole."""
    if not WITHOUT_TORCH:
        return ""
    return f"without PyTorch: its tests are left out, and {len(_left_out)} files that import it"
