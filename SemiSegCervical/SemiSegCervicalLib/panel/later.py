"""Doing something once a little later, however often it is asked for meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import qt


class Later:
    """A timer that fires once after each `start`."""

    def __init__(self, function: Callable[[], None], milliseconds: int = 0) -> None:
        """Wait for `start`.

        Args:
            function: what is done.
            milliseconds: how long after; 0 for the next turn of the event loop.
        """
        self._function = function
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(milliseconds)
        self._timer.connect("timeout()", function)

    def start(self) -> None:
        """Do it later; while it waits already, this changes nothing."""
        if not self._timer.isActive():
            self._timer.start()

    def close(self) -> None:
        """Never do it again."""
        self._timer.stop()
        self._timer.disconnect("timeout()", self._function)
