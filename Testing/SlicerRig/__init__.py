"""Slicer without its application: what tests and the demo need of it, on the real MRML of slicer-core."""
