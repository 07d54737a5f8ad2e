"""The picture of the training benchmark: time per step of every method, and of the loops it is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

TITLES = {"2d": "Every method, images of {}", "3d": "Every method, windows of {}"}
LOADERS = {"loader": "MONAI, files, a pass per view", "cached": "MONAI, cached, one pass"}
STEP, DATA = "#0a7e8c", "#e0a030"


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw one bar per method or loop: seconds per step, of which data.

    Args:
        results: the content of ``training.json``.
        path: file to write.
    """
    panels: list[tuple[str, dict[str, dict[str, Any]]]] = []
    for dims, found in results["methods"].items():
        panels.append((TITLES[dims].format(" x ".join(map(str, results["sizes"][dims]))), found))
    for name, found in results["against"].items():
        bars = {loop(n): figures for n, figures in found["contenders"].items()}
        panels.append((f"The arithmetic of {name.replace('_', ' ')}", bars))
    heights = [len(bars) + 1.5 for _, bars in panels]
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(9, 0.32 * sum(heights)), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for axis, (title, bars) in zip(axes[:, 0], panels, strict=True):
        for line, figures in enumerate(bars.values()):
            seconds = figures["seconds_per_step"]
            data = seconds * figures["data_share"]
            axis.barh(line, data, color=DATA, label="data" if not line else None)
            axis.barh(line, seconds - data, left=data, color=STEP, label="networks and losses" if not line else None)
            told = f" {seconds:.2f} s"
            if "memory_gib" in figures:
                told += f", {figures['memory_gib']:.2f} GiB"
            axis.text(seconds, line, told, va="center", fontsize=8)
        axis.set_yticks(range(len(bars)), [n.replace("_", " ") for n in bars], fontsize=8)
        axis.set_xlim(0, 1.25 * max(f["seconds_per_step"] for f in bars.values()))
        axis.invert_yaxis()
        axis.set_title(title, loc="left", fontsize=10)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(left=False, labelsize=8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), fontsize=8, loc="upper right", ncols=2, frameon=False)
    how = f"{results['threads']} thread{'s' * (results['threads'] > 1)}, {results['precision']}; loops in float32"
    axes[-1, 0].set_xlabel(f"seconds per step, median; {how}", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def loop(name: str) -> str:
    """Name a contender for people."""
    kind, _, how = name.partition(", ")
    return f"{LOADERS[kind]}, {how}" if kind in LOADERS else name
