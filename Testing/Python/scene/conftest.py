"""A clean scene of real MRML nodes for every test of the scene layers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer", reason="the scene layers run on slicer-core: pip install slicer-core")


@pytest.fixture
def scene() -> Iterator[Any]:
    """The scene, empty before and after the test."""
    from SlicerRig import mrml

    yield mrml.clear()
    mrml.clear()


@pytest.fixture
def labels() -> np.ndarray:
    """Two bars, classes 1 and 2, on a picture of 10 x 12."""
    made = np.zeros((10, 12), dtype=np.uint8)
    made[2:5, 2:10] = 1
    made[6:9, 2:10] = 2
    return made


@pytest.fixture(scope="session")
def drawing() -> None:
    """Slice views can be drawn here; where they must be (CI), a test fails that cannot."""
    from SlicerRig import slice_views

    reason = slice_views.available()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
