"""Workers that misbehave, and programs around a client that are killed."""
