"""The picture of the learning benchmark: what every row gains or loses against its supervised counterpart."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SETS = {
    "fugc": "Cervix, ultrasound",
    "la": "Left atrium, MRI",
    "dsb": "Nuclei, fluorescence microscopy",
    "lgg": "Glioma, MRI of two modalities",
}
LABELS = {
    "half-one-lip": "half with one lip only",
    "half-one-lip-as-background": "the other lip taken for background",
    "half-left-out": "half left out",
    "slices-8": "every 8th slice annotated",
}
COLOUR = "#0a7e8c"


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw one line per comparison: the mean paired difference in Dice with its interval, and every test case.

    Args:
        results: the content of ``learning.json``.
        path: file to write.
    """
    compared = [c for c in results["comparisons"] if not c["labels"].startswith("fold-")]
    groups = {name: [c for c in compared if c["set"] == name] for name in SETS}
    groups = {name: group for name, group in groups.items() if group}
    if not groups:
        return
    heights = [len(group) + 1.2 for group in groups.values()]
    figure, axes = plt.subplots(
        len(groups), 1, figsize=(11, 0.5 * sum(heights)), squeeze=False, gridspec_kw={"height_ratios": heights}
    )
    for axis, (name, group) in zip(axes[:, 0], groups.items(), strict=True):
        for line, comparison in enumerate(group):
            row, partner = pair(results, comparison)
            cases = list(comparison["dice"]["per_image"].values())
            low, high = comparison["dice"]["interval_95"]
            axis.plot(cases, [line] * len(cases), "|", color="0.75", markersize=9)
            axis.plot([low, high], [line, line], color=COLOUR, linewidth=3, solid_capstyle="butt")
            axis.plot(comparison["dice"]["difference"], line, "o", color=COLOUR, markersize=7)
            seeds = comparison["seeds"]
            axis.annotate(
                f"{dice(partner, seeds):.3f} to {dice(row, seeds):.3f}, {len(seeds)} seed{'s' * (len(seeds) > 1)}",
                (1.01, line), xycoords=("axes fraction", "data"), va="center", fontsize=8,
            )  # fmt: skip
        axis.set_yticks(range(len(group)), [label(results, c) for c in group], fontsize=8)
        axis.invert_yaxis()
        axis.axvline(0, color="0.3", linewidth=1)
        axis.set_title(SETS[name], loc="left", fontsize=10)
        axis.spines[["top", "right", "left"]].set_visible(False)
        axis.tick_params(left=False)
    axes[-1, 0].set_xlabel(
        "Dice against supervised training with full labels, same budget and seeds: "
        "mean, 95 % bootstrap interval over test cases, each case",
        fontsize=9,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def dice(row: dict[str, Any], seeds: list[int]) -> float:
    """Return a row's mean Dice over the seeds that are compared."""
    return mean(mean(row["cases"][str(seed)].values()) for seed in seeds)


def pair(results: dict[str, Any], comparison: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a comparison's row and the supervised row that it is compared with."""
    same = {**{k: comparison[k] for k in ("set", "datalist", "budget")}, "given": comparison.get("given")}
    mine = {**same, "method": comparison["method"], "labels": comparison["labels"]}
    theirs = {**same, "method": comparison["against"].partition(",")[0], "labels": "full"}
    row, partner = (
        next(r for r in results["rows"] if all(r.get(k) == v for k, v in wanted.items())) for wanted in (mine, theirs)
    )
    return row, partner


def label(results: dict[str, Any], comparison: dict[str, Any]) -> str:
    """Name a comparison by method, labels, and budget."""
    row, _ = pair(results, comparison)
    what = comparison["method"].replace("_", " ")
    if "given" in comparison:
        what += f", given {comparison['given']}"
    if comparison["labels"] != "full":
        what += f", {LABELS.get(comparison['labels'], comparison['labels'])}"
    return f"{what}\n{row['labelled']} labelled, {row['unlabelled']} not, {row['budget']}"
