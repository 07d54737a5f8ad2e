"""Does a model point out images that look unlike its training images, and only those?

    python3 Testing/run.py bench typicality --data DIR

DIR holds the expanded data sets. Of each set the training images, labelled or not, are described as a training does it;
then the test images are looked at as they are, degraded as `degradations.json` says (noise, blur and gain at five
levels each), and with every other set's description. Volumes: eight test scans, two of them degraded. No network is
needed. About five minutes. Table and figure go to results/typicality.{json,png}.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from _command import add_data, data_folder, said
from _degrade import KINDS, PLAN, degraded
from _results import RESULTS, write
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.grid import NetworkView, plan_grid
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.preprocess import to_network, without_padding
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.engine.typicality import Typicality, appearance, slices_of
from SemiSegTrainerLib.learning.data import load_training_data
from SemiSegTrainerLib.learning.datalist import Entry, read_datalist
from SemiSegTrainerLib.learning.training import versions
from SemiSegTrainerLib.learning.typical import typical_images

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# What the networks of each set see; as the models of the other benchmarks.
SPECS = {
    "fugc": InputSpec(modalities=("us",), size=(160, 256)),
    "carotid": InputSpec(modalities=("us",), size=(224, 192)),
    "hc18": InputSpec(modalities=("us",), size=(128, 192)),
    "dsb": InputSpec(modalities=("light",), size=(128, 128)),
    "la": InputSpec(
        spatial_dims=3, modalities=("mr",), sampling="windows", size=(40, 56, 56), spacing=(1.25, 1.25, 1.25)
    ),
}
NAMES = {"fugc": "cervix", "carotid": "carotid", "hc18": "fetal head", "dsb": "nuclei", "la": "left atrium"}
# A frame is much like its neighbours, and a scan takes long.
TAKEN = {"carotid": 3, "hc18": 3, "dsb": 4}
SCANS = 8, 2


def main() -> None:
    """Describe, look, and write table and figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    data = data_folder(parser, parser.parse_args())
    known, tests = {}, {}
    for name, spec in SPECS.items():
        datalist = read_datalist(data / name / "datalist.json")
        known[name] = typical_images(load_training_data(datalist, spec))
        tests[name] = list(datalist["test"])[:: TAKEN.get(name, 1)][: SCANS[0] if spec.spatial_dims == 3 else None]
        print(f"{name}: described by {known[name].images} images", flush=True)
    rows = {}
    for name, spec in SPECS.items():
        typicality = Typicality(known[name])
        rows[name] = row = measure(typicality, spec, tests[name])
        flat = [n for n in SPECS if n != name and SPECS[n].spatial_dims == spec.spatial_dims]
        row |= {"images": known[name].images, "limit": known[name].limit, "others": {}}
        for other in flat:
            found = [typicality.atypicality(look(image_of(e), spec)) for e in tests[other]]
            row["others"][other] = rounded(found)
        print(
            f"{name}: clean {max(row['clean'])} at most, {row['clean_beyond']} of {len(row['clean'])} beyond 1",
            flush=True,
        )
    results = {
        "benchmark": "typicality",
        "command": said(reads_data=True),
        "about": "atypicality of test images; beyond 1 they are pointed out",
        "degradations": PLAN,
        "sets": rows,
        "versions": versions(),
    }
    write(RESULTS / "typicality.json", results)
    draw(rows, RESULTS / "typicality.png")


def measure(typicality: Typicality, spec: InputSpec, entries: list[Entry]) -> dict[str, Any]:
    """Look at test images as they are and degraded."""
    clean: list[float] = []
    worse: dict[str, list[list[float]]] = {kind: [[] for _ in range(5)] for kind in KINDS}
    for number, entry in enumerate(entries):
        image = image_of(entry)
        clean.append(typicality.atypicality(look(image, spec)))
        if spec.spatial_dims == 3 and number >= SCANS[1]:
            continue
        for kind, level, changed in degraded(image, entry.id):
            worse[kind][level - 1].append(typicality.atypicality(look(changed, spec)))
    return {
        "clean": rounded(clean),
        "clean_beyond": sum(found > 1 for found in clean),
        "degraded": {kind: [rounded(found) for found in levels] for kind, levels in worse.items()},
        "degraded_beyond": {
            kind: [round(float(np.mean(np.array(found) > 1)), 2) for found in levels] for kind, levels in worse.items()
        },
    }


def look(image: Image, spec: InputSpec) -> np.ndarray:
    """Describe an image as the engine does it for a model of that input."""
    if spec.sampling == "fit":
        return appearance(slices_of(without_padding(*to_network(image, spec))))
    return appearance(slices_of(NetworkView(image, plan_grid(image, spec), spec).whole()))


def image_of(entry: Entry) -> Image:
    """Read a test image."""
    return read_image(entry.images, entry.spacing)


def rounded(values: list[float]) -> list[float]:
    """Round for JSON."""
    return [round(float(value), 3) for value in values]


def draw(rows: dict[str, Any], path: Path) -> None:
    """Draw how far each set's images are: clean, degraded by level, and those of the other sets."""
    figure, axes = plt.subplots(1, len(rows), figsize=(3.1 * len(rows), 3.9), sharey=True)
    labels = ["as they are", *(f"{kind} {level}" for kind in KINDS for level in range(1, 6)), "other sets"]
    for axis, (name, row) in zip(axes, rows.items(), strict=True):
        others = [value for found in row["others"].values() for value in found]
        columns = [row["clean"], *(found for kind in KINDS for found in row["degraded"][kind])]
        colours = ["#0a5c8e", *["#e08214"] * (len(columns) - 1), "#7b3294"]
        columns += [others] if others else []
        for x, (column, colour) in enumerate(zip(columns, colours, strict=False)):
            axis.plot([x] * len(column), column, ".", color=colour, markersize=4, alpha=0.6)
        axis.axhline(1, color="0.3", linewidth=0.9)
        axis.set_yscale("log")
        axis.set_title(f"{NAMES[name]}: {row['images']} images known", loc="left", fontsize=9)
        axis.set_xticks(range(len(columns)), labels[: len(columns)], rotation=90, fontsize=6)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("atypicality (beyond 1: pointed out)")
    axes[0].set_yticks([0.2, 0.5, 1, 2, 5, 10], ["0.2", "0.5", "1", "2", "5", "10"])
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
