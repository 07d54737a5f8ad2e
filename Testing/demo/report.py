"""The report: one HTML file that needs nothing else, for people who read images and not code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import slicer
from SemiSegCervicalLib.atomic import write_atomically
from SemiSegCervicalLib.engine.predict import Prediction
from SemiSegTrainerLib.cli.reporting import clock

from . import plan
from .curves import paired_chart, read_history, training_curves
from .measure import expected_quality
from .pictures import color_ramp, css_color, css_gradient, jpeg, outline, overlay, places
from .samples import Samples
from .scene import Annotated

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_THUMBNAIL = 176
_SMALL = 320
# So many of the images without reference are shown large, the least certain ones.
_WORTH_A_LOOK = 6
# A mean difference below this is not called one, whatever its sign.
_NOTEWORTHY = 0.005
_NOTHING, _MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"


@dataclass(frozen=True)
class ReportData:
    """What the report is about.

    Attributes:
        summary: the content of ``summary.json``.
        samples: images, references and classes.
        annotated: how each image of the scene was annotated.
        painted: what a person drew, by sample name.
        predictions: of the method's model, by sample name.
        baseline: of the supervised model, for the held-out images.
        out: the folder of all files; both runs' histories are read from it.
    """

    summary: dict[str, Any]
    samples: Samples
    annotated: Mapping[str, Annotated]
    painted: Mapping[str, np.ndarray]
    predictions: Mapping[str, Prediction]
    baseline: Mapping[str, Prediction]
    out: Path


def write_report(data: ReportData, path: Path) -> None:
    """Write the report, whole or not at all.

    Raises:
        SemiSegError: the disk is full.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATE.parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"dice": _dice, "signed": _signed, "pixels": _pixels, "clock": clock}
    ramp = color_ramp(slicer.mrmlScene)
    summary, samples = data.summary, data.samples
    scene_names = sorted(
        (name for name in data.predictions if name not in samples.held_out),
        key=lambda name: expected_quality(data.predictions[name]),
    )
    after, alone = (summary["held_out"][method]["cases"] for method in (plan.METHOD, plan.BASELINE))
    content = {
        "summary": summary,
        "classes": [{"name": c.name, "value": c.value, "color": css_color(c.color)} for c in samples.classes],
        "gradient": css_gradient(ramp),
        "counts": {kind: sum(k == kind for k in data.annotated.values()) for kind in (*_KINDS, "none")},
        "held_out": [
            _card(data, name, ramp, case, other)
            for name, case, other in zip(samples.held_out, after, alone, strict=True)
        ],
        "verdict": _verdict(summary["paired_difference"]),
        "look_first": [_card(data, name, ramp) for name in scene_names[:_WORTH_A_LOOK]],
        "rest": [_card(data, name, ramp, width=_SMALL) for name in scene_names[_WORTH_A_LOOK:]],
        "annotated": [
            _thumbnail(data, name) for name in sorted(data.painted, key=lambda n: list(_KINDS).index(data.annotated[n]))
        ],
        "untouched": [
            {"name": name, "image": jpeg(samples.image(name), 92, 70)}
            for name, kind in data.annotated.items()
            if kind == "none"
        ],
        "paired": paired_chart(after, alone, [_short(name) for name in samples.held_out]),
        "curves": training_curves(
            *(read_history(data.out / method / "history.csv") for method in (plan.METHOD, plan.BASELINE))
        ),
        "method": summary["held_out"][plan.METHOD],
        "baseline": summary["held_out"][plan.BASELINE],
        "before": summary["held_out"]["before"],
    }
    text = environment.get_template(_TEMPLATE.name).render(content)
    write_atomically(path, text.encode())


_KINDS: dict[str, str] = {
    "outlined": "both lips outlined",
    "one lip": "one lip outlined, the other not begun",
    "scribbles": "a few strokes, some of them “certainly neither”",
}


def _card(
    data: ReportData,
    name: str,
    ramp: np.ndarray,
    case: dict[str, Any] | None = None,
    baseline: dict[str, Any] | None = None,
    width: int | None = None,
) -> dict[str, Any]:
    """Return what the template shows of one segmented image; `case` holds its figures where there is a reference."""
    result = data.predictions[name]
    image = data.samples.image(name)
    reference = data.samples.labels(name) if case is not None else None
    segments = []
    for entry, figures in zip(data.samples.classes, result.segments, strict=True):
        segments.append(
            {
                "name": entry.name,
                "color": css_color(entry.color),
                "path": outline(result.labels == entry.value),
                "reference": ""
                if reference is None
                else outline(reference == entry.value, (reference > 0) & (reference < entry.value)),
                "predicted": figures.predicted_dice,
                "uncertainty": figures.mean_uncertainty,
                "measured": case["segments"][entry.name] if case is not None else None,
                "baseline": baseline["segments"][entry.name] if baseline is not None else None,
            }
        )
    return {
        "name": name,
        "short": _short(name),
        "height": image.shape[0],
        "width": image.shape[1],
        "image": jpeg(image, width, 82 if width else 88),
        "overlay": overlay(result.uncertainty, ramp, 0.25 if width else 0.5),
        "segments": segments,
        "places": places(result.uncertainty),
        "expected": expected_quality(result),
        "case": case,
        "baseline": baseline,
        "frame": name in plan.CINE,
    }


def _thumbnail(data: ReportData, name: str) -> dict[str, Any]:
    """Return what the template shows of an annotated image: the annotation, painted as it was drawn."""
    painted = data.painted[name]
    marks = [
        {"color": css_color(entry.color), "path": outline(painted == entry.value)} for entry in data.samples.classes
    ]
    marks.append({"color": "#c9c9c9", "path": outline(painted > len(data.samples.classes))})
    return {
        "name": name,
        "short": _short(name),
        "image": jpeg(data.samples.image(name), _THUMBNAIL * 2),
        "height": painted.shape[0],
        "width": painted.shape[1],
        "marks": marks,
        "kind": data.annotated[name],
        "title": _KINDS[data.annotated[name]],
        "frame": name in plan.CINE,
    }


def _verdict(paired: dict[str, Any]) -> str:
    """Say what the paired comparison shows, and no more."""
    count = f"{paired['better']} of {paired['images']}"
    if abs(paired["mean"]) < _NOTEWORTHY:
        return f"Here the unlabelled images made no difference worth naming (better on {count})."
    if paired["mean"] > 0:
        return f"The unlabelled images made it better by {paired['mean']:.3f} on average, on {count} images."
    return (
        f"Here the unlabelled images did not help: worse by {-paired['mean']:.3f} on average, better on {count} images."
    )


def _short(name: str) -> str:
    return name.removeprefix("fugc_")


def _dice(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.3f}"


def _signed(value: float) -> str:
    text = f"{value:+.3f}"
    return text[1:] if float(text) == 0 else text.replace("-", _MINUS)


def _pixels(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.1f}"
