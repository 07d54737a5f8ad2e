"""Models on the samples: predictions of any of them, and figures where there is a reference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.pack import load_pack, read_manifest
from SemiSegCervicalLib.engine.predict import Prediction, Predictor
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.learning.datalist import Entry
from SemiSegTrainerLib.learning.evaluation import CaseFigures, compare_labels, summarise
from SemiSegTrainerLib.learning.targets import Completeness

from .samples import Samples

_AT_ONCE = 8


def predict(
    model: Path,
    samples: Samples,
    names: Sequence[str],
    device: str,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Prediction]:
    """Segment samples with a model pack, and return the predictions by name."""
    predictor = Predictor(load_pack(model), device)
    found: dict[str, Prediction] = {}
    for first in range(0, len(names), _AT_ONCE):
        chunk = names[first : first + _AT_ONCE]
        images = [read_image([samples.image_path(name)]) for name in chunk]
        found.update(zip(chunk, predictor.predict_batch(images), strict=True))
        if progress is not None:
            progress(len(found), len(names))
    return found


def compare(predictions: dict[str, Prediction], samples: Samples, names: Sequence[str]) -> list[CaseFigures]:
    """Compare predictions with the references; distances are in pixels, for the images are not calibrated."""
    return [
        compare_labels(
            predictions[name].labels,
            Entry(name, (samples.image_path(name),), samples.label_path(name), None, Completeness(), None),
            samples.classes,  # type: ignore[arg-type]
            None,
        )
        for name in names
    ]


def figures(predictions: dict[str, Prediction], samples: Samples, names: Sequence[str]) -> dict[str, Any]:
    """Return measured and self-predicted figures as plain values for a JSON file."""
    summary = summarise(compare(predictions, samples, names))
    for case in summary["cases"]:
        for segment in predictions[case["case"]].segments:
            case["segments"][segment.name]["predicted_dice"] = segment.predicted_dice
    return summary


def expected_quality(prediction: Prediction) -> float:
    """Return the mean Dice that the model expects of its own segments; a segment it does not see counts 0."""
    values = [segment.predicted_dice or 0.0 for segment in prediction.segments]
    return sum(values) / len(values)


def check_start(pack: Path, samples: Samples) -> None:
    """Refuse a starting pack whose classes are not those of the samples.

    Raises:
        SemiSegError: not a pack, or one for something else.
    """
    theirs = [entry.name for entry in read_manifest(pack).classes]
    ours = [entry.name for entry in samples.classes]
    if theirs != ours:
        raise SemiSegError(
            "other-classes", f"{pack} segments {', '.join(theirs)}; the samples hold {', '.join(ours)}",
            "Choose a model of the cervix, or leave --start out", "settings",
        )  # fmt: skip
