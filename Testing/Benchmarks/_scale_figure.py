"""The picture of the scale benchmark: what becomes of time and memory as there is more of something."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

TIME, SECOND, MEMORY = "#1f3a5f", "#0a7e8c", "#d1495b"
NAMES = {"supervised": "supervised", "cross_supervision": "cross-supervision (A)"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw one plot for each part that was measured.

    Args:
        results: the content of ``scale.json``.
        path: file to write.
    """
    drawers = {"processes": _processes, "images": _images, "scene": _scene, "segments": _segments}
    parts = [name for name in drawers if name in results]
    figure, axes = plt.subplots(1, len(parts), figsize=(3.8 * len(parts), 3.5), squeeze=False, layout="constrained")
    for axis, name in zip(axes[0], parts, strict=True):
        drawers[name](axis, results[name])
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


def _images(axis: Any, found: dict[str, Any]) -> None:
    counts = [row["images"] for row in found["rows"]]
    _line(axis, counts, found["rows"], "seconds_beside_steps", TIME, "seconds beside the steps")
    _line(axis, counts, found["rows"], "seconds_per_step", SECOND, "seconds per step")
    _line(axis, counts, found["rows"], "peak_gib", MEMORY, "most memory (GiB)")
    _logarithmic(axis, "images to learn from", "Training")


def _scene(axis: Any, found: dict[str, Any]) -> None:
    counts = [row["cases"] for row in found["rows"]]
    _line(axis, counts, found["rows"], "seconds_filled", TIME, "seconds until the table is full")
    _line(axis, counts, found["rows"], "seconds_read", SECOND, "seconds until it can be started")
    _line(axis, counts, found["rows"], "longest_call_seconds", MEMORY, "seconds held, at most")
    _logarithmic(axis, "images and frames in the scene", "The trainer's panel")


def _segments(axis: Any, found: dict[str, Any]) -> None:
    counts = [row["segments"] for row in found["rows"]]
    _line(axis, counts, found["rows"], "seconds_frame", SECOND, "seconds for a frame")
    _line(axis, counts, found["rows"], "seconds_volume", TIME, "seconds for a volume")
    _line(axis, counts, found["rows"], "extra_gib_volume", MEMORY, "memory for a volume (GiB)")
    _logarithmic(axis, "segments", "Prediction")


def _line(axis: Any, counts: Sequence[int], rows: Sequence[dict[str, Any]], key: str, colour: str, name: str) -> None:
    axis.plot(counts, [row[key] for row in rows], "o-", color=colour, label=name)


def _logarithmic(axis: Any, label: str, title: str) -> None:
    axis.set(xscale="log", yscale="log")
    counts = axis.get_lines()[0].get_xdata()
    axis.set_xticks(counts, [f"{count:g}" for count in counts])
    axis.minorticks_off()
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_xlabel(label, fontsize=9)
    axis.set_title(title, fontsize=10)
    axis.legend(fontsize=7)
