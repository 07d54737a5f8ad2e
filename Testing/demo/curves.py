"""The report's charts, as SVG whose ink follows the page, in light and in dark."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# These stand for the page's colours until the finished SVG gets CSS variables in their place.
_INK, _QUIET = "#010203", "#040506"
_METHOD, _BASELINE = "#0a0b0c", "#0d0e0f"
_VARIABLES = {_INK: "--ink", _QUIET: "--quiet", _METHOD: "--method", _BASELINE: "--baseline"}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "semiseg",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _QUIET,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "legend.frameon": False,
}


def read_history(path: Path) -> dict[str, list[float]]:
    """Return the columns of a run's ``history.csv``."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {key: [float(row[key]) for row in rows] for key in (rows[0] if rows else {})}


def training_curves(method: dict[str, list[float]], baseline: dict[str, list[float]]) -> str:
    """Return the chart of the losses over the iterations.

    Args:
        method: history of the semi-supervised run.
        baseline: history of the supervised one.
    """
    with plt.rc_context(_STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.2, 2.9), layout="constrained")
        axes[0].set_title("Against the annotations (both runs)")
        for history, color, name in (
            (method, _METHOD, "with unlabelled images"),
            (baseline, _BASELINE, "without"),
        ):
            axes[0].plot(history.get("iteration", []), history.get("supervised", []), color=color, lw=1.8, label=name)
        axes[1].set_title("Between the two networks, on unlabelled images")
        axes[1].plot(method.get("iteration", []), method.get("cross", []), color=_METHOD, lw=1.8)
        axes[1].set_ylabel("disagreement (loss)")
        axes[0].set_ylabel("loss")
        axes[0].legend()
        for axis in axes:
            axis.set_xlabel("iteration")
            axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axis.set_ylim(bottom=0)
        return _svg(figure, "curves")


def paired_chart(cases: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Return the chart that joins each held-out image's Dice without and with unlabelled images.

    Args:
        cases: of the method, as `evaluation.summarise` gives them.
        baseline: of the supervised run, in the same order.
        names: the images' names for people.
    """
    with plt.rc_context(_STYLE):
        figure, axis = plt.subplots(figsize=(9.2, 0.42 * len(cases) + 0.9), layout="constrained")
        rows = range(len(cases), 0, -1)
        for row, after, alone in zip(rows, cases, baseline, strict=True):
            axis.plot([alone["dice"], after["dice"]], [row, row], color=_QUIET, lw=2.2, zorder=1)
        axis.scatter(
            [c["dice"] for c in baseline], rows, s=64, facecolors="none", edgecolors=_BASELINE, lw=1.8, zorder=2
        )
        axis.scatter([c["dice"] for c in cases], rows, s=64, color=_METHOD, zorder=3)
        axis.scatter([], [], s=64, facecolors="none", edgecolors=_BASELINE, lw=1.8, label="without unlabelled images")
        axis.scatter([], [], s=64, color=_METHOD, label="with unlabelled images")
        axis.set_yticks(list(rows), names)
        axis.set_ylim(0.4, len(cases) + 0.6)
        axis.grid(axis="y", visible=False)
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
        axis.set_xlabel("mean Dice of both lips (1 is identical with the expert's outline)")
        figure.legend(loc="outside upper right", ncols=2)
        return _svg(figure, "paired")


def _svg(figure: Figure, name: str) -> str:
    stream = io.StringIO()
    # Without a date and with a fixed salt equal figures are equal text.
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    for stand_in, variable in _VARIABLES.items():
        text = text.replace(stand_in, f"var({variable})")
    # Several charts are in one page, where each name may stand only once.
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
    return text.strip()
