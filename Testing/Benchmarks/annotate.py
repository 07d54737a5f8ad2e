"""Does it pay to annotate what is suggested? Dice by the number of annotated frames of carotid videos.

    python3 Testing/run.py bench annotate --data DIR [--seeds 0 1 2] [--ways suggested random even] [--rounds 4]
        [--method supervised] [--iterations N] [--size 96x96]

DIR holds the expanded data sets (`DIR/carotid/datalist.json`). Each seed draws four frames of the training videos. A
model is trained on them, four more frames are annotated, by their reference labels, a new model is trained from random
weights, and so on. The frames are those that the last model suggests, random ones, or ones evenly spaced over all
videos. Every model is measured on the test videos, which nothing else is decided by. Results are stored row by row in
results/annotate.json, and rows that are there at the same settings are skipped: an interrupted benchmark goes on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from _annotate_figure import curves, draw
from _command import add_data, data_folder
from _results import RESULTS, machine, read, write
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegTrainerLib.learning.datalist import read_datalist
from SemiSegTrainerLib.learning.evaluation import evaluate_model, nan_mean
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.ranking import rank
from SemiSegTrainerLib.learning.run import MODEL, train_model
from SemiSegTrainerLib.learning.training import Settings, versions

# Frames that are annotated at the start, and in each round.
FRAMES = 4
WAYS = ("suggested", "random", "even")


def main() -> None:
    """Train and measure what is missing; write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--ways", choices=WAYS, nargs="+", default=list(WAYS))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--method", default="supervised")
    parser.add_argument("--iterations", type=int, default=480)
    parser.add_argument("--size", default="96x96", help="the networks' grid, rows x columns")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS / "annotate.json")
    arguments = parser.parse_args()
    data = data_folder(parser, arguments)
    size = [int(n) for n in arguments.size.split("x")]
    loop = Loop(data, arguments.out, arguments.method, arguments.iterations, size, arguments.device)
    for seed in arguments.seeds:
        loop.follow(seed, "start", 0)
        for number in range(1, arguments.rounds + 1):
            for way in arguments.ways:
                loop.follow(seed, way, number)


class Loop:
    """The loop of training and annotating on one data set, with all frames of its training videos."""

    def __init__(self, data: Path, out: Path, method: str, iterations: int, size: list[int], device: str) -> None:
        """Read the data set; the annotated and the other frames of the training videos are one pool.

        Args:
            data: the expanded data sets.
            out: results, which may hold rows already.
            method: of the trainings.
            iterations: of each training.
            size: rows and columns of the networks' grid.
            device: where to train.
        """
        folder = data / "carotid"
        self.content = json.loads((folder / "datalist.json").read_text())
        for entry in [e for name in ("training", "unlabeled", "test") for e in self.content[name]]:
            image = folder / entry["image"]
            entry |= {"image": str(image), "label": str(image.with_name(f"{image.stem}_label.png"))}
        pool = self.content.pop("training") + self.content.pop("unlabeled")
        self.pool = {Path(e["image"]).stem: e for e in sorted(pool, key=lambda e: (e["sequence"], e["frame"]))}
        self.out, self.device = out, device
        self.settings = {"method": method, "iterations": iterations, "size": size}

    def follow(self, seed: int, way: str, number: int) -> dict[str, Any]:
        """Return the row of a round, which is trained unless the results hold it.

        Args:
            seed: of the frames at the start, of the random choices, and of the trainings.
            way: one of `WAYS`, or "start" for what all of them start with.
            number: of the round; 0 for "start".
        """
        key = {"seed": seed, "way": way, "round": number, **self.settings}
        found = self._found(key)
        if found is not None:
            return found
        frames = self._frames(seed, way, number)
        print(", ".join(f"{k} {v}" for k, v in key.items()), flush=True)
        row = {**key, "annotated": len(frames), "frames": frames, **self._trained(seed, frames, way)}
        # Read again, since another process may have added rows meanwhile.
        results = self._read()
        results["rows"].append(row)
        results["curves"] = curves(results["rows"])
        results |= {
            "benchmark": "annotate",
            "command": "python3 Testing/run.py bench annotate --data DIR",
            "data": f"carotid: {len(self.pool)} frames of "
            f"{len({e['sequence'] for e in self.pool.values()})} videos to choose from, "
            f"{len(self.content['test'])} frames of two other videos to measure on",
            "machine": machine(),
            "versions": versions(),
        }
        write(self.out, results)
        draw(results, self.out.with_suffix(".png"))
        print(f"  {len(frames)} frames, Dice {row['dice']:.4f}, {row['seconds']:.0f} s", flush=True)
        return row

    def _read(self) -> dict[str, Any]:
        return read(self.out, rows=[], curves=[])

    def _found(self, key: dict[str, Any]) -> dict[str, Any] | None:
        return next((r for r in self._read()["rows"] if all(r.get(k) == v for k, v in key.items())), None)

    def _frames(self, seed: int, way: str, number: int) -> list[str]:
        """Return the names of the frames that are annotated in a round, the first ones first."""
        names = list(self.pool)
        if number == 0:
            return [str(n) for n in np.random.default_rng(seed).choice(names, FRAMES, replace=False)]
        before = self.follow(seed, way if number > 1 else "start", number - 1)
        frames = list(before["frames"])
        if way == "suggested":
            return frames + [s["case"] for s in before["suggestions"]]
        if way == "random":
            left = [n for n in names if n not in frames]
            return frames + [str(n) for n in np.random.default_rng([seed, number]).choice(left, FRAMES, replace=False)]
        for _ in range(FRAMES):
            frames.append(_farthest(names, frames))
        return frames

    def _trained(self, seed: int, frames: list[str], way: str) -> dict[str, Any]:
        """Train on these frames; measure, and let the model suggest where its suggestions are asked for."""
        started, used = time.monotonic(), time.process_time()
        others = [name for name in self.pool if name not in frames]
        content = {
            **self.content,
            "training": [self.pool[name] for name in frames],
            "unlabeled": [{k: v for k, v in self.pool[name].items() if k != "label"} for name in others],
            "validation": [],
        }
        with tempfile.TemporaryDirectory() as name:
            datalist = Path(name) / "datalist.json"
            # Without its unlabelled images a method that does not look at them starts sooner.
            unused = {"unlabeled": []} if self.settings["method"] == "supervised" else {}
            datalist.write_text(json.dumps({**content, **unused}))
            options = RunOptions(
                method=self.settings["method"],
                settings=Settings(iterations=self.settings["iterations"], seed=seed),
                device=self.device, size=tuple(self.settings["size"]), calibrate="none",
            )  # fmt: skip
            summary = train_model(datalist, Path(name) / "run", options)
            datalist.write_text(json.dumps(content))
            listed = read_datalist(datalist)
            predictor = Predictor(load_pack(Path(name) / "run" / MODEL), self.device)
            figures = evaluate_model(predictor, listed["test"], distances=False)
            suggested = rank(predictor, listed, FRAMES) if way in ("start", "suggested") else []
        by_video: dict[str, list[float]] = {}
        for entry, figure in zip(listed["test"], figures, strict=True):
            by_video.setdefault(str(entry.group), []).append(figure.dice)
        videos = {video: round(nan_mean(dices), 4) for video, dices in sorted(by_video.items())}
        return {
            # The videos weigh the same, however many of their frames are labelled.
            "dice": round(mean(videos.values()), 4),
            "videos": videos,
            "failures": sum(a.failed for f in figures for a in f.segments.values()),
            "suggestions": [
                {"case": s.case, "score": round(s.score, 4), "reasons": list(s.reasons)} for s in suggested
            ],
            "seconds": round(time.monotonic() - started, 1),
            "processor_seconds": round(time.process_time() - used, 1),
            "threads": summary["threads"],
            "precision": summary["precision"],
        }


def _farthest(names: list[str], frames: list[str]) -> str:
    """Return the frame in the middle of the longest stretch, over all videos in turn, without an annotation."""
    places = np.array([names.index(frame) for frame in frames])
    return names[int(np.abs(np.arange(len(names))[:, None] - places).min(axis=1).argmax())]


if __name__ == "__main__":
    main()
