"""The parts of the module's panel; they run in Slicer's main thread and never import PyTorch."""
