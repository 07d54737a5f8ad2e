"""Which method should be proposed for so many minutes? What a panel would propose against supervised, at equal time.

    python3 Testing/run.py bench proposal --data DIR [--minutes 10] [--sets fugc carotid ...] [--seeds 0]
        [--methods supervised ...]

DIR holds the expanded data sets. Of each set a few cases are labelled, some are measured, and the others are learned
from without their labels. The cases that other benchmarks test on are not looked at: what is decided here can be tested
there. Rows that results/proposal.json holds already are skipped, so an interrupted benchmark goes on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from _command import add_data, data_folder
from _results import RESULTS, machine, read, write
from _trust import interval
from learning import MODALITIES, settle
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegTrainerLib.catalogue import proposed
from SemiSegTrainerLib.learning.datalist import read_datalist
from SemiSegTrainerLib.learning.evaluation import evaluate_model
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.run import MODEL, train_model
from SemiSegTrainerLib.learning.training import Settings, versions

FILE = RESULTS / "proposal.json"


@dataclass(frozen=True)
class Part:
    """How a data set is used.

    Attributes:
        labelled: so many cases are labelled; of the carotid videos, frames of each.
        measured: so many labelled cases besides those of the validation list are measured; of the carotid videos, so
            many whole ones.
        spacing: voxels in mm, slowest axis first; None lets the engine choose.
        size: window of the volumes' networks; None lets the engine choose.
    """

    labelled: int
    measured: int
    spacing: tuple[float, ...] | None = None
    size: tuple[int, ...] | None = None

    @property
    def dimensions(self) -> int:
        """2 for pictures, 3 for volumes."""
        return 2 if self.spacing is None else 3


# Volumes on the grids of `learning.py`; pictures as the panel would train them.
PARTS = {
    "fugc": Part(5, 20),
    "carotid": Part(2, 2),
    "hc18": Part(8, 0),
    "dsb": Part(10, 0),
    "la": Part(4, 8, spacing=(1.25,) * 3, size=(40, 56, 56)),
    "lgg": Part(4, 5, (1, 2, 2), (16, 64, 64)),
}


def main() -> None:
    """Train and measure what is missing; write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, apart from reading the images")
    parser.add_argument("--sets", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--methods", nargs="+", help="by default what is proposed for much time, and its baseline")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    data = data_folder(parser, arguments)
    for seed in arguments.seeds:
        for name in arguments.sets:
            for method in arguments.methods or methods_of(name):
                row = {"set": name, "method": method, "minutes": arguments.minutes, "seed": seed}
                if not any(all(r[k] == v for k, v in row.items()) for r in results()["runs"]):
                    add(row | measure(data, row, arguments.device))


def methods_of(name: str) -> list[str]:
    """Return the baseline, and the method that learns from what is not annotated."""
    count = len(MODALITIES.get(name, ("one",)))
    return ["supervised" if count == 1 else "supervised_modalities", proposed(PARTS[name].dimensions, True, count).name]


def measure(data: Path, row: dict[str, Any], device: str) -> dict[str, Any]:
    """Train one model and measure it."""
    part = PARTS[row["set"]]
    print(", ".join(f"{k} {v}" for k, v in row.items()), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        datalist = Path(folder) / "datalist.json"
        datalist.write_text(json.dumps(divided(data / row["set"], part)))
        options = RunOptions(
            method=row["method"],
            settings=Settings(iterations=None, minutes=row["minutes"], seed=row["seed"]),
            device=device, size=part.size, spacing=part.spacing, calibrate="none",
        )  # fmt: skip
        started = time.monotonic()
        summary = train_model(datalist, Path(folder) / "run", options)
        took = time.monotonic() - started
        pack = load_pack(Path(folder) / "run" / MODEL)
        found = evaluate_model(Predictor(pack, device), read_datalist(datalist)["test"], distances=False)
    dices = {figures.case: round(figures.dice, 4) for figures in found}
    print(f"  {summary['iterations']} iterations, Dice {mean(dices.values()):.4f}, {took:.0f} s", flush=True)
    return {
        "dice": round(mean(dices.values()), 4),
        "iterations": summary["iterations"],
        "size": list(pack.manifest.input.size),
        "seconds": round(took, 1),
        "unlabelled": summary["unlabelled"] + summary["not_learned_from"],
        **{k: summary[k] for k in ("labelled", "device", "precision", "threads", "data_fingerprint")},
        "cases": dices,
    }


def divided(folder: Path, part: Part) -> dict[str, Any]:
    """Return a datalist: those labelled, those without labels, and under ``test`` those that are measured."""
    content = json.loads((folder / "datalist.json").read_text())
    known = json.loads((folder / "datalist_full.json").read_text())["training"]
    if folder.name == "carotid":
        videos = sorted({entry["sequence"] for entry in known})
        kept = videos[-part.measured :]
        measured = [entry for entry in known if entry["sequence"] in kept]
        labelled = [entry for entry in content["training"] if entry["sequence"] not in kept]
        rest = [entry for entry in content["unlabeled"] if entry["sequence"] not in kept]
    else:
        labelled, measured = known[: part.labelled], known[part.labelled :][: part.measured]
        images = [entry["image"] for entry in known]
        never = [entry for entry in content["unlabeled"] if entry["image"] not in images]
        rest = known[part.labelled + part.measured :] + never
    content |= {
        "training": labelled,
        "unlabeled": [{k: v for k, v in entry.items() if k != "label"} for entry in rest],
        "test": measured + content["validation"],
        "validation": [],
    }
    settle(content, folder)
    return content


def results() -> dict[str, Any]:
    """Return what has been measured."""
    return read(FILE, runs=[])


def add(run: dict[str, Any]) -> None:
    """Write a run, and what all runs say of the methods."""
    found = results()  # read now: another process may have added runs
    found["runs"].append(run)
    found["comparisons"] = comparisons(found["runs"])
    found |= {
        "benchmark": "proposal",
        "command": "python3 Testing/run.py bench proposal --data DIR",
        "machine": machine(),
        "versions": versions(),
    }
    write(FILE, found)


def comparisons(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the differences from the baseline with as many minutes: the mean over seeds of each case, in pairs."""
    table = []
    for name, minutes, method in dict.fromkeys((r["set"], r["minutes"], r["method"]) for r in runs):
        baseline = methods_of(name)[0]
        mine, theirs = (
            {r["seed"]: r for r in runs if (r["set"], r["minutes"], r["method"]) == (name, minutes, m)}
            for m in (method, baseline)
        )
        seeds = sorted(mine.keys() & theirs.keys())
        if method == baseline or not seeds:
            continue
        differences = [
            mean(mine[s]["cases"][case] - theirs[s]["cases"][case] for s in seeds) for case in mine[seeds[0]]["cases"]
        ]
        bounds = interval(differences, lambda drawn: float(np.mean(drawn)), 10_000)
        table.append(
            {
                "set": name, "minutes": minutes, "method": method, "against": baseline, "seeds": seeds,
                "iterations": [[side[s]["iterations"] for s in seeds] for side in (theirs, mine)],
                "dice": [round(mean(side[s]["dice"] for s in seeds), 4) for side in (theirs, mine)],
                "difference": round(mean(differences), 4),
                "interval_95": [round(bound, 4) for bound in bounds] if bounds else None,
                "cases": len(differences),
            }
        )  # fmt: skip
    return table


if __name__ == "__main__":
    main()
