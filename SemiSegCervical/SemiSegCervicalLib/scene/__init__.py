"""MRML in and out: images, cine, results, overlays, files.

Everything here reads or changes the scene and is called from the main thread only. It needs slicer, vtk and
numpy; neither torch nor Qt is ever imported.
"""
