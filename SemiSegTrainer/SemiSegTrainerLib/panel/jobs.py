"""The trainer's worker and what it is asked to do, for the panel as well as for scripts."""

from __future__ import annotations

from typing import Any

from SemiSegCervicalLib.panel.workers import Running, Workers

from ..worker.protocol import LIBRARIES, training_hello


class Jobs(Workers[Running]):
    """A worker that trains: beside other work, so it is polite and leaves one core free."""

    def __init__(self, **options: Any) -> None:
        """Prepare; nothing is started. `options` are those of `worker.client.Client`."""
        super().__init__(**{"libraries": LIBRARIES, "hello": training_hello(), **options})
