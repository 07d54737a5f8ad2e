"""The rig's own tests."""

from SlicerRig.fixtures import app, clean  # noqa: F401
