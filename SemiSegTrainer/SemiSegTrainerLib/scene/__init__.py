"""A partly segmented scene as a training set: called from the main thread only, without torch and Qt."""
