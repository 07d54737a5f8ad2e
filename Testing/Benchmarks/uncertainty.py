"""Can the uncertainty be believed? Calibration, detection of errors and predicted quality on the test cases.

    python3 Testing/run.py bench uncertainty --data DIR [--sets fugc carotid hc18 la ...] [--packs DIR]
        [--iterations N] [--seed S]

DIR holds the expanded data sets (`DIR/fugc/datalist.json`). Looked at are the models that come along, others that are
trained here with their temperatures fitted on annotations that were not trained on, or those in `--packs`
(`DIR/fugc.semiseg`). Every test case is predicted as it is, with temperature and without, and degraded in every way of
`degradations.json`. Test cases choose nothing. Models and the counts of each case stay in the work folder, so that an
interrupted benchmark goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from _command import Line, add_data, data_folder
from _degrade import PLAN, degraded
from _results import RESULTS, machine, read
from _trust import CaseTrust, Detection, Reliability, ace, examine, interval, rank_correlation
from _uncertainty_figure import draw
from SemiSegCervicalLib.atomic import write_atomically
from SemiSegCervicalLib.engine.files import read_image, read_labels
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import Pack, load_pack
from SemiSegCervicalLib.engine.predict import Prediction, Predictor
from SemiSegCervicalLib.engine.schema import Calibration
from SemiSegTrainerLib.learning.bands import BAND_WIDTH, boundary_band
from SemiSegTrainerLib.learning.datalist import Entry, read_datalist
from SemiSegTrainerLib.learning.evaluation import compare_labels
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.run import CHECKPOINTS, MODEL, train_model
from SemiSegTrainerLib.learning.targets import possible_classes
from SemiSegTrainerLib.learning.training import CHECKPOINT, Settings, versions

ROOT = Path(__file__).resolve().parents[2]
WORK, MODELS = ROOT / "build" / "bench-uncertainty", ROOT / "Resources" / "models"
FEW_GROUPS = 8  # videos or examinations: fewer are no sample from which an interval could be drawn
REVIEWED = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2)


@dataclass(frozen=True)
class Subject:
    """A model that is looked at.

    Attributes:
        data: its data set.
        shipped: the model that comes along, by the name of its file; None trains one.
        method: by which it is trained.
        iterations: of its training; two thirds as many are spent on its temperatures where there is no validation list.
        size: grid, or window of a volume.
        spacing: of a volume's voxels, mm.
    """

    data: str
    shipped: str | None = None
    method: str = "cross_supervision"
    iterations: int = 0
    size: tuple[int, ...] = ()
    spacing: float | None = None


# `la` has the grid of `learning.py`, and five times its usual budget. Trainings of the others take seven minutes on one
# core (`coarse`) or up to three quarters of an hour (`fine`), apart from the temperatures. Videos are whole or not at
# all, so what is drawn again for an interval are cases of `fugc` and `la` and examinations of `hc18`; `carotid` has two
# test videos and gets none.
SETS = {
    "fugc": Subject("fugc", "cervix"),
    "carotid": Subject("carotid", "carotid"),
    "hc18": Subject("hc18", "fetal_head"),
    "la": Subject("la", method="supervised", iterations=2000, size=(40, 56, 56), spacing=1.25),
    "fugc_coarse": Subject("fugc", iterations=400, size=(96, 160)),
    "carotid_coarse": Subject("carotid", iterations=400, size=(160, 128)),
    "fugc_fine": Subject("fugc", iterations=1600, size=(192, 320)),
    "carotid_fine": Subject("carotid", iterations=1400, size=(320, 320)),
    "la_fine": Subject("la", method="supervised", iterations=800, size=(64, 80, 80), spacing=0.9375),
}


@dataclass(frozen=True)
class Pair:
    """Predicted and true Dice of one segment of one case, degraded or not."""

    case: str
    kind: str
    level: int
    segment: str
    predicted: float | None
    true: float | None


@dataclass(frozen=True)
class Record:
    """All that is kept of one test case."""

    case: str
    group: str
    before: CaseTrust
    after: CaseTrust
    pairs: tuple[Pair, ...]


def main() -> None:
    """Measure what is missing, and write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["fugc", "carotid", "hc18", "la"])
    parser.add_argument("--packs", type=Path, help="folder of <set>.semiseg instead")
    parser.add_argument("--iterations", type=int, help="of a training; by default the set's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--work", type=Path, default=WORK, help="where models and counts of cases are kept")
    arguments = parser.parse_args()
    data = data_folder(parser, arguments)
    for name in arguments.sets:
        pack, key = model_of(name, arguments)
        datalist = read_datalist(data / SETS[name].data / "datalist.json")
        records = measure(pack, datalist["test"], arguments.work / key / "cases", arguments)
        write(name, pack, records)


def model_of(name: str, arguments: argparse.Namespace) -> tuple[Pack, str]:
    """Return a set's model, and the name under which its work is kept."""
    subject = SETS[name]
    if arguments.packs is None and subject.shipped is None:
        key = f"{name}-{subject.method}-{arguments.iterations or subject.iterations}-seed-{arguments.seed}"
        return trained(name, arguments, arguments.work / key), key
    file = arguments.packs / f"{name}.semiseg" if arguments.packs else MODELS / f"{subject.shipped}.semiseg"
    pack = load_pack(file)
    return pack, f"{name}-{hashlib.sha256(pack.manifest.model_dump_json().encode()).hexdigest()[:12]}"


def trained(name: str, arguments: argparse.Namespace, folder: Path) -> Pack:
    """Return the set's model from the work folder, trained first if it is not there."""
    if not (folder / MODEL).exists():
        subject = SETS[name]
        options = RunOptions(
            method=subject.method,
            settings=Settings(iterations=arguments.iterations or subject.iterations, seed=arguments.seed),
            device=arguments.device,
            size=subject.size,
            spacing=(subject.spacing,) * 3 if subject.spacing else None,
            resume=(folder / CHECKPOINTS / CHECKPOINT).exists(),
            calibrate="auto",
            name=subject.data,
        )
        say = Line(name)
        train_model(arguments.data / subject.data / "datalist.json", folder, options, lambda *event: say(*event[:4]))
    return load_pack(folder / MODEL)


def measure(pack: Pack, entries: tuple[Entry, ...], folder: Path, arguments: argparse.Namespace) -> list[Record]:
    """Measure every test case that the folder does not hold yet."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = Pack(pack.manifest.model_copy(update={"calibration": uncalibrated(pack)}), pack.branches)
    after, before = (Predictor(p, arguments.device, backend=arguments.backend) for p in (pack, plain))
    say = Line(pack.manifest.name)
    records = []
    plan = hashlib.sha256(json.dumps(PLAN, sort_keys=True).encode()).hexdigest()[:12]
    for done, entry in enumerate(entries):
        say("measuring", done, len(entries), 0.0)
        file = folder / f"{entry.stem}-{plan}.json"
        if not file.exists():
            record = measure_case(pack, before, after, entry)
            write_atomically(file, json.dumps(packed(record)).encode())
        records.append(unpacked(json.loads(file.read_text())))
    say("measuring", len(entries), len(entries), 0.0)
    return records


def uncalibrated(pack: Pack) -> Calibration:
    """Return temperatures of 1."""
    return Calibration(temperatures=(1.0,) * len(pack.branches))


def measure_case(pack: Pack, before: Predictor, after: Predictor, entry: Entry) -> Record:
    """Predict one case as it is, without and with temperatures, and degraded."""
    assert entry.label
    image = read_image(entry.images, entry.spacing)
    sets = possible_classes(read_labels(entry.label, image.spatial_shape), pack.class_count, entry.completeness)
    band = boundary_band(sets, BAND_WIDTH[sets.ndim])
    trust, pairs = [], []
    for predictor in (before, after):
        found = predictor.predict(image, probabilities=True)
        assert found.probabilities is not None
        confidence = np.take_along_axis(found.probabilities, found.labels[None].astype(np.int64), axis=0)[0]
        trust.append(examine(found.labels, confidence, found.uncertainty, sets, band))
    pairs += compare(pack, entry, image, found, "clean", 0)
    for kind, level, worse in degraded(image, entry.id):
        pairs += compare(pack, entry, worse, after.predict(worse), kind, level)
    return Record(entry.id, entry.group or entry.id, *trust, tuple(pairs))


def compare(pack: Pack, entry: Entry, image: Image, found: Prediction, kind: str, level: int) -> list[Pair]:
    """Return predicted and true Dice of every segment."""
    true = compare_labels(found.labels, entry, pack.manifest.classes, image.spacing, distances=False).segments
    return [
        Pair(entry.id, kind, level, s.name, s.predicted_dice, None if np.isnan(t := true[s.name].dice) else t)
        for s in found.segments
    ]


def figures(records: list[Record]) -> dict[str, Any]:
    """Return the keys of a set over some of its cases."""
    before, after = (sum_of([getattr(r, side) for r in records]) for side in ("before", "after"))
    return {
        "ece_band_before": before.reliability_band.ece,
        "ece_band_after": after.reliability_band.ece,
        "error_auroc_band": after.detection_band.auroc,
        "error_auroc": after.detection.auroc,
        "quality_spearman": spearman(records, clean=False),
        "quality_spearman_clean": spearman(records, clean=True),
        "ece_before": before.reliability.ece,
        "ece_after": after.reliability.ece,
        "ace_band_before": ace([r.before.reliability_band for r in records]),
        "ace_band_after": ace([r.after.reliability_band for r in records]),
        "errors_in_5_percent_reviewed": float(after.detection.found([0.05])[0]),
        "dice": mean(true for _, true in dice_pairs(records, clean=True)),
        "predicted_dice": mean(p or 0.0 for p, _ in dice_pairs(records, clean=True)),
        "error_auroc_band_promised": after.detection_promised.auroc,
    }


def dice_pairs(records: list[Record], clean: bool) -> list[tuple[float | None, float]]:
    """Return predicted and true Dice of segments that have a true one."""
    pairs = [p for r in records for p in r.pairs if (p.kind == "clean") == clean]
    return [(p.predicted, p.true) for p in pairs if p.true is not None]


def spearman(records: list[Record], clean: bool) -> float:
    """Rank correlation over segments and cases: the undegraded alone, or every degraded one."""
    pairs = dice_pairs(records, clean)
    return rank_correlation([p for p, _ in pairs], [t for _, t in pairs])


def sum_of(parts: list[CaseTrust]) -> CaseTrust:
    """Add counts up."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def write(name: str, pack: Pack, records: list[Record]) -> None:
    """Write a set's keys, intervals, cases and provenance, and the figure of all sets."""
    manifest = pack.manifest
    keys = figures(records)
    entry: dict[str, Any] = {k: plain(v) for k, v in keys.items()}
    groups: dict[str, list[Record]] = {}
    for record in sorted(records, key=lambda r: r.group):
        groups.setdefault(record.group, []).append(record)
    if len(groups) < FEW_GROUPS:
        entry["per_video"] = {g: {k: plain(v) for k, v in figures(some).items()} for g, some in groups.items()}
    else:
        entry["interval_95"] = {
            k: [plain(b) for b in bounds]
            if (bounds := interval(list(groups.values()), lambda some, k=k: figures([*chain(*some)])[k], 200))
            else None
            for k in list(keys)[:6]
        }
    after = sum_of([r.after for r in records])
    entry |= {
        "cases": [
            {
                "case": r.case,
                "ece_band_before": plain(r.before.reliability_band.ece),
                "ece_band_after": plain(r.after.reliability_band.ece),
                "error_auroc_band": plain(r.after.detection_band.auroc),
                "error_auroc": plain(r.after.detection.auroc),
            }
            for r in records
        ],
        "reliability_band": {
            side: {k: [round(float(n), 1) for n in v] for k, v in asdict(sum_of(parts).reliability_band).items()}
            for side, parts in (("before", [r.before for r in records]), ("after", [r.after for r in records]))
        },
        "errors_found": {"reviewed": list(REVIEWED), "found": [plain(f) for f in after.detection.found(REVIEWED)]},
        "quality": [[p.kind, p.level, p.segment, plain(p.predicted), plain(p.true)] for r in records for p in r.pairs],
        "model": {
            "temperatures": list(manifest.calibration.temperatures),
            "fitted_on": manifest.calibration.fitted_on,
            "size": list(manifest.input.size),
            "spacing": manifest.input.spacing,
            **manifest.provenance.model_dump(include={"method", "iterations", "seed", "labelled", "unlabelled"}),
            "data_fingerprint": manifest.provenance.data_fingerprint,
        },
    }
    file = RESULTS / "uncertainty.json"
    results = read(file)
    results[name] = entry
    results["about"] = {
        "confidence": "largest mean probability of a voxel, in 15 bins",
        "band": "within 5 pixels (2D) or 3 voxels (3D) of the reference boundary",
        "uncertainty": "total: entropy of the mean of the branches",
        "quality": "predicted and true Dice by segment and test case; neither drawn nor expected counts as 0 predicted",
        "degradations": PLAN,
        "command": f"python3 Testing/run.py bench uncertainty --data DIR --sets {' '.join(SETS)}",
        "machine": machine(),
        "versions": versions(),
    }
    # Lists of numbers on one line: a row of figures is read across.
    text = re.sub(r"\[[^\[\]{}]*\]", lambda m: " ".join(m[0].split()), json.dumps(results, indent=1))
    write_atomically(file, (text + "\n").encode())
    draw(results, RESULTS / "uncertainty.png")
    print(name, *(f"{k} {plain(keys[k])}" for k in list(keys)[:8]), sep="\n  ", flush=True)


def plain(value: float | None) -> float | None:
    """Round for JSON; NaN, which JSON has not, becomes null."""
    return None if value is None or np.isnan(value) else round(float(value), 4)


def packed(record: Record) -> dict[str, Any]:
    """Return a record as JSON can hold it; of the many empty bins only the others are kept."""

    def sparse(counts: np.ndarray) -> list[list[float]]:
        return [[int(i), float(counts[i])] for i in np.flatnonzero(counts)]

    def trust(side: CaseTrust) -> dict[str, Any]:
        return {
            part: {"size": len(asdict(value)["right"]), **{k: sparse(v) for k, v in asdict(value).items()}}
            for part, value in ((p, getattr(side, p)) for p in CaseTrust.__dataclass_fields__)
        }

    return {
        "case": record.case,
        "group": record.group,
        "before": trust(record.before),
        "after": trust(record.after),
        "pairs": [asdict(p) for p in record.pairs],
    }


def unpacked(kept: dict[str, Any]) -> Record:
    """Return what `packed` was given."""

    def dense(size: int, bins: list[list[float]]) -> np.ndarray:
        counts = np.zeros(size)
        for i, n in bins:
            counts[int(i)] = n
        return counts

    def trust(side: dict[str, Any]) -> CaseTrust:
        kinds = {"reliability": Reliability, "detection": Detection}
        return CaseTrust(
            *(
                kinds[part.split("_")[0]](**{k: dense(v["size"], b) for k, b in v.items() if k != "size"})
                for part, v in side.items()
            )
        )

    pairs = tuple(Pair(**p) for p in kept["pairs"])
    return Record(kept["case"], kept["group"], trust(kept["before"]), trust(kept["after"]), pairs)


if __name__ == "__main__":
    main()
