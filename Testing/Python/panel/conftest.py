"""The panels, clicked in the headless Slicer."""

from SlicerRig.fixtures import app, clean  # noqa: F401
