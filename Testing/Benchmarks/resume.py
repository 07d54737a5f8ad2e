"""Kill a training run with SIGKILL at ten random moments, resume it each time, and compare it with an undisturbed one.

python3 Testing/run.py bench resume [--seed S] [--iterations N] [--kills K] [--method NAME]

Writes Testing/Benchmarks/results/resume.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from _command import said
from _results import RESULTS, write
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegTrainerLib.learning.training import versions
from TrainingRig import cases, kill


def main() -> int:
    """Run the benchmark and write its result; the status is 1 if the weights differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of the data, the run, and the moments")
    parser.add_argument("--iterations", type=int, default=120)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--method", default="cross_supervision")
    parser.add_argument("--out", type=Path, default=RESULTS / "resume.json")
    options = parser.parse_args()
    moment = random.Random(options.seed)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        datalist = cases.write_dataset(folder / "data")

        def arguments(out: str) -> list[str]:
            return [str(datalist), str(folder / out), str(options.iterations), options.method, str(options.seed)]

        killed_after = []
        while len(killed_after) < options.kills:
            killed_after.append(kill.train_until(arguments("killed"), moment))
            print(f"kill {len(killed_after)} of {options.kills}: after iteration {killed_after[-1]}", flush=True)
            if (folder / "killed" / "summary.json").exists():
                print("The run ended before it was killed often enough: give more --iterations.", file=sys.stderr)
                return 2
        for out in ("killed", "whole"):
            kill.train_until(arguments(out), None)
        weights, history = (_differences(folder, f) for f in (_weights, _history))
        result = {
            "benchmark": "resume",
            "command": said(),
            "data": "synthetic blobs of TrainingRig.cases: 3 labelled, 4 unlabelled pictures of 32 x 48",
            "method": options.method,
            "networks": "two tiny branches of TrainingRig.parts",
            "seed": options.seed,
            "iterations": options.iterations,
            "kills": len(killed_after),
            "killed_after_iteration": killed_after,
            "weights_equal": not weights,
            "weights_differing": weights,
            "history_equal": not history,
            "history_differing": history,
            "threads": 1,
            "machine": f"{platform.system()} {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
            "versions": versions(),
            "seconds": round(time.perf_counter() - started, 1),
        }
    write(options.out, result)
    print(f"weights equal: {not weights}, history equal: {not history}. Written: {options.out}")
    return 1 if weights or history else 0


def _differences(folder: Path, read: Callable[[Path], dict[str, Any]]) -> list[str]:
    killed, whole = read(folder / "killed"), read(folder / "whole")
    return sorted(k for k in killed.keys() | whole.keys() if killed.get(k) != whole.get(k))


def _weights(out: Path) -> dict[str, bytes]:
    """Every tensor of the written model, as its bytes."""
    return {
        f"branch {number}, {name}": tensor.numpy().tobytes()
        for number, branch in enumerate(load_pack(out / "model.semiseg").branches, 1)
        for name, tensor in branch.state_dict().items()
    }


def _history(out: Path) -> dict[str, str]:
    """Every row of the history but its time; a double iteration shows by its number."""
    with (out / "history.csv").open(newline="", encoding="utf-8") as stream:
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]
    return {f"row {number}": json.dumps(row) for number, row in enumerate(rows, 1)}


if __name__ == "__main__":
    sys.exit(main())
