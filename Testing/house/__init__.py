"""What keeps the repository in order: its environments, its jobs, and the checks of its layout.

Standard library only, because it runs before anything is installed.
"""
