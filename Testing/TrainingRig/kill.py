"""Start `TrainingRig.killable`, kill it in the middle, and start it again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

from house.environment import with_libraries


def environment() -> dict[str, str]:
    """Return the variables of a child process: both libraries on its path, one thread."""
    return with_libraries(OMP_NUM_THREADS="1")


def train_until(arguments: list[str], moment: random.Random | None, stage: str = "training") -> int:
    """Run `TrainingRig.killable`; with `moment`, send SIGKILL some iterations after the start of `stage`.

    Returns:
        The last iteration that the process said before it ended.

    Raises:
        RuntimeError: it ended by itself with an error.
    """
    command = [sys.executable, "-m", "TrainingRig.killable", *arguments]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    left = None if moment is None else moment.randint(1, 8)
    last = 0
    for line in process.stdout:
        said, done = line.split()
        if said != stage:
            continue
        last = int(done)
        if left is not None:
            left -= 1
            if left == 0:
                assert moment is not None
                time.sleep(moment.uniform(0, 0.1))  # somewhere within an iteration or a checkpoint
                process.send_signal(signal.SIGKILL)
    status = process.wait()
    if status not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the training ended with status {status}")
    return last
