"""Turn a trained run into a model that ships with SemiSeg: names, terminology, measured quality, card, half the size.

python3 Testing/run.py bench ship_models MODEL --run DIR --data DIR

MODEL is one of the recipes below, which also say how it was trained; --run is the folder that `semiseg train` wrote,
and --data holds the expanded data sets. The quality comes from the test list, of which nothing was trained on. Weights
are stored as float16; a model whose Dice on the test list changes by that in the first four digits is refused.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from _command import add_data, data_folder
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.pack import Pack, load_pack, save_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import Quality, SegmentClass
from SemiSegTrainerLib.learning.datalist import Entry, read_datalist
from SemiSegTrainerLib.learning.evaluation import CaseFigures, compare_labels, nan_mean

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "Resources" / "models"
_ANATOMY = "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure"
_NO_REGION = "Anatomic codes - DICOM master list~^^~^^"
VALIDATED = ", on which the measured Dice rests as well"
LICENCE = "CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)"


@dataclass(frozen=True)
class Recipe:
    """What is said of one shipped model, and how it was trained.

    Attributes:
        data: name of the expanded set, whose folder holds ``datalist.json``.
        file: the pack's name without ending, by which the panel and the command line know it.
        classes: name, colour and terminology of each, in the order of their values. Orange and blue stay apart for
            colour-blind eyes and on grey.
        training: the command, with DATA for the folder of the set.
        test: what the cases of the test list are.
        videos: whether these are frames of videos, whose figures are then said apart.
        licence: of the weights.
    """

    data: str
    file: str
    title: str
    description: str
    classes: tuple[tuple[str, tuple[float, float, float], str], ...]
    training: str
    test: str
    use: str
    limits: str
    source: str
    videos: bool = False
    licence: str = LICENCE


_ORANGE, _BLUE = (1.0, 0.62, 0.26), (0.34, 0.71, 0.98)
# Codes as in Slicer's own lists. Both lips are parts of one structure: their names tell them apart.
_CERVIX = f"{_ANATOMY}~SCT^71252005^Cervix~^^~{_NO_REGION}"
_CAROTID = f"{_ANATOMY}~SCT^32062004^Common carotid artery~^^~{_NO_REGION}"
_HEAD = f"{_ANATOMY}~SCT^69536005^Head~^^~{_NO_REGION}"
RECIPES = {
    "cervix": Recipe(
        data="fugc",
        file="cervix",
        title="Cervix, transvaginal ultrasound",
        description="Anterior and posterior lip of the cervix in transvaginal ultrasound images.",
        classes=(("Anterior cervical lip", _ORANGE, _CERVIX), ("Posterior cervical lip", _BLUE, _CERVIX)),
        training="semiseg train DATA/datalist.json --method cross_supervision --out RUN --iterations 1200 "
        "--size 160x256 --seed 0 --device cpu",
        test="public test images of FUGC",
        use="Research on the shape and length of the cervix in transvaginal ultrasound, single images or cine, as a "
        "first outline that somebody corrects.",
        limits="Images from few examinations made this model and measured it: on other machines, patients and views it "
        "can be much worse. It always looks for both lips, also where the image does not show a cervix. It has seen "
        "B-mode images without measuring marks.",
        source="Fetal Ultrasound Grand Challenge 2025 (FUGC), doi 10.5281/zenodo.16893174; cite Bai et al., "
        "arXiv:2601.15572",
    ),
    "carotid": Recipe(
        data="carotid",
        file="carotid",
        title="Common carotid artery, ultrasound",
        description="Lumen of the common carotid artery in B-mode ultrasound images and cine.",
        classes=(("Common carotid artery", _ORANGE, _CAROTID),),
        training="semiseg train DATA/datalist.json --method cross_supervision --out RUN --iterations 2000 "
        "--size 256x256 --seed 0 --device cpu",
        test="frames of two test videos",
        use="Research on the diameter and area of the common carotid artery over the frames of a cine, as a first "
        "outline that somebody corrects.",
        limits="Frames of 11 videos made this model and measured it: on other machines and patients it can be much "
        "worse. Plaque, the bifurcation and colour Doppler were hardly or never seen. The segment is the lumen, "
        "not the wall.",
        source="Common Carotid Artery Ultrasound Images, Mendeley Data, doi 10.17632/d4xt63mgjm.1",
        videos=True,
    ),
    "fetal_head": Recipe(
        data="hc18",
        file="fetal_head",
        title="Fetal head, ultrasound",
        description="Fetal head in the standard plane of transabdominal ultrasound, outlined as an ellipse along the "
        "outer edge of the skull.",
        classes=(("Fetal head", _ORANGE, _HEAD),),
        training="semiseg train DATA/datalist.json --method cross_supervision --out RUN --iterations 1400 "
        "--size 192x288 --seed 0 --device cpu",
        test="test images of 60 examinations",
        use="Research on the size and shape of the fetal head in single images of the standard plane, as a first "
        "outline that somebody corrects.",
        limits="Images of one hospital made this model and measured it, at half their size: on other machines and "
        "views it can be much worse. Its references are ellipses that were fitted to the skull, also where shadows "
        "hide it. It always looks for a head, also where the image does not show one, and does not point out that a "
        "cervix is none: its own images differ more. It is no measurement of the head circumference by which anybody "
        "should be treated.",
        source="HC18, Automated measurement of fetal head circumference using 2D ultrasound images, "
        "doi 10.5281/zenodo.1327317; cite van den Heuvel et al., PLoS ONE 13(8), 2018, "
        "doi 10.1371/journal.pone.0200412",
    ),
}

CARD = """\
# {title}

{description}

- Segments: {segments}
- Networks: {networks}, together {parameters:.1f} million parameters, input {size} pixels
- Trained with: {training}
- On: {labelled} labelled and {unlabelled} unlabelled images, seed {seed}, data fingerprint {fingerprint}
- Uncertainty: calibrated on {fitted}
- Points out images that look unlike its training images, of which it knows {known}

## Measured

On {cases} {test}, of which nothing was trained on (PyTorch, float32):

| segment | Dice | HD95 ({unit}) | failures |
|---|---|---|---|
{rows}

{groups}Weights are stored as float16: on these images {changed} of {voxels} pixels are labelled otherwise than with the
trained float32 weights, and the mean Dice is {dice:.4f} with both.

## Intended use

{use} Not a medical device. Look at every result before using it.

## Limits

{limits}

## Source and licence

Data: {source}. Licence of data and model: {licence}. Changes: the images were brought to the network's input size and
their grey values standardised; the weights are what was learned from them.
"""


def measure(pack: Pack, entries: list[Entry]) -> tuple[list[np.ndarray], list[CaseFigures]]:
    """Predict the test cases in float32 on the CPU; return label maps and figures in their order."""
    predictor = Predictor(pack, "cpu", backend="torch")
    labels, figures = [], []
    for entry in entries:
        image = read_image(entry.images, entry.spacing)
        labels.append(predictor.predict(image).labels)
        figures.append(compare_labels(labels[-1], entry, pack.manifest.classes, image.spacing, True, image.affine))
    return labels, figures


def mean_dice(figures: list[CaseFigures]) -> float:
    """Mean over the cases, as `semiseg evaluate` gives it."""
    return nan_mean([figure.dice for figure in figures])


def ship(recipe: Recipe, run: Path, data: Path, target: Path = TARGET) -> Path:
    """Write the shipped pack and return its path.

    Args:
        recipe: what to say of it.
        run: folder that `semiseg train` wrote.
        data: folder of the expanded sets.
        target: folder of the shipped models.

    Raises:
        SystemExit: run and data do not belong together, or float16 changes the Dice.
    """
    trained = load_pack(run / "model.semiseg")
    datalist = read_datalist(data / recipe.data / "datalist.json")
    if len(datalist.classes) != len(recipe.classes):
        sys.exit(f"{data / recipe.data} has other classes than the recipe")
    entries = [entry for entry in datalist.named("test") if entry.label is not None]
    manifest = trained.manifest.model_copy(
        update={
            "name": recipe.title,
            "description": recipe.description,
            "classes": tuple(
                SegmentClass(value=value, name=name, color=color, terminology=terminology)
                for value, (name, color, terminology) in enumerate(recipe.classes, 1)
            ),
            # The run's own figure came from the validation list; here it comes from the test list.
            "calibration": trained.manifest.calibration.model_copy(
                update={"fitted_on": trained.manifest.calibration.fitted_on.removesuffix(VALIDATED)}
            ),
            "licence": recipe.licence,
            "attribution": recipe.source,
        }
    )
    before, wanted = measure(Pack(manifest, trained.branches), entries)
    path = save_pack(target / recipe.file, Pack(manifest, trained.branches), overwrite=True, half=True)
    halved = load_pack(path)
    after, figures = measure(halved, entries)
    dice = mean_dice(figures)
    if f"{dice:.4f}" != f"{mean_dice(wanted):.4f}":
        path.unlink()
        sys.exit(f"float16 changes the mean Dice from {mean_dice(wanted):.4f} to {dice:.4f}")

    # A picture's pixel size is in the data list where it was published.
    unit = "mm" if all(entry.spacing for entry in entries) else "pixels"
    rows, distances = [], []
    for name in figures[0].segments:
        agreements = [figure.segments[name] for figure in figures]
        distances += [a.hd95 for a in agreements]
        overlap, distance = nan_mean([a.dice for a in agreements]), nan_mean([a.hd95 for a in agreements])
        rows.append(f"| {name} | {overlap:.4f} | {distance:.1f} | {sum(a.failed for a in agreements)} |")
    measured = {"Dice": round(dice, 4), f"HD95 ({unit})": round(nan_mean(distances), 1)}
    quality = tuple(
        Quality(metric=metric, value=value, data=recipe.test, cases=len(figures)) for metric, value in measured.items()
    )
    provenance = manifest.provenance
    card = CARD.format(
        title=recipe.title, description=recipe.description, segments=", ".join(name for name, *_ in recipe.classes),
        networks=" and ".join(branch.architecture for branch in manifest.branches),
        parameters=sum(weight.numel() for b in trained.branches for weight in b.network.parameters()) / 1e6,
        size=" x ".join(map(str, manifest.input.size)), training=f"`{recipe.training}`",
        labelled=provenance.labelled, unlabelled=provenance.unlabelled, seed=provenance.seed,
        fingerprint=provenance.data_fingerprint, fitted=manifest.calibration.fitted_on, cases=len(figures),
        known=manifest.typical.images if manifest.typical else 0,
        test=recipe.test, rows="\n".join(rows), unit=unit,
        groups=per_video(entries, figures) if recipe.videos else "",
        changed=sum(int((a != b).sum()) for a, b in zip(before, after, strict=True)),
        voxels=sum(a.size for a in before), dice=dice, use=recipe.use, limits=recipe.limits, source=recipe.source,
        licence=recipe.licence,
    )  # fmt: skip
    done = manifest.model_copy(update={"quality": quality})
    return save_pack(path, Pack(done, trained.branches, card), overwrite=True, half=True)


def per_video(entries: list[Entry], figures: list[CaseFigures]) -> str:
    """Say the mean Dice of each video, where the cases are frames of videos: frames of one are not independent."""
    pairs = sorted(((e.group, f) for e, f in zip(entries, figures, strict=True) if e.group), key=lambda pair: pair[0])
    if not pairs:
        return ""
    said = []
    for sequence, group in groupby(pairs, key=lambda pair: pair[0]):
        of_one = [figure for _, figure in group]
        said.append(f"{sequence} {mean_dice(of_one):.4f} ({len(of_one)} frames)")
    return f"Mean Dice per video: {', '.join(said)}.\n\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=sorted(RECIPES))
    parser.add_argument("--run", type=Path, required=True, help="folder that semiseg train wrote")
    add_data(parser)
    arguments = parser.parse_args()
    data = data_folder(parser, arguments)
    path = ship(RECIPES[arguments.model], arguments.run, data)
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1e6:.1f} MB")
    print(load_pack(path).card)


if __name__ == "__main__":
    main()
