"""What the trainer adds to the cervical library's worker process: training, measuring, comparing and suggesting."""
