"""A program with a client, to be killed while its worker computes.

python program.py LIBRARY TEMPORARY PACK FRAMES

When the worker computes it says, as JSON: the worker's process id, its devices, and what it imported itself.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(library: str, temporary: str, pack: str, frames: str) -> None:
    sys.path[:0] = [library]
    from SemiSegCervicalLib.worker.protocol import Model, PredictFrames
    from SemiSegCervicalLib.worker.subprocess_transport import local_client

    client = local_client(temporary=Path(temporary), log=Path(temporary) / "worker.log")
    job = client.submit(PredictFrames(Model(pack, backend="torch"), (frames,)))
    client.wait_until(lambda: job.ended or (job.progress is not None and job.progress.stage == "predicting"), 300)
    told = {
        "pid": client.pid,
        "state": job.state,
        "devices": [device.name for device in client.welcome.devices] if client.welcome else [],
        "modules": sorted(sys.modules),
    }
    print(json.dumps(told), flush=True)
    client.wait(job)


if __name__ == "__main__":
    main(*sys.argv[1:])
