"""Small real data and networks for the tests and benchmarks of engine, learning and command line."""
