"""The parts of the trainer's panel; they run in Slicer's main thread and never import PyTorch."""
