"""Segmentation: models and their prediction, the worker that runs them, the scene and the panel."""
