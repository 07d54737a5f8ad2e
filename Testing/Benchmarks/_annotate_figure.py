"""Table and picture of the annotation benchmark: Dice by the number of annotated frames."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, stdev
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Blue, orange and grey stay apart for colour-blind eyes and in print.
LOOKS = {
    "suggested": ("suggested", "#0a5c8e", "o"),
    "random": ("random", "#e08214", "s"),
    "even": ("evenly spaced", "0.45", "^"),
}


def curves(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Collect rows that differ by seed only: mean, spread and difference from random choices at equal seeds.

    Args:
        rows: of ``annotate.json``.

    Returns:
        One entry for each setting, way and number of annotated frames.
    """
    settings = list({(r["method"], r["iterations"], tuple(r["size"])): None for r in rows})
    table = []
    for method, iterations, size in settings:
        mine = [r for r in rows if (r["method"], r["iterations"], tuple(r["size"])) == (method, iterations, size)]
        for way in LOOKS:
            for number in sorted({r["round"] for r in mine if r["way"] in (way, "start")}):
                found = _by_seed(mine, way, number)
                random = _by_seed(mine, "random", number)
                both = sorted(found.keys() & random.keys())
                dices = [found[seed]["dice"] for seed in sorted(found)]
                table.append(
                    {
                        "method": method,
                        "iterations": iterations,
                        "size": list(size),
                        "way": way,
                        "annotated": next(iter(found.values()))["annotated"],
                        "seeds": sorted(found),
                        "dice": round(mean(dices), 4),
                        "dice_sd": round(stdev(dices), 4) if len(dices) > 1 else None,
                        "dice_by_seed": {str(seed): found[seed]["dice"] for seed in sorted(found)},
                        "videos": {
                            video: round(mean(row["videos"][video] for row in found.values()), 4)
                            for video in next(iter(found.values()))["videos"]
                        },
                        "against_random": {
                            str(seed): round(found[seed]["dice"] - random[seed]["dice"], 4) for seed in both
                        }
                        if way != "random" and number
                        else None,
                    }
                )
    return table


def _by_seed(rows: list[dict[str, Any]], way: str, number: int) -> dict[int, dict[str, Any]]:
    """Return a round's rows by seed; all ways begin with the same."""
    return {r["seed"]: r for r in rows if r["round"] == number and r["way"] == (way if number else "start")}


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw one curve for each way, of the settings that the last row has: mean, spread and every seed.

    Args:
        results: the content of ``annotate.json``.
        path: file to write.
    """
    last = results["rows"][-1]
    same = {k: last[k] for k in ("method", "iterations", "size")}
    lines = [c for c in results["curves"] if all(c[k] == v for k, v in same.items())]
    videos = list(lines[0]["videos"])
    figure, axes = plt.subplots(1, 1 + len(videos), figsize=(5.2 + 3.6 * len(videos), 4.2), sharey=True, squeeze=False)
    for axis, video in zip(axes[0], [None, *videos], strict=True):
        for shift, (way, (label, colour, mark)) in enumerate(LOOKS.items()):
            mine = [c for c in lines if c["way"] == way]
            frames = [c["annotated"] + 0.25 * (shift - 1) for c in mine]
            means = [c["dice"] if video is None else c["videos"][video] for c in mine]
            axis.plot(frames, means, f"{mark}-", color=colour, label=label, markersize=6, linewidth=1.8)
            if video is None:
                for x, curve in zip(frames, mine, strict=True):
                    each = list(curve["dice_by_seed"].values())
                    axis.plot([x] * len(each), each, "_", color=colour, markersize=9)
                    axis.plot([x, x], [min(each), max(each)], color=colour, linewidth=0.8)
        axis.set_title("mean of both test videos" if video is None else f"test video {video}", loc="left", fontsize=10)
        axis.set_xlabel("annotated frames")
        axis.set_xticks(sorted({c["annotated"] for c in lines}))
        axis.grid(axis="y", color="0.9")
        axis.spines[["top", "right"]].set_visible(False)
    seeds = max(len(c["seeds"]) for c in lines)
    axes[0, 0].set_ylabel("Dice on the test frames")
    axes[0, 0].legend(frameon=False, loc="lower right")
    figure.suptitle(
        f"What to annotate next, carotid: {same['method'].replace('_', ' ')}, {same['iterations']} iterations at "
        f"{'x'.join(map(str, same['size']))}, up to {seeds} seed{'s' * (seeds > 1)} (dashes: each seed)",
        fontsize=9, x=0.01, ha="left",
    )  # fmt: skip
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
