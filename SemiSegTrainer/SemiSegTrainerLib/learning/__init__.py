"""How a model learns from partly segmented data: targets, terms, methods, the loop, evaluation. No Slicer, no Qt."""
