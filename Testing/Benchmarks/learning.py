"""What does learning from unlabelled images gain? Every method with the same networks, augmentation and budget.

    python3 Testing/run.py bench learning --data DIR
        [--plan final|partial|choices|volumes|volumes-baselines|ablation|slices|baselines|multiscale|
        multiscale-ablation|modalities]
        [--seeds 0 1 2] [--methods NAME ...] [--iterations N] [--size 96x160] [--spacing MM]

DIR holds the expanded data sets (`DIR/fugc/datalist_5.json`, `DIR/la/datalist.json`). Rows that are already in
results/learning.json at the same budget are skipped, so an interrupted benchmark goes on; with `--work DIR` an
interrupted run goes on too, from its last checkpoint. Test cases are predicted once per finished run by its last weight
average; nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import torch
from _command import Line, add_data, data_folder
from _learning_figure import draw
from _results import RESULTS, machine, read, write
from _trust import interval
from SemiSegCervicalLib.engine.pack import Pack, load_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegTrainerLib.learning.datalist import Entry, read_datalist
from SemiSegTrainerLib.learning.evaluation import evaluate_model, nan_mean, summarise
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.run import CHECKPOINTS, MODEL, train_model
from SemiSegTrainerLib.learning.training import CHECKPOINT, Settings, versions

# Iterations, networks' grid (3D: window) and spacing in mm that a set is trained with unless asked otherwise. The
# atrium at half its resolution, with half the literature's window of 80 x 112 x 112: what two CPU cores can afford.
# The gliomas' voxels have no known size: every second one of a slice, every slice.
BUDGETS: dict[str, tuple[int, tuple[int, ...], float | tuple[float, ...] | None]] = {
    "fugc": (800, (96, 160), None),
    "la": (400, (40, 56, 56), 1.25),
    "dsb": (250, (128, 128), None),
    "lgg": (300, (16, 64, 64), (1, 2, 2)),
}
# Of a set with several modalities those that are used, the stronger one last; each is then given alone, and all.
MODALITIES = {"lgg": ("t1post", "flair")}
SHARES = {"half-one-lip": 0.5, "half-one-lip-as-background": 0.5, "half-left-out": 0.5, "slices-8": 0.125}
B_TERMS = ("mistake", "cross", "rectified", "agreement", "prototype")
C_PARTS = ("cross", "pixel", "patch", "perturbation")
BASELINES = ("supervised", "cross_supervision", "mean_teacher", "ua_mt", "cps", "bcp", "unimatch")

# set, datalist, method (with the terms that it does without), changes of the datalist. `choices` never looks at the
# test images: each fold learns from five of the 25 labelled training images and is measured on the other twenty.
PLANS = {
    "volumes": [
        ("la", "datalist.json", "supervised", "full"),
        ("la", "datalist.json", "dual_uncertainty", "full"),
    ],
    "volumes-baselines": [("la", "datalist.json", "bcp", "full")],
    "ablation": [("la", "datalist.json", f"dual_uncertainty without {term}", "full") for term in B_TERMS],
    "slices": [
        ("la", "datalist.json", "supervised", "full"),
        ("la", "datalist.json", "supervised", "slices-8"),
        ("la", "datalist.json", "dual_uncertainty", "slices-8"),
    ],
    "baselines": [("fugc", "datalist_5.json", method, "full") for method in BASELINES],
    "multiscale": [
        ("dsb", "datalist.json", "supervised", "full"),
        ("dsb", "datalist.json", "multiscale_contrast", "full"),
        ("la", "datalist.json", "supervised", "full"),
        ("la", "datalist.json", "multiscale_contrast", "full"),
    ],
    "multiscale-ablation": [
        ("dsb", "datalist.json", f"multiscale_contrast without {part}", "full") for part in C_PARTS
    ],
    "modalities": [
        ("lgg", "datalist.json", method, "full")
        for method in ("supervised_modalities", "semi_cml", "semi_cml_original")
    ],
    "choices": [
        ("fugc", "datalist.json", method, f"fold-{k}")
        for k in range(5)
        for method in ("supervised", "cross_supervision")
    ],
    "final": [
        ("fugc", "datalist_5.json", "supervised", "full"),
        ("fugc", "datalist_5.json", "cross_supervision", "full"),
        ("fugc", "datalist.json", "supervised", "full"),
        ("fugc", "datalist.json", "cross_supervision", "full"),
    ],
    "partial": [
        ("fugc", "datalist.json", "supervised", "full"),
        ("fugc", "datalist.json", "supervised", "half-one-lip"),
        ("fugc", "datalist.json", "supervised", "half-one-lip-as-background"),
        ("fugc", "datalist.json", "supervised", "half-left-out"),
    ],
}


def main() -> None:
    """Run what is missing of a plan and write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--plan", choices=PLANS, default="final")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", help="of the plan; by default all")
    parser.add_argument("--iterations", type=int, help="of a run; by default the set's own")
    parser.add_argument("--size", help="the networks' grid, rows x columns, or window; by default the set's own")
    parser.add_argument("--spacing", type=float, help="voxels of volumes in mm; by default the set's own")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--keep", type=Path, help="folder for the trained models, which are thrown away otherwise")
    parser.add_argument("--work", type=Path, help="folder for runs that are under way; the next call goes on with them")
    arguments = parser.parse_args()
    data = data_folder(parser, arguments)
    for seed in arguments.seeds:
        for name, datalist, method, labels in PLANS[arguments.plan]:
            if arguments.methods and method not in arguments.methods:
                continue
            iterations, size, spacing = BUDGETS[name]
            if arguments.size:
                size = tuple(int(n) for n in arguments.size.split("x"))
            key = {
                "set": name,
                "datalist": datalist,
                "method": method,
                "labels": labels,
                "seed": seed,
                "iterations": arguments.iterations or iterations,
                "size": list(size),
                "spacing": list(spacing) if isinstance(spacing, tuple) else arguments.spacing or spacing,
            }
            run_row(data, key, arguments.device, arguments.keep, arguments.work)


def run_row(data: Path, key: dict[str, Any], device: str, keep: Path | None, work: Path | None = None) -> None:
    """Train and test once, unless the results hold this run already.

    Args:
        data: the expanded data sets.
        key: set, datalist, method, labels, seed, iterations, size, spacing: what tells runs apart.
        device: where to train.
        keep: folder for the model.
        work: folder in which an interrupted run stays; None for one that is thrown away.
    """
    if any(all(r.get(k) == v for k, v in key.items()) for r in read_results()["runs"]):
        return
    print(", ".join(f"{k} {v}" for k, v in key.items()), flush=True)
    names = (key["set"], Path(key["datalist"]).stem, key["method"], key["labels"], key["seed"], key["iterations"])
    name = "-".join([*map(str, names), "x".join(map(str, key["size"]))]).replace(" ", "-")
    with tempfile.TemporaryDirectory() as temporary:
        folder = work / name if work else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        listed = change_labels(data / key["set"] / key["datalist"], key["labels"], folder)
        method, _, without = key["method"].partition(" without ")
        options = RunOptions(
            method=method,
            without=(without,) if without else (),
            settings=Settings(iterations=key["iterations"], seed=key["seed"]),
            device=device,
            size=tuple(key["size"]),
            spacing=spacing_of(key),
            calibrate="none",
            resume=(folder / "run" / CHECKPOINTS / CHECKPOINT).exists(),
        )
        started = time.monotonic()
        say = Line(key["set"])
        summary = train_model(listed, folder / "run", options, lambda *event: say(*event[:4]))
        pack = load_pack(folder / "run" / MODEL)
        measured = {
            given: summarise(evaluate_model(Predictor(pack.reading(some), device), [giving(e, some) for e in entries]))
            for entries in [read_datalist(listed)["test"]]
            for given, some in given_of(key["set"], pack).items()
        }
        took = round(time.monotonic() - started, 1)
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "run" / MODEL, keep / f"{name}.semiseg")
        if work:
            shutil.rmtree(folder)
    about = {
        **key,
        "labelled": summary["labelled"],
        "unlabelled": summary["unlabelled"] + summary["not_learned_from"],
        "seconds": took,
        "seconds_per_step": summary["seconds_per_step"],
        "memory_gib": round(peak_memory_gib(), 2),
        "device": summary["device"],
        "precision": summary["precision"],
        "threads": summary["threads"],
        "data_fingerprint": summary["data_fingerprint"],
    }
    results = read_results()  # again: another process may have added rows meanwhile
    for given, found in measured.items():
        figures_of = {k: found[k] for k in ("dice", "hd95", "assd", "failures", "cases")}
        results["runs"].append({**about, **({"given": given} if given else {}), **figures_of})
    results["rows"] = rows(results["runs"])
    results["comparisons"] = comparisons(results["runs"])
    results["command"] = "python3 Testing/run.py bench learning --data DIR"
    results["machine"] = machine()
    results["versions"] = versions()
    write(RESULTS / "learning.json", results)
    draw(results, RESULTS / "learning.png")
    for given, found in measured.items():
        print(f"  {given} Dice {found['dice']:.4f}  HD95 {found['hd95'] or np.nan:.1f}  {took:.0f} s", flush=True)


def spacing_of(run: dict[str, Any]) -> tuple[float, ...] | None:
    """Return the voxel of a volume's run, slowest axis first; None for pictures."""
    spacing = run.get("spacing")
    return tuple(spacing) if isinstance(spacing, list) else (spacing,) * 3 if spacing else None


def given_of(name: str, pack: Pack) -> dict[str, list[int]]:
    """Return what test cases of a set come with: each modality alone, and all; or just what there is."""
    names = pack.manifest.input.modalities
    every = list(range(len(names)))
    if name not in MODALITIES:
        return {"": every}
    return {**{n: [k] for k, n in enumerate(names)}, ", ".join(names): every}


def giving(entry: Entry, some: list[int]) -> Entry:
    """Return a case with some of its images."""
    return replace(entry, images=tuple(entry.images[k] for k in some))


def read_results() -> dict[str, Any]:
    """Return the results so far."""
    return read(RESULTS / "learning.json", runs=[], rows=[], comparisons=[])


def change_labels(datalist: Path, how: str, folder: Path) -> Path:
    """Write a datalist whose labels are as complete as `how` says; even-numbered training cases keep theirs.

    ``half-one-lip``: every second labelled image has only one of the two lips outlined, in turn; it says nothing of the
    other. ``half-one-lip-as-background`` is the same without saying so: the missing lip counts as background.
    ``half-left-out`` leaves these images out. ``fold-K`` trains on the K-th five and tests on the others.
    ``slices-N``: in every labelled volume only every N-th slice is annotated.
    """
    content = json.loads(datalist.read_text())
    settle(content, datalist.parent)
    if how.startswith("fold-"):
        first = 5 * int(how.removeprefix("fold-"))
        fold = content["training"][first : first + 5]
        content["test"] = [entry for entry in content["training"] if entry not in fold]
        content["training"] = fold
    elif how.startswith("slices-"):
        step = int(how.removeprefix("slices-"))
        content["training"] = [keep_slices(entry, step, folder) for entry in content["training"]]
    elif how != "full":
        kept = []
        for i, entry in enumerate(content["training"]):
            if i % 2 == 0:
                kept.append(entry)
            elif how != "half-left-out":
                kept.append(one_lip(entry, 1 + (i // 2) % 2, how == "half-one-lip", folder))
        content["training"] = kept
    target = folder / "datalist.json"
    target.write_text(json.dumps(content))
    return target


def settle(content: dict[str, Any], folder: Path) -> None:
    """Make the files of a datalist independent of its folder, and leave the modalities that are used."""
    for name in ("training", "unlabeled", "validation", "test"):
        for entry in content.get(name, []):
            for field in ("image", "label"):
                if field in entry:
                    files = entry[field] if isinstance(entry[field], list) else [entry[field]]
                    found = [str((folder / file).resolve()) for file in files]
                    entry[field] = found if isinstance(entry[field], list) else found[0]
    if content["name"] in MODALITIES:
        choose_modalities(content)


def choose_modalities(content: dict[str, Any]) -> None:
    """Leave the modalities that are used in a datalist, in their order, and count lengths in voxels."""
    names = list(content["modality"].values())
    chosen = MODALITIES[content["name"]]
    content["modality"] = {str(k): name for k, name in enumerate(chosen)}
    for name in ("training", "unlabeled", "validation", "test"):
        for entry in content.get(name, []):
            entry["image"] = [entry["image"][names.index(name)] for name in chosen]
            entry["spacing"] = [1, 1, 1]


def one_lip(entry: dict[str, Any], lip: int, told: bool, folder: Path) -> dict[str, Any]:
    """Return an entry whose label map holds one lip only."""
    from PIL import Image

    labels = np.array(Image.open(entry["label"]))
    target = folder / f"{Path(entry['label']).stem}.png"
    Image.fromarray(np.where(labels == lip, lip, 0).astype(np.uint8)).save(target)
    return {**entry, "label": str(target), **({"segments": [lip]} if told else {})}


def keep_slices(entry: dict[str, Any], step: int, folder: Path) -> dict[str, Any]:
    """Return an entry of whose label map every `step`-th slice is left, and that says so."""
    import SimpleITK as sitk

    labels = sitk.ReadImage(entry["label"])
    array = sitk.GetArrayFromImage(labels)
    slices = list(range(step // 2, len(array), step))
    kept = np.zeros_like(array)
    kept[slices] = array[slices]
    image = sitk.GetImageFromArray(kept)
    image.CopyInformation(labels)
    target = folder / Path(entry["label"]).name
    sitk.WriteImage(image, str(target), useCompression=True)
    return {**entry, "label": str(target), "slices": slices}


def budget_of(run: dict[str, Any]) -> str:
    """Say how long and on which grid a run was trained."""
    spacing = run.get("spacing")
    voxel = ""
    if isinstance(spacing, list):
        voxel = f" of {' x '.join(f'{s:g}' for s in spacing)} voxels"
    elif spacing:
        voxel = f" of {spacing:g} mm"
    return f"{run['iterations']} iterations at {'x'.join(map(str, run['size']))}{voxel}"


def rows(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Collect runs that differ by seed only into rows: mean and standard deviation over seeds."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for run in runs:
        what = (*(run[k] for k in ("set", "datalist", "method", "labels")), run.get("given", ""), budget_of(run))
        groups.setdefault(what, []).append(run)
    table = []
    for (name, datalist, method, labels, given, budget), group in groups.items():
        dices = [r["dice"] for r in group]
        table.append(
            {
                "set": name,
                "datalist": datalist,
                "method": method,
                "labels": labels,
                **({"given": given} if given else {}),
                "labelled": group[0]["labelled"],
                "unlabelled": group[0]["unlabelled"],
                "smallest_share": SHARES.get(labels, 1.0),
                "seeds": sorted(r["seed"] for r in group),
                "budget": budget,
                "dice": round(mean(dices), 4),
                "dice_sd": round(stdev(dices), 4) if len(dices) > 1 else None,
                "hd95": mean_of([r["hd95"] for r in group]),
                "assd": mean_of([r["assd"] for r in group]),
                "failures": sum(r["failures"] for r in group),
                "ece": None,
                "seconds_per_step": round(mean(r["seconds_per_step"] for r in group), 3),
                "memory_gib": max(r["memory_gib"] for r in group),
                "cases": {str(r["seed"]): {c["case"]: c["dice"] for c in r["cases"]} for r in group},
            }
        )
    return table


def comparisons(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare every row with its supervised counterpart: paired differences per image and bootstrap intervals.

    The difference of an image is the mean over the seeds that both rows have.
    """
    compared = []
    for row in rows(runs):
        # A fold is another set of images; what is left of the labels is the same set with less said.
        labels = row["labels"] if row["labels"].startswith("fold-") else "full"
        same = {**{k: row[k] for k in ("set", "datalist", "budget")}, "given": row.get("given", "")}
        baseline = "supervised_modalities" if row["set"] in MODALITIES else "supervised"
        mine = figures(runs, {**same, "method": row["method"], "labels": row["labels"]})
        theirs = figures(runs, {**same, "method": baseline, "labels": labels})
        seeds = sorted(set(mine) & set(theirs))
        if not seeds or (row["method"], row["labels"]) == (baseline, labels):
            continue
        entry: dict[str, Any] = {k: row[k] for k in ("set", "datalist", "method", "labels", "budget")}
        entry |= {"against": f"{baseline}, {labels}", "seeds": seeds}
        if same["given"]:
            entry["given"] = same["given"]
        for metric in ("dice", "hd95"):
            per_image = {
                case: mean(mine[s][case][metric] - theirs[s][case][metric] for s in seeds) for case in mine[seeds[0]]
            }
            # Where nothing was drawn there is no distance.
            per_image = {case: d for case, d in per_image.items() if not np.isnan(d)}
            bounds = interval(list(per_image.values()), lambda drawn: float(np.mean(drawn)), 10_000)
            entry[metric] = {
                "difference": round(mean(per_image.values()), 4),
                "interval_95": [round(bound, 4) for bound in bounds] if bounds else None,
                "per_image": {case: round(d, 4) for case, d in sorted(per_image.items())},
            }
        compared.append(entry)
    return compared


def figures(runs: list[dict[str, Any]], wanted: dict[str, Any]) -> dict[int, dict[str, dict[str, float]]]:
    """Return Dice and HD95 (mean over the segments that have one) by seed and case of the runs that match."""
    found = {}
    for run in runs:
        if all((budget_of(run) if k == "budget" else run.get(k, "")) == v for k, v in wanted.items()):
            found[run["seed"]] = {
                c["case"]: {
                    "dice": c["dice"],
                    "hd95": nan_mean([np.nan if s["hd95"] is None else s["hd95"] for s in c["segments"].values()]),
                }
                for c in run["cases"]
            }
    return found


def mean_of(values: list[float | None]) -> float | None:
    """Return the mean of the values that are there, to the hundredth."""
    known = [v for v in values if v is not None]
    return round(mean(known), 2) if known else None


def peak_memory_gib() -> float:
    """Return the process's peak resident memory, or the GPU's where one was used."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**30
    import resource

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**30


if __name__ == "__main__":
    main()
