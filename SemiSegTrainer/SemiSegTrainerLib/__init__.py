"""What learns: training from partly segmented data, and the command line."""
