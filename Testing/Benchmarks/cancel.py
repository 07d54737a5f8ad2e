"""Cancel a cine at random moments, and see how long it takes and what is left.

python3 Testing/run.py bench cancel [--seed S] [--cancels K]

The panel is back as soon as the job has ended. Writes Testing/Benchmarks/results/cancel.json.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _command import said
from _results import RESULTS, load_average, machine_in_words, versions_of, write
from SemiSegCervicalLib.engine.pack import save_pack
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.worker.arrays import write_array
from SemiSegCervicalLib.worker.client import Client
from SemiSegCervicalLib.worker.protocol import Load, Message, Model, Predict, PredictFrames
from SemiSegCervicalLib.worker.subprocess_transport import local_client
from TrainingRig import parts

LIMIT_SECONDS = 2.0
FRAME = (600, 800)
LARGE = (6000, 8000)


def main() -> int:
    """Run the benchmark and write its result; the status is 1 where a cancellation was slow or left something."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cancels", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS / "cancel.json")
    options = parser.parse_args()
    moment = random.Random(options.seed)
    rng = np.random.default_rng(options.seed)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        model = Model(
            str(save_pack(place / "tiny", parts.pack(spec=InputSpec(modalities=("us",), size=(160, 256))))), "cpu"
        )
        cine = str(write_array(place / "cine.npy", rng.integers(0, 255, (60, *FRAME, 3), dtype=np.uint8)))
        large = str(write_array(place / "large.npy", rng.integers(0, 255, LARGE, dtype=np.uint8)))
        temporary = place / "temporary"
        temporary.mkdir()
        with local_client(temporary=temporary, log=place / "worker.log") as client:
            client.wait(client.submit(Load(model)))
            while len(rows) < options.cancels:
                kind = moment.choice(("cine", "cine", "large image"))
                message = Predict(model, (large,)) if kind == "large image" else PredictFrames(model, (cine,), rgb=True)
                row = cancelled(client, kind, message, moment.uniform(0.0, 2.0))
                if row is not None:
                    rows.append(row)
                    print(
                        f"{len(rows)} of {options.cancels}: {kind}, {row['stage']}: {row['seconds']:.2f} s", flush=True
                    )
        left = [path.name for path in temporary.iterdir()]
    seconds = [row["seconds"] for row in rows]
    bad = [r for r in rows if r["seconds"] > LIMIT_SECONDS or r["folder_left"] or r["process_left"]]
    result = {
        "benchmark": "cancel",
        "command": said(),
        "data": f"random: 60 colour frames of {FRAME[0]} x {FRAME[1]}, one image of {LARGE[0]} x {LARGE[1]}",
        "networks": "two tiny branches of TrainingRig.parts",
        "seed": options.seed,
        "cancels": len(rows),
        "seconds_median": statistics.median(seconds),
        "seconds_longest": max(seconds),
        "processes_replaced": sum(not row["process_kept"] for row in rows),
        "bad": len(bad),
        "left_at_the_end": left,
        "rows": rows,
        "machine": machine_in_words(),
        "load": load_average(),
        "versions": versions_of("torch"),
    }
    write(options.out, result)
    print(f"median {result['seconds_median']:.2f} s, longest {max(seconds):.2f} s, bad: {len(bad)}")
    return 1 if bad or left else 0


def cancelled(client: Client, kind: str, message: Message, wait: float) -> dict[str, Any] | None:
    """Cancel a job some seconds after it was handed in, and say how that went; None where it was done before."""
    client.wait_until(lambda: client.state == "ready")
    pid = client.pid
    job = client.submit(message)
    end = time.monotonic() + wait
    client.wait_until(lambda: job.ended or time.monotonic() > end)
    if job.ended:
        client.release(job)
        return None
    stage = job.progress.stage if job.progress else "queued"
    began = time.monotonic()
    client.cancel(job)
    client.wait_until(lambda: job.ended)
    seconds = time.monotonic() - began
    kept = client.pid == pid
    return {
        "job": kind, "stage": stage, "after": round(wait, 3), "seconds": round(seconds, 3),
        "state": job.state, "process_kept": kept,
        "folder_left": job.folder.exists(), "process_left": not kept and _alive(pid),
    }  # fmt: skip


def _alive(pid: int | None) -> bool:
    try:
        os.kill(pid or 0, 0)
    except OSError:
        return False
    return pid is not None


if __name__ == "__main__":
    sys.exit(main())
