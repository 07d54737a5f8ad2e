"""What a training will take, measured inside the worker process."""

from __future__ import annotations

from pathlib import Path

from SemiSegCervicalLib.worker.server_jobs import ServerJob

from .protocol import Measure, Measured


def measure(job: ServerJob, message: Measure) -> Measured:
    """Do a few steps of a training."""
    job.progress("measuring", 0, 3)
    with job.shielded():
        from SemiSegTrainerLib.learning import measuring
        from SemiSegTrainerLib.learning.training import Settings

        from .server_options import run_options
    options = run_options(message, Settings(iterations=1, seed=message.seed))
    cost = measuring.measure(
        Path(message.datalist), options, lambda done, total: job.progress("measuring", done, total)
    )
    return Measured(
        cost.seconds_per_iteration, cost.memory_gib, cost.device.type, cost.precision, cost.threads,
        tuple(cost.spec.size), cost.spec.spacing, cost.parts, cost.seconds_besides, cost.share_besides,
    )  # fmt: skip
