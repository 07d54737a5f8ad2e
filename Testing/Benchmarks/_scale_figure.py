"""The picture of the scale benchmark: what becomes of time and memory as there is more of something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

TIME, SECOND, MEMORY = "#1f3a5f", "#0a7e8c", "#d1495b"
GROWTHS: dict[str, tuple[str, list[tuple[str, str, str]], str, str]] = {
    "images": (
        "images",
        [
            ("seconds_beside_steps", TIME, "seconds beside the steps"),
            ("seconds_per_step", SECOND, "seconds per step"),
            ("peak_gib", MEMORY, "most memory (GiB)"),
        ],
        "images to learn from",
        "Training",
    ),
    "scene": (
        "cases",
        [
            ("seconds_filled", TIME, "seconds until the table is full"),
            ("seconds_read", SECOND, "seconds until it can be started"),
            ("longest_call_seconds", MEMORY, "seconds held, at most"),
        ],
        "images and frames in the scene",
        "The trainer's panel",
    ),
    "segments": (
        "segments",
        [
            ("seconds_frame", SECOND, "seconds for a frame"),
            ("seconds_volume", TIME, "seconds for a volume"),
            ("extra_gib_volume", MEMORY, "memory for a volume (GiB)"),
        ],
        "segments",
        "Prediction",
    ),
}
NAMES = {"supervised": "supervised", "cross_supervision": "cross-supervision (A)"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw one plot for each part that was measured, but for those that a table tells.

    Args:
        results: the content of ``scale.json``.
        path: file to write.
    """
    parts = [name for name in ("processes", *GROWTHS) if name in results]
    if not parts:
        return
    figure, axes = plt.subplots(1, len(parts), figsize=(3.8 * len(parts), 3.5), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], parts, strict=True):
        if name == "processes":
            _processes(axis, results[name])
        else:
            _growth(axis, results[name]["rows"], *GROWTHS[name])
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _processes(axis: Any, found: dict[str, Any]) -> None:
    ways = list(dict.fromkeys((row["processes"], row["threads"]) for row in found["rows"]))
    for shift, (method, name), colour in zip((-0.2, 0.2), NAMES.items(), (SECOND, TIME), strict=True):
        by_way = {(row["processes"], row["threads"]): row for row in found["rows"] if row["method"] == method}
        values = [by_way[way]["seconds_per_step"] for way in ways]
        errors = [[abs(by_way[w]["seconds_per_step"] - by_way[w][end]) for w in ways] for end in ("lowest", "highest")]
        bars = axis.bar([n + shift for n in range(len(ways))], values, 0.38, yerr=errors, color=colour, label=name)
        axis.bar_label(bars, [f"{by_way[way]['speedup']:.1f}x" for way in ways], padding=3, fontsize=8)
    axis.set_xticks(range(len(ways)), [f"{_several(p, 'process')},\n{_several(t, 'thread')}" for p, t in ways])
    axis.set_ylabel("seconds per step", fontsize=9)
    axis.set_ylim(0, 1.25 * max(row["highest"] for row in found["rows"]))
    axis.set_title("A training step", fontsize=10)
    axis.legend(fontsize=8)


def _several(count: int, name: str) -> str:
    return f"{count} {name}" + ("es" if name.endswith("s") else "s") * (count > 1)


def _growth(
    axis: Any,
    rows: Sequence[dict[str, Any]],
    counted: str,
    lines: Sequence[tuple[str, str, str]],
    label: str,
    title: str,
) -> None:
    """Draw lines (key, colour, name) over how many there are, both on logarithmic axes."""
    counts = [row[counted] for row in rows]
    for key, colour, name in lines:
        axis.plot(counts, [row[key] for row in rows], "o-", color=colour, label=name)
    axis.set(xscale="log", yscale="log")
    axis.set_xticks(counts, [f"{count:g}" for count in counts])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_xlabel(label, fontsize=9)
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=7)
