"""The picture of the endurance benchmark: memory over rounds of work, and over the steps of a long training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PROGRAM, WORKER = "#1f3a5f", "#0a7e8c"
TITLES = {"segmenting": "Segmenting, scene after scene", "training": "Training, scene after scene"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw one plot for each part that was measured.

    Args:
        results: the content of ``endurance.json``.
        path: file to write.
    """
    parts = [name for name in ("segmenting", "training", "steps") if name in results]
    figure, axes = plt.subplots(1, len(parts), figsize=(4 * len(parts), 3.4), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], parts, strict=True):
        found = results[name]
        rows = found["rows"]
        if name == "steps":
            axis.plot([row["step"] for row in rows], [row["mib"] for row in rows], color=WORKER)
            axis.set_title("A single long training", fontsize=10)
            axis.set_xlabel(f"step ({found['mib_per_1000_steps']:+.1f} MiB in 1000 steps)", fontsize=9)
        else:
            numbers = range(1, len(rows) + 1)
            axis.plot(numbers, [row["mib"] for row in rows], color=PROGRAM, label="program with the panel")
            axis.plot(numbers, [row["worker_mib"] for row in rows], color=WORKER, label="its worker")
            axis.set_title(TITLES[name], fontsize=10)
            told = f"{found['mib_per_round']:+.3f} and {found['worker_mib_per_round']:+.3f} MiB a round"
            axis.set_xlabel(f"round ({told})", fontsize=9)
            axis.legend(fontsize=8, loc="lower right")
        axis.set_ylabel("memory (MiB)", fontsize=9)
        axis.set_ylim(bottom=0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)
