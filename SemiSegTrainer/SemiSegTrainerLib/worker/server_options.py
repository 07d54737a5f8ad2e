"""The run that a message asks for. Importing this imports what trains, which takes seconds."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.training import Settings

from .protocol import Measure, Train

logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


def run_options(message: Train | Measure, settings: Settings, **more: Any) -> RunOptions:
    """Return the options of a run.

    Args:
        message: what a training and its measurement have in common.
        settings: of the training itself.
        more: what a training has besides.
    """
    return RunOptions(
        method=message.method,
        settings=settings,
        device=message.device,
        start=Path(message.start) if message.start is not None else None,
        size=message.size,
        spacing=message.spacing,
        branches=tuple((p.architecture, p.arguments) for p in message.branches) if message.branches else None,
        calibrate=message.calibrate,
        **more,
    )
