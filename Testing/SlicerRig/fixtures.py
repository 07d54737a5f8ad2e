"""For the conftest of every folder whose tests need the headless Slicer: one for the whole run, and quiet slots."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from SlicerRig import application

if reason := application.why_not():
    if os.environ.get("CI") == "true":
        raise RuntimeError(f"where CI is true, the rig must run: {reason}")
    pytest.skip(reason, allow_module_level=True)


@pytest.fixture(scope="session", autouse=True)
def app() -> Any:
    """``slicer.app``; from here on ``qt``, ``ctk`` and ``slicer`` can be imported."""
    return application.start()


@pytest.fixture(autouse=True)
def clean(app: Any) -> Iterator[None]:
    """An empty scene, and no exception in a slot that the test did not expect."""
    import slicer

    slicer.mrmlScene.Clear(0)
    application.reset()
    yield
    errors = list(application.slot_errors())
    application.reset()
    slicer.mrmlScene.Clear(0)
    assert not errors, "\n".join(errors)
