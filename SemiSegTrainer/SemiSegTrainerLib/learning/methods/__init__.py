"""The training methods: one recipe per file, found by its name."""
