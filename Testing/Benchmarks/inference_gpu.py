"""How fast is the engine on a graphics card, against what a user would write with the same networks for the same card?

    python3 Testing/run.py bench inference_gpu [--data DIR] [--pack2d PACK] [--pack3d PACK] [--repeats N]

The plain way is that of `bench inference` with everything after the network's input on the card, as many windows at
once as ours, and PyTorch's defaults: its float32 convolutions are TF32 on NVIDIA's cards, in the plain way and in ours.
A volume is covered by windows of 80 x 112 x 112, once with the strides of the literature (4, 18, 18) and once
overlapping by half; frames are taken one by one, and as a cine. Ways are timed in turn in one process, repetition by
repetition. Without packs, two are trained for a few minutes and kept; without data, images are drawn from a seed.

`--device cpu --quick` tries the script out where there is no card; what it finds stays in the work folder.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import SemiSegCervicalLib.engine  # noqa: F401  before PyTorch, as in every process of ours
from _command import add_data, said

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from _inference_parts import (
    SIZE_2D,
    SIZE_3D,
    VOLUME,
    agreement,
    compare,
    frames,
    one_by_one,
    plain,
    sized,
    trained,
    volumes,
    where,
)
from _results import RESULTS, write
from SemiSegCervicalLib.engine.backends.agreement import TOLERANCE
from SemiSegCervicalLib.engine.backends.selection import open_backend
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import Pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.selftest import examine_devices
from SemiSegCervicalLib.engine.windows import plan_axes

STRIDES = (4, 18, 18)
# As many windows and frames as the engine computes at once on a card.
WINDOWS, CINE = 4, 8
# What is tried out where there is no card.
QUICK_3D, QUICK_VOLUME = (32, 48, 48), (36, 60, 72)
PARTS = {
    "volume_strides": "volume, strides\nof the literature",
    "volume_half": "volume,\nhalf overlap",
    "frame": "frames,\none by one",
    "cine": "frames\nof a cine",
}


def main() -> None:
    """Measure, write the results and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--pack2d", type=Path, help="a trained 2D model with two branches")
    parser.add_argument("--pack3d", type=Path, help="a trained 3D model with two branches")
    parser.add_argument("--work", type=Path, default=Path(__file__).resolve().parents[2] / "build" / "bench-inference")
    parser.add_argument("--device", default="cuda", choices=("cuda", "mps", "cpu"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a short try-out; its results stay in the work folder")
    arguments = parser.parse_args()
    report = next((report for report in examine_devices() if report.name == arguments.device), None)
    if report is None or not report.works:
        parser.error(f"no {arguments.device} device can be used here{f': {report.reason}' if report else ''}")
    if report.name == "cpu" and not arguments.quick:
        parser.error("what is measured here is a graphics card; to try the script out without one add --quick")
    arguments.work.mkdir(parents=True, exist_ok=True)
    results = {"device": report.label, **measure(arguments), **where(), "command": said(reads_data=True)}
    folder = arguments.work if arguments.quick else RESULTS
    write(folder / "inference_gpu.json", results)
    draw(results, folder / "inference_gpu.png")
    print(json.dumps({part: results[part]["speedup"] for part in PARTS}, indent=1))


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every part."""
    data, quick = arguments.data, arguments.quick
    repeats = 1 if quick else arguments.repeats
    pack2d = sized(trained(2, data, arguments.work, arguments.pack2d), SIZE_2D, "fit")
    pack3d = trained(3, data, arguments.work, arguments.pack3d)
    size = QUICK_3D if quick else SIZE_3D
    # The scan's own voxels: the same windows for both ways, and no resampling that would hide the networks.
    scans = volumes(data, 1, VOLUME, None)
    if quick:
        scans = [Image(scan.array[(slice(None), *(slice(0, n) for n in QUICK_VOLUME))], scan.spacing) for scan in scans]
    # A little less, so that no rounding takes a row from the stride.
    dense = tuple(1 - stride / n - 1e-9 for stride, n in zip(STRIDES, size, strict=True))
    found: dict[str, Any] = {}
    for part, overlap in (("volume_strides", dense), ("volume_half", 0.5)):
        pack = sized(pack3d, size, "windows", spacing=None, overlap=overlap)
        found[part] = compared(pack, scans, arguments.device, repeats)
        overlaps = pack.manifest.input.overlaps
        windows = math.prod(len(axis.starts) for axis in plan_axes(scans[0].spatial_shape, size, overlaps))
        found[part] |= {"windows": windows, "overlap": list(overlaps)}
    pictures = frames(data, 4 if quick else 24)
    found["frame"] = compared(pack2d, pictures, arguments.device, repeats)
    found["cine"] = compared(pack2d, pictures, arguments.device, repeats, CINE)
    return {**found, "data": "fugc and la" if data else "drawn", "seed": 0}


def compared(pack: Pack, images: Sequence[Image], device: str, repeats: int, at_once: int = 1) -> dict[str, Any]:
    """Time the plain way and ours in turn, and compare what they find.

    Args:
        pack: the model.
        images: volumes or frames.
        device: what computes.
        repeats: how often.
        at_once: frames that ours takes at once; the plain way takes one after the other.
    """
    ours = {
        name: Predictor(pack, backend=open_backend(pack, device, "torch", precision))
        for name, precision in (("default", "auto"), ("f32", "float32"))
    }
    ways = {"plain": one_by_one(plain(pack, device, WINDOWS))}
    for name, predictor in ours.items():
        ways[name] = lambda group, predictor=predictor: list(predictor.predict_frames(group, at_once))
    found = compare(ways, images, repeats)
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    predicted = {name: ways[name](images) for name in ours}
    backend = ours["default"].backend
    return {
        **found, "precision": backend.precision, "notes": backend.notes, "size": list(pack.manifest.input.size),
        "agreement": agreement(predicted["default"], predicted["f32"], TOLERANCE),
        "memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 3) if device == "cuda" else None,
    }  # fmt: skip


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the ratios with their spread."""
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for shift, (way, colour) in zip((-0.2, 0.2), (("f32", "#5b8db8"), ("default", "#1f3a5f")), strict=True):
        values = [results[part]["speedup"][way] for part in PARTS]
        bounds = [results[part]["speedup_spread"][way] for part in PARTS]
        errors = [[v - low for v, (low, _) in zip(values, bounds, strict=True)],
                  [high - v for v, (_, high) in zip(values, bounds, strict=True)]]  # fmt: skip
        label = "float32" if way == "f32" else f"default ({results['frame']['precision']})"
        places = [k + shift for k in range(len(PARTS))]
        bars = axis.bar(places, values, 0.38, color=colour, label=label, yerr=errors, capsize=3)
        axis.bar_label(bars, fmt="%.1f", padding=4, fontsize=8)
    axis.set_xticks(range(len(PARTS)), list(PARTS.values()), fontsize=8)
    axis.axhline(1, color="#888888", lw=1)
    axis.set(ylabel="times as fast as the plain way", title=results["device"])
    axis.legend(fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
