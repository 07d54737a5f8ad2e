"""Write the tables of this folder's README anew from the stored results: no figure in them is typed.

    python3 Testing/run.py bench tables

A table stands between ``<!-- table NAME -->`` and ``<!-- end -->``; `TABLES` says what is in it.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"
_TABLE = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Figures = dict[str, Any]


@cache
def results(name: str) -> Figures:
    """Read what a benchmark stored."""
    read: Figures = json.loads((HERE / "results" / f"{name}.json").read_text(encoding="utf-8"))
    return read


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of a title and cells per column."""
    if any(len(row) != len(columns) for row in rows):
        raise ValueError("a row has other columns than the table")
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace(" --- ", "---")


def rounded(value: float, digits: int) -> str:
    """Write a number; halves of the last digit, which stored figures often are, are rounded away from zero."""
    return str(Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def signed(value: float, digits: int) -> str:
    """Write a difference with its sign, also where it rounds to zero: an interval ends on this or that side of it."""
    text = rounded(value, digits)
    return text if value == 0 or text.startswith("-") else f"+{text}"


def difference(found: Figures, digits: int) -> str:
    """Write a difference and its 95 % interval."""
    low, high = (signed(bound, digits) for bound in found["interval_95"])
    return f"{signed(found['difference'], digits)} [{low}, {high}]"


def mean_and_seeds(row: Figures) -> str:
    """Write Dice with its spread, and of how many seeds."""
    count = len(row["seeds"])
    if count == 1:
        return f"{rounded(row['dice'], 3)} (1 seed)"
    return f"{rounded(row['dice'], 3)} ± {rounded(row['dice_sd'], 3)} ({count} seeds)"


# -- learning --


def learned(method: str, **wanted: Any) -> tuple[Figures, Figures | None]:
    """Return a row of `learning` and its comparison with the supervised baseline, which has none itself."""
    wanted = {"method": method, "labels": "full", "datalist": "datalist.json", **wanted}

    def chosen(table: list[Figures]) -> list[Figures]:
        return [row for row in table if all(row.get(k) == v for k, v in wanted.items())]

    (row,) = chosen(results("learning")["rows"])
    compared = chosen(results("learning")["comparisons"])
    return row, compared[0] if compared else None


def against(compared: Figures | None, metric: str) -> str:
    """Write what a comparison found of ``dice`` or ``hd95``."""
    return difference(compared[metric], 3 if metric == "dice" else 1) if compared else ""


def learning_cells(method: str, **wanted: Any) -> list[str]:
    """Write Dice, HD95 and both against supervised."""
    row, compared = learned(method, **wanted)
    return [
        mean_and_seeds(row), rounded(row["hd95"], 1), against(compared, "dice"), against(compared, "hd95")
    ]  # fmt: skip


def cervix() -> str:
    """Five and 25 labelled images, with and without the unlabelled ones."""
    settings = [
        ("5 / 470", "datalist_5.json", "800 iterations at 96x160"),
        ("5 / 470, 250 iterations at 160 x 256", "datalist_5.json", "250 iterations at 160x256"),
        ("25 / 450", "datalist.json", "800 iterations at 96x160"),
    ]
    rows = [
        [title, method, *learning_cells(method, set="fugc", datalist=datalist, budget=budget)]
        for title, datalist, budget in settings
        for method in ("supervised", "cross_supervision")
    ]
    columns = ["Dice", "HD95 (pixels)", "Dice against supervised", "HD95 against supervised"]
    return markdown(["labelled / unlabelled", "method", *columns], rows)


def baselines() -> str:
    """Every method on five labelled images, one seed."""
    rows = []
    for method in ("supervised", "mean_teacher", "ua_mt", "cps", "unimatch", "cross_supervision", "bcp"):
        row, compared = learned(method, set="fugc", datalist="datalist_5.json", budget="250 iterations at 96x160")
        title = f"{method} (A)" if method == "cross_supervision" else method
        measured = [rounded(row["dice"], 3), rounded(row["hd95"], 1)]
        rows.append([title, *measured, against(compared, "dice"), against(compared, "hd95")])
    return markdown(["method", "Dice", "HD95 (pixels)", "Dice against supervised", "HD95 against supervised"], rows)


def partial() -> str:
    """What is said about a segment that is not outlined."""
    said = {
        "full": "nothing is missing",
        "half-one-lip": "it may be anywhere that is not the outlined one (`segments`)",
        "half-one-lip-as-background": "nothing: it counts as background",
    }
    rows = []
    for labels, text in said.items():
        row, compared = learned("supervised", set="fugc", labels=labels, budget="800 iterations at 96x160")
        rows.append([text, mean_and_seeds(row), against(compared, "dice")])
    return markdown(["what is said about the missing lip", "Dice", "against full labels"], rows)


def atrium(iterations: int, methods: Sequence[str], slices: bool = False) -> str:
    """The left atrium: methods with the same budget."""
    chosen = [(method, "full", "all slices of 8 scans") for method in methods]
    if slices:
        chosen.append(("supervised", "slices-8", "every 8th slice of 8 scans"))
    rows = []
    for method, labels, said in chosen:
        row, compared = learned(
            method, set="la", labels=labels, budget=f"{iterations} iterations at 40x56x56 of 1.25 mm"
        )
        rows.append([method, said, mean_and_seeds(row), rounded(row["hd95"], 1), against(compared, "dice")])
    return markdown(["method", "labels", "Dice", "HD95 (mm)", "Dice against supervised, full labels"], rows)


def volumes() -> str:
    """System B, each of its terms left out, system C, and a part of the slices."""
    left_out = ("mistake", "cross", "rectified", "agreement", "prototype")
    b = ["dual_uncertainty", *(f"dual_uncertainty without {term}" for term in left_out)]
    return atrium(400, ["supervised", *b, "multiscale_contrast"], slices=True)


def volumes_longer() -> str:
    """System B, and a baseline, with five times the budget."""
    return atrium(2000, ["supervised", "dual_uncertainty", "bcp"])


def nuclei() -> str:
    """System C and each of its terms left out."""
    left_out = ("cross", "pixel", "patch", "perturbation")
    c = ["multiscale_contrast", *(f"multiscale_contrast without {term}" for term in left_out)]
    rows = [[m, *learning_cells(m, set="dsb", budget="250 iterations at 128x128")] for m in ("supervised", *c)]
    return markdown(["method", "Dice", "HD95 (pixels)", "Dice against supervised", "HD95 against supervised"], rows)


def modalities() -> str:
    """System D asked with one modality and with both."""
    rows = []
    for given, title in (("t1post", "T1 post"), ("flair", "FLAIR"), ("t1post, flair", "both")):
        for method in ("supervised_modalities", "semi_cml", "semi_cml_original"):
            row, compared = learned(method, set="lgg", given=given)
            measured = [mean_and_seeds(row), rounded(row["hd95"], 0), str(row["failures"])]
            rows.append([title, method, *measured, against(compared, "dice")])
    columns = ["given", "method", "Dice", "HD95", "nothing drawn", "Dice against networks trained alone"]
    return markdown(columns, rows)


# -- trust --


def trust() -> str:
    """Calibration, detection of errors and predicted quality, of every model that was looked at."""
    groups = {
        "cervix, {} images": {"fugc": "", "fugc_coarse": "", "fugc_fine": ""},
        "carotid, {} frames of 2 videos": {"carotid": "", "carotid_coarse": "", "carotid_fine": ""},
        "fetal head, {} images of 60 examinations": {"hc18": ""},
        "left atrium, {} scans": {"la": "", "la_fine": ""},
    }
    wanted = (
        ("ece_band_before", 3), ("ece_band_after", 3), ("error_auroc_band", 2), ("error_auroc", 2),
        ("quality_spearman", 2), ("quality_spearman_clean", 2), ("predicted_dice", 3), ("dice", 3),
    )  # fmt: skip
    rows = []
    for title, names in groups.items():
        for number, name in enumerate(names):
            entry = results("uncertainty")[name]
            model = entry["model"]
            if model["spacing"]:
                described = f"{model['spacing'][0]:.2f} mm, {model['iterations']} iterations"
            elif number == 0:
                described = "comes along"
            else:
                described = f"{'x'.join(map(str, model['size']))}, {model['iterations']} iterations"
            first = title.format(len(entry["cases"])) if number == 0 else ""
            rows.append([first, described, *(rounded(entry[key], digits) for key, digits in wanted)])
    return markdown(
        [
            "", "model", "calibration error in the band, before", "after", "errors found: AUROC in the band",
            "whole image", "predicted quality, degraded", "as it is", "mean Dice, predicted", "true",
        ],
        rows,
    )  # fmt: skip


def unlike() -> str:
    """How many test images are pointed out: as they are, degraded, and of other sets."""
    titles = {
        "fugc": "cervix ({})", "carotid": "carotid ({})", "hc18": "fetal head ({})", "dsb": "nuclei ({})",
        "la": "left atrium ({} scans)",
    }  # fmt: skip
    rows = []
    for name, title in titles.items():
        entry = results("typicality")["sets"][name]
        others = [value > 1 for values in entry["others"].values() for value in values]
        rows.append(
            [
                title.format(entry["images"]),
                f"{entry['clean_beyond']} of {len(entry['clean'])}",
                *(_shares(entry["degraded_beyond"][kind]) for kind in ("noise", "blur", "gain")),
                f"{sum(others)} of {len(others)}" if others else "none compared",
            ]
        )
    columns = ["test images pointed out", "with noise", "with blur", "with over-gain", "of the other three sets"]
    return markdown(["the model knows images of", *columns], rows)


def _shares(shares: list[float]) -> str:
    if all(share == 1 for share in shares):
        return "all"
    return ", ".join(f"{100 * share:.0f}" for share in shares) + " %"


# -- trainer --


def scene() -> str:
    """Two scenes, trained by the panel's own buttons."""
    rows = []
    for name, title in (("carotid", "carotid, {} frames of 2 videos"), ("atrium", "left atrium, {} scans")):
        entry = results("trainer")[name]
        rows.append(
            [
                title.format(entry["after"]["cases"]),
                entry["method"],
                str(entry["iterations"]),
                rounded(entry["minutes_from_start_to_model"], 1),
                *(rounded(entry[key]["dice"], 3) for key in ("before", "after", "from_files", "supervised")),
            ]
        )
    columns = ["before", "after", "the same from files", "supervised, as many steps"]
    return markdown(["scene", "method", "steps", "minutes to the model", *columns], rows)


def proposed() -> str:
    """What the panel proposes against supervised training, at equal time."""
    titles = {
        "carotid": "carotid", "fugc": "cervix", "dsb": "nuclei", "la": "left atrium",
        "lgg": "gliomas, FLAIR and T1 post",
    }  # fmt: skip
    compared = {(c["minutes"], c["set"]): c for c in results("proposal")["comparisons"]}
    rows = []
    for minutes, name in product(sorted({minutes for minutes, _ in compared}), titles):
        if (found := compared.get((minutes, name))) is None:
            continue
        run = next(r for r in results("proposal")["runs"] if r["set"] == name)
        rows.append(
            [
                f"{minutes:g}",
                f"{titles[name]}, {run['labelled']} + {run['unlabelled']}",
                str(found["cases"]),
                " and ".join(map(str, found["seeds"])),
                found["method"],
                *(" and ".join(map(str, steps)) for steps in found["iterations"]),
                *(rounded(dice, 3) for dice in found["dice"]),
                difference(found, 3),
            ]
        )
    columns = ["steps, supervised", "steps, method", "Dice, supervised", "Dice, method", "difference"]
    return markdown(["minutes", "set, labelled + not", "measured", "seeds", "method", *columns], rows)


def suggested() -> str:
    """Dice by the number of annotated frames, and by who chose them."""
    curves = {(c["way"], c["annotated"]): c for c in results("annotate")["curves"] if c["iterations"] == 480}
    rows = []
    for count in sorted({annotated for _, annotated in curves}):
        chosen = [curves[way, count] for way in ("suggested", "random", "even")]
        cells = [f"{rounded(curve['dice'], 3)} ({rounded(curve['dice_sd'], 3)})" for curve in chosen]
        rows.append([str(count), *(cells if len(set(cells)) > 1 else [cells[0], "the same", "the same"])])
    return markdown(["annotated frames", "suggested", "random", "evenly spaced"], rows)


# -- speed --


def speed() -> str:
    """Prediction against the plain way."""
    found = results("inference")
    parts = ("2d", "2d_cine", "2d_full_size", "3d", "3d_small_windows")
    rows = [
        [f"speed-up, {title}", *(rounded(found[f"speedup_cpu_{part}{end}"], 1) for part in parts)]
        for title, end in ((f"default precision ({found['precision']})", ""), ("float32", "_f32"))
    ]
    columns = [
        "2D, 160 x 256", "a cine", "2D, 352 x 544", "3D, windows of 80 x 112 x 112", "3D, windows of 48 x 64 x 64"
    ]  # fmt: skip
    return markdown(["", *columns], rows)


def steps() -> str:
    """A training step against a plain loop."""
    methods = {"supervised": "supervised", "cross_supervision": "cross_supervision (A)"}
    ways = {
        "loader": "files read item by item, a forward pass per view: default precision, float32",
        "cached": "cached images, one forward pass: default precision, float32",
    }

    def cell(method: str, way: str) -> str:
        found = results("training")["against"][method]
        return ", ".join(rounded(found[f"speedup_over_{way}{e}"]["median"], 1) for e in ("_default_precision", ""))

    return markdown(["", *methods.values()], [[text, *(cell(m, way) for m in methods)] for way, text in ways.items()])


# -- much of it --


def hours() -> str:
    """What grows as work goes on."""
    found = results("endurance")
    titles = {"segmenting": "segmenting, {} scenes", "training": "training, {} scenes"}
    rows = [
        [
            title.format(found[name]["rounds"]),
            f"{signed(found[name]['mib_per_round'], 2)} MiB a scene",
            f"{signed(found[name]['worker_mib_per_round'], 2)} MiB a scene",
            ", ".join(_more(found[name]["first_and_last"])) or "nothing",
        ]
        for name, title in titles.items()
    ]
    last = found["steps"]
    rows.append(
        [f"one training, {last['steps']} steps", "", f"{signed(last['mib_per_1000_steps'], 1)} MiB in 1000 steps", ""]
    )
    return markdown(["", "program with the panel", "process that computes", "more nodes, open files, files"], rows)


def _more(exact: Figures) -> list[str]:
    return [f"{last - first} {name.replace('_', ' ')}" for name, (first, last) in exact.items() if last > first]


def together() -> str:
    """A step of one process and of several."""
    found = results("scale")["processes"]["rows"]
    ways = list(dict.fromkeys((row["processes"], row["threads"]) for row in found))
    rows = []
    for method in dict.fromkeys(row["method"] for row in found):
        by_way = {(r["processes"], r["threads"]): r for r in found if r["method"] == method}
        rows.append([method, *(rounded(by_way[way]["seconds_per_step"], 2) for way in ways)])
    return markdown(["seconds of a step", *(f"processes: {p}, threads of each: {t}" for p, t in ways)], rows)


def freed() -> str:
    """A step where freed memory is used again, and where it is given back."""
    rows = [
        [
            f"{row['method']}, {row['size'].replace('x', ' x ')}",
            *(rounded(row[f"seconds_per_step_{way}"], 2) for way in ("given_back", "kept")),
            *(rounded(row[f"peak_gib_{way}"], 2) for way in ("given_back", "kept")),
        ]
        for row in results("scale")["freed"]["rows"]
    ]
    heads = ["seconds of a step, memory given back", "used again", "most memory (GiB), given back", "used again"]
    return markdown(["", *heads], rows)


def growth(part: str, counted: str, columns: dict[str, tuple[str, int]], first: str) -> str:
    """Write a part of the scale benchmark: columns by key, each with its title and digits, over how many there are."""
    rows = [
        [str(row[counted]), *(rounded(row[key], digits) for key, (_, digits) in columns.items())]
        for row in results("scale")[part]["rows"]
    ]
    return markdown([first, *(title for title, _ in columns.values())], rows)


def many_images() -> str:
    """Trainings on ever more images."""
    columns = {
        "seconds_beside_steps": ("seconds beside the steps", 1), "seconds_per_step": ("seconds of a step", 2),
        "peak_gib": ("memory (GiB)", 2),
    }  # fmt: skip
    return growth("images", "images", columns, "images")


def many_cases() -> str:
    """The trainer's panel on ever larger scenes."""
    columns = {
        "seconds_opened": ("panel there (s)", 2), "seconds_read": ("can be started (s)", 1),
        "seconds_filled": ("table full (s)", 1), "longest_call_seconds": ("held at once, at most (s)", 2),
        "extra_gib": ("memory (GiB)", 2),
    }  # fmt: skip
    return growth("scene", "cases", columns, "images and frames")


def many_segments() -> str:
    """Prediction with ever more segments."""
    columns = {
        "seconds_frame": ("a frame (s)", 3), "seconds_volume": ("a volume of 128 cubed (s)", 1),
        "extra_gib_volume": ("memory for the volume (GiB)", 2),
    }  # fmt: skip
    return growth("segments", "segments", columns, "segments")


TABLES: dict[str, Callable[[], str]] = {
    made.__name__: made
    for made in (
        cervix, baselines, partial, volumes, volumes_longer, nuclei, modalities, trust, unlike, scene, proposed,
        suggested, speed, steps, hours, together, freed, many_images, many_cases, many_segments,
    )
}  # fmt: skip


def written(text: str) -> str:
    """Return the README's text with every table made anew."""
    return _TABLE.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


def main() -> None:
    """Write them."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
