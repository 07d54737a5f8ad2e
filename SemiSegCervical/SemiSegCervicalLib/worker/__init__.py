"""The process that holds PyTorch, and its client. What runs inside the process is named ``server*``."""
