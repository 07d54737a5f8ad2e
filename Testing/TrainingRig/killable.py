"""One training run in a process of its own that says every iteration on standard output, to be killed and resumed.

python -m TrainingRig.killable DATALIST OUT ITERATIONS METHOD SEED
"""

from __future__ import annotations

import sys
from pathlib import Path

from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.run import CHECKPOINTS, train_model
from SemiSegTrainerLib.learning.training import CHECKPOINT, Settings

from .cases import SIZE
from .parts import TINY


def main(datalist: str, out: str, iterations: str, method: str, seed: str) -> None:
    """Train, going on with the checkpoint if there is one."""
    settings = Settings(
        iterations=int(iterations), seed=int(seed), precision="32-true", checkpoint_seconds=0.1, log_every=3
    )
    resume = (Path(out) / CHECKPOINTS / CHECKPOINT).exists()
    options = RunOptions(
        method=method, settings=settings, device="cpu", size=SIZE, branches=TINY, resume=resume, name="tiny"
    )
    train_model(Path(datalist), Path(out), options, lambda stage, done, *_: print(stage, done, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
