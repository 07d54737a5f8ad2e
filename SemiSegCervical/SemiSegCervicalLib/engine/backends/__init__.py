"""What runs the networks: one small interface, so that the rest of the engine does not know on what it runs."""
