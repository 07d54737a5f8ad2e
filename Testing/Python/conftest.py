"""What holds for every test: which need PyTorch, what is left out where it is not installed, and a trained model."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from house.trees import Graph, imports

HERE = Path(__file__).resolve().parent
TORCH_FOLDERS = {"engine", "learning"}
TORCH_FIXTURES = {"trained"}
WITHOUT_TORCH = os.environ.get("SEMISEG_WITHOUT_TORCH") == "1"
# What the torch-free lock lacks.
MISSING = {"torch", "monai", "lightning_fabric", "safetensors", "einops", "openvino"}

_left_out: list[str] = []


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep compiled models of tests out of the user's cache, and the user's out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("compiled")
        patch.setenv("SEMISEG_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of two tiny branches, trained on pictures of blobs."""
    from SemiSegTrainerLib.learning.run import RunOptions, train_model
    from SemiSegTrainerLib.learning.training import Settings
    from TrainingRig import cases, parts

    folder = tmp_path_factory.mktemp("trained")
    options = RunOptions(
        method="supervised", settings=Settings(iterations=60, precision="32-true"), device="cpu", size=cases.SIZE,
        branches=parts.TINY, name="blobs", calibrate="none",
    )  # fmt: skip
    summary = train_model(cases.write_dataset(folder / "data"), folder / "out", options)
    return Path(summary["model"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the computing layers, and in a torch-free run leave out everything so marked."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if TORCH_FOLDERS & set(item.path.relative_to(HERE).parts) or TORCH_FIXTURES & fixtures:
            item.add_marker("torch")
    if WITHOUT_TORCH:
        items[:] = [item for item in items if item.get_closest_marker("torch") is None]


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """In a torch-free run, do not even import a folder's conftest or a test file whose imports reach PyTorch."""
    if not WITHOUT_TORCH:
        return None
    name = collection_path.relative_to(HERE).with_suffix("")
    if collection_path.suffix == ".py":
        wanted = imports(collection_path.read_text(encoding="utf-8"), ".".join(("Python", *name.parts)))
        needs_torch = bool(_graph().reached_by(wanted) & MISSING)
    else:
        needs_torch = name.name in TORCH_FOLDERS
    if not needs_torch:
        return None
    _left_out.append(str(name))
    return True


@functools.cache
def _graph() -> Graph:
    return Graph.of_repository()


def pytest_report_collectionfinish() -> str:
    """Say what a torch-free run leaves out, so that it is not taken for the whole."""
    if not WITHOUT_TORCH:
        return ""
    return f"without PyTorch, left out: the tests that need it, and {', '.join(sorted(_left_out)) or 'no file'}"
