"""`semiseg predict`: label maps, uncertainty and figures for files."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from SemiSegCervicalLib.engine.files import PICTURES, Spacing, ending, read_image, stem, write_atomically, write_map
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.predict import Prediction, Predictor
from SemiSegCervicalLib.errors import SemiSegError, naming

from SemiSegTrainerLib.learning.datalist import read_datalist

from .reporting import Reporter, clock

_FRAMES_AT_ONCE = 8


@dataclass(frozen=True)
class _Input:
    stem: str
    paths: tuple[Path, ...]
    spacing: Spacing = "file"


def predict(
    pack: Annotated[Path, typer.Argument(help="Model pack (.semiseg).")],
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Images, volumes, or one datalist.")],
    out: Annotated[Path, typer.Option(help="New folder for the results.")],
    uncertainty: Annotated[bool, typer.Option("--uncertainty", help="Write uncertainty maps too.")] = False,
    as_frames: Annotated[bool, typer.Option("--as-frames", help="The slices of a stack are 2D frames.")] = False,
    list_name: Annotated[str, typer.Option("--list", help="Which list of a datalist.")] = "test",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print events instead of progress bars.")] = False,
) -> None:
    """Segment files with a model; results lie on each file's own grid."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SemiSegError("exists", f"{out} already holds something", "Choose a new folder", "settings")
    cases = _gather(inputs, list_name)
    predictor = Predictor(load_pack(pack), device)
    rows = []
    with Reporter(json) as reporter:
        for done, case in enumerate(cases):
            reporter.progress("predicting", done, len(cases), 0.0, {})
            image = read_image(case.paths, case.spacing)
            with naming(case.paths[0]):
                results = _predict_case(predictor, image, as_frames)
            rows.append(_write(case, image, results, out, uncertainty, as_frames))
            reporter.event("case", **rows[-1])
        reporter.progress("predicting", len(cases), len(cases), 0.0, {})
        summary = {
            "model": predictor.pack.manifest.name,
            "device": str(predictor.device),
            "precision": "float16" if predictor.device.type == "cuda" else "float32",
            "backend": "torch",
            "calibrated": bool(predictor.pack.manifest.calibration.fitted_on),
            "cases": rows,
        }
        write_atomically(out / "summary.json", json_module.dumps(summary, indent=1).encode())
        spent = sum(row["seconds"] for row in rows)
        reporter.say(f"{len(rows)} cases in {clock(spent)} on {summary['device']}. Results: {out}")


def _gather(inputs: Sequence[Path], list_name: str) -> list[_Input]:
    if len(inputs) == 1 and inputs[0].suffix == ".json":
        cases = [_Input(e.stem, e.images, e.spacing) for e in read_datalist(inputs[0]).named(list_name)]
        if not cases:
            raise SemiSegError(
                "no-cases", f"The list {list_name} of {inputs[0]} is empty", "Use another list", "reading"
            )
    else:
        cases = [_Input(stem(p), (p,)) for p in inputs]
    names = [c.stem for c in cases]
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise SemiSegError(
            "same-stem", f"Two inputs are called {twice[0]}: their results would have the same name",
            "Rename one of them or predict them in two runs", "settings",
        )  # fmt: skip
    for path in (p for c in cases for p in c.paths):
        if not path.is_file():
            raise SemiSegError("missing-file", f"There is no file {path}", "Check the path", "reading")
    return cases


def _predict_case(predictor: Predictor, image: Image, as_frames: bool) -> list[Prediction]:
    if not (as_frames and len(image.spatial_shape) == 3):
        return [predictor.predict(image)]
    spacing = image.spacing[1:] if image.spacing else None
    frames = [
        Image(np.ascontiguousarray(image.array[:, k]), spacing, image.affine) for k in range(image.spatial_shape[0])
    ]
    results = []
    for first in range(0, len(frames), _FRAMES_AT_ONCE):
        results += predictor.predict_batch(frames[first : first + _FRAMES_AT_ONCE])
    return results


def _write(
    case: _Input, image: Image, results: list[Prediction], out: Path, uncertainty: bool, as_frames: bool
) -> dict[str, Any]:
    framed = as_frames and len(image.spatial_shape) == 3
    labels = np.stack([r.labels for r in results]) if framed else results[0].labels
    doubt = np.stack([r.uncertainty for r in results]) if framed else results[0].uncertainty
    row: dict[str, Any] = {
        "case": case.stem,
        "labels": write_map(labels, case.paths[0], out, f"{case.stem}_labels").name,
        "seconds": round(sum(r.seconds for r in results), 4),
        "from_rgb": image.from_rgb,
        "mean_uncertainty": float(doubt.mean()),
        "segments": [asdict(s) for s in results[0].segments],
    }
    if framed:
        row["frames"] = [
            {
                "frame": k,
                "mean_uncertainty": float(r.uncertainty.mean()),
                "segments": [asdict(s) for s in r.segments],
            }
            for k, r in enumerate(results)
        ]
        del row["segments"]
    if uncertainty:
        # Pictures and cine hold 8 bits (255 = 1.0); volumes keep float.
        coded = np.rint(doubt * 255).astype(np.uint8) if framed or ending(case.paths[0]) in PICTURES else doubt
        row["uncertainty"] = write_map(coded, case.paths[0], out, f"{case.stem}_uncertainty").name
    return row
