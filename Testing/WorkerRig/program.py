"""A program with a client, to be killed: it says its worker's process id and private folder, and waits for its job.

python -m WorkerRig.program TEMPORARY PACK FRAMES
"""

from __future__ import annotations

import sys
from pathlib import Path

from SemiSegCervicalLib.worker.protocol import Model, PredictFrames
from SemiSegCervicalLib.worker.subprocess_transport import local_client


def main(temporary: str, pack: str, frames: str) -> None:
    client = local_client(temporary=Path(temporary), log=Path(temporary) / "worker.log")
    job = client.submit(PredictFrames(Model(pack), (frames,)))
    client.wait_until(lambda: job.progress is not None and job.progress.stage == "predicting", 120)
    print(client.pid, job.folder, flush=True)
    client.wait(job)


if __name__ == "__main__":
    main(*sys.argv[1:])
