"""A clean scene of real MRML nodes for every test of the scene layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("slicer", reason="the scene layers run on slicer-core: pip install slicer-core")


@pytest.fixture
def scene() -> Iterator[Any]:
    """The scene, empty before and after the test."""
    from SlicerRig import mrml

    yield mrml.clear()
    mrml.clear()
