"""For the conftest of every folder whose tests need the headless Slicer: one for the whole run, and quiet slots."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from SlicerRig import application

REASON = application.why_not()


class _CannotRun(pytest.Module):
    """A test file that is not even imported, for it would need what cannot be imported here."""

    def collect(self) -> NoReturn:
        if os.environ.get("CI") == "true":
            raise RuntimeError(f"where CI is true, the rig must run: {REASON}")
        pytest.skip(REASON, allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Skip every file of the folder where the rig cannot run, with the reason and the remedy; fail it in CI."""
    return _CannotRun.from_parent(parent, path=module_path) if REASON else None


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
