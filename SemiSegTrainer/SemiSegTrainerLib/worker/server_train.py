"""Training inside the worker process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.worker.server_jobs import ServerJob

from .protocol import Compare, Measure, Suggest, Train, Trained
from .server_compare import compare
from .server_measure import measure
from .server_suggest import suggest

if TYPE_CHECKING:
    from SemiSegCervicalLib.worker.server_main import Server


def register(server: Server) -> None:
    """Make the server train; nothing heavy is imported before the first job."""
    server.register(Train, train)
    server.register(Measure, measure)
    server.register(Compare, compare)
    server.register(Suggest, suggest)


def train(job: ServerJob, message: Train) -> Trained:
    """Run a whole training."""
    if (message.iterations is None) == (message.minutes is None):
        raise SemiSegError(
            "two-budgets", "The length of the training is given twice or not at all",
            "Give either iterations or minutes", "settings",
        )  # fmt: skip
    job.progress("starting", 0, 1)
    with job.shielded():
        from SemiSegTrainerLib.learning.observing import Wish
        from SemiSegTrainerLib.learning.run import train_model
        from SemiSegTrainerLib.learning.training import Settings

        from .server_options import run_options
    options = run_options(
        message,
        Settings(iterations=message.iterations, minutes=message.minutes, seed=message.seed),
        without=message.without,
        unlabelled_view=message.unlabelled_view,
        resume=message.resume,
        name=message.name,
    )

    def forward(stage: str, done: int, total: int, seconds_left: float, values: dict[str, float]) -> None:
        job.progress(stage, done, total, seconds_left or None, values)

    wish = Wish(job.folder, message.preview, message.preview_slice, message.preview_seconds, message.validate_seconds)
    summary = train_model(
        Path(message.datalist), Path(message.out), options, forward, lambda: job.stopped, job.asked_to_finish, wish,
        job.chunk,
    )  # fmt: skip
    return Trained(summary["finished"], summary["model"], summary)
