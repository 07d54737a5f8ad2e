"""A module opened in the headless Slicer of the tests, with a worker of its own, as benchmarks drive it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from SlicerRig import application

PATIENCE = 3600.0


class PanelDriver:
    """An opened module.

    Attributes:
        widget: what Slicer makes of the module.
        panel: its panel.
        ui: the panel's widgets.
        temporary: where the worker's private folder is made.
    """

    def __init__(self, module: str, temporary: Path, log: Path) -> None:
        """Open a module, and give it a worker whose files lie in `temporary`."""
        self.widget = application.open_module(module)
        self.panel, self.ui = self.widget.panel, self.widget.panel.ui
        self.module, self.temporary = module, temporary
        logic = self.widget.logic
        jobs = type(logic.jobs)(temporary=temporary, log=log)
        jobs.on_change = logic.jobs.on_change
        logic.jobs.close()
        logic.jobs = jobs

    @property
    def worker(self) -> int | None:
        """The worker's process; None where there is none yet."""
        found: int | None = self.widget.logic.jobs.client.pid
        return found

    def until(self, condition: Callable[[], Any]) -> None:
        """Let the event loop turn.

        Raises:
            SystemExit: it did not come true.
        """
        if not application.wait_until(condition, PATIENCE):
            sys.exit(f"given up: {self.ui.messageLabel.text}")

    def close(self) -> None:
        """Unload the module, as the end of the application does."""
        application.close_module(self.module)


class SegmentingDriver(PanelDriver):
    """SemiSegCervical, opened."""

    def __init__(self, temporary: Path, log: Path) -> None:
        super().__init__("SemiSegCervical", temporary, log)

    def choose(self, node: Any, model: str) -> None:
        """Choose image and model, and wait until Apply can be pressed."""
        self.ui.sourceSelector.setCurrentNode(node)
        self.panel.models.choose(model)
        application.process_events(0.3)
        self.until(lambda: self.ui.applyButton.enabled)

    def apply(self) -> Any:
        """Press Apply and return the job."""
        application.click(self.ui.applyButton)
        return self.panel.state().job

    def segment(self, node: Any, model: str) -> Any:
        """Segment an image and return the job, which is done.

        Raises:
            SystemExit: it failed.
        """
        self.choose(node, model)
        job = self.apply()
        self.until(lambda: job.ended)
        application.process_events(0.2)
        if job.error is not None:
            sys.exit(str(job.error))
        return job


class TrainingDriver(PanelDriver):
    """SemiSegTrainer, opened."""

    def __init__(self, temporary: Path, log: Path) -> None:
        super().__init__("SemiSegTrainer", temporary, log)

    def train(self) -> Any:
        """Press Start as soon as that can be done, and return the training, which has made a model.

        Raises:
            SystemExit: it cannot be started, or made none.
        """
        start = self.panel.run.ui.startButton
        self.until(lambda: start.enabled)
        application.click(start)
        training = self.panel.run.training
        self.until(lambda: training.ended)
        if training.version is None:
            sys.exit(f"The training made no model: {self.ui.messageLabel.text}")
        return training
