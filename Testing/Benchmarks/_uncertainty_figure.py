"""The figure of the uncertainty benchmark: three questions per data set, each answered at a glance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

NAMES = {
    "fugc": "Cervix, ultrasound",
    "carotid": "Carotid, ultrasound video",
    "hc18": "Fetal head, ultrasound",
    "la": "Left atrium, MRI",
}
BEFORE, AFTER, WAYS = "0.65", "#0a7e8c", {"noise": "#c45a3b", "blur": "#3b62c4", "gain": "#b08a1e"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the main models that the results hold, a row each.

    Args:
        results: the content of ``uncertainty.json``.
        path: the PNG.
    """
    sets = [name for name in NAMES if name in results]
    if not sets:
        return
    figure, axes = plt.subplots(len(sets), 3, figsize=(13.5, 4.1 * len(sets)), squeeze=False)
    for name, row in zip(sets, axes, strict=True):
        entry = results[name]
        reliability(row[0], entry)
        errors(row[1], entry)
        quality(row[2], entry)
        row[0].set_ylabel(f"{NAMES[name]}\n\nshare of voxels labelled right")
        for axis in row:
            axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    plt.close(figure)


def reliability(axis: Axes, entry: dict[str, Any]) -> None:
    """How often are voxels right that claim a certainty? On the diagonal: as often as claimed."""
    axis.plot([0, 1], [0, 1], color="0.85", linewidth=1)
    for side, color, label in (("before", BEFORE, "before"), ("after", AFTER, "after calibration")):
        counts = {k: np.array(v) for k, v in entry["reliability_band"][side].items()}
        some = counts["voxels"] > 0.002 * counts["voxels"].sum()
        x, y = (counts[k][some] / counts["voxels"][some] for k in ("confidence", "right"))
        error = entry[f"ece_band_{side}"]
        axis.plot(x, y, color=color, marker="o", markersize=4, label=f"{label}: off by {error:.3f}")
    axis.set(
        xlim=(0.3, 1.0),
        ylim=(0.3, 1.0),
        xlabel="how sure the model is",
    )
    axis.set_title("At the boundary: is it as sure as it is right?", fontsize=10)
    axis.legend(frameon=False, loc="lower right", fontsize=8)


def errors(axis: Axes, entry: dict[str, Any]) -> None:
    """Which share of the wrong voxels is seen by whoever looks at the most uncertain ones only?"""
    x, y = (100 * np.array(entry["errors_found"][k]) for k in ("reviewed", "found"))
    axis.plot(x, y, color=AFTER, linewidth=2.5)
    axis.plot(x, x, color="0.85", linewidth=1)
    at = float(np.interp(5, x, y))
    axis.plot([5, 5, 0], [0, at, at], color=AFTER, linewidth=1, linestyle=":")
    axis.annotate(
        f"the most uncertain 5 %\nhold {at:.0f} % of all errors", (5, at), (8, min(at, 75) - 22),
        fontsize=9, arrowprops={"arrowstyle": "-", "color": AFTER},
    )  # fmt: skip
    axis.set(
        xlim=(0, 20), ylim=(0, 100), xlabel="most uncertain voxels looked at (%)", ylabel="errors among them (%)",
    )  # fmt: skip
    axis.set_title("Where should one look?", fontsize=10)


def quality(axis: Axes, entry: dict[str, Any]) -> None:
    """Does the model know which of its segments are good?"""
    axis.plot([0, 1], [0, 1], color="0.85", linewidth=1)
    pairs = [(k, level, p or 0.0, t) for k, level, _, p, t in entry["quality"] if t is not None]
    for way, color in WAYS.items():
        x, y, level = (np.array(v) for v in zip(*((p, t, n) for k, n, p, t in pairs if k == way), strict=True))
        axis.scatter(x, y, s=5 + 3 * level, color=color, alpha=0.35, linewidth=0, label=way)
    x, y = zip(*((p, t) for k, _, p, t in pairs if k == "clean"), strict=True)
    axis.scatter(x, y, s=22, color="black", linewidth=0, label="as it is")
    rho = entry["quality_spearman"]
    said = "" if rho is None else f" Rank correlation {rho:.2f}"
    axis.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="Dice that the model expects", ylabel="true Dice")
    axis.set_title(f"Does it know when it fails?{said}", fontsize=10)
    axis.legend(frameon=False, loc="upper left", fontsize=8)
