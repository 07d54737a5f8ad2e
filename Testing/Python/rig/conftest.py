"""The rig's own tests."""

from SlicerRig.fixtures import app, clean, pytest_pycollect_makemodule  # noqa: F401
