"""What segments: models, prediction, and the scene they meet."""
