"""`semiseg predict`: label maps, uncertainty and figures for files."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from SemiSegCervicalLib.atomic import write_atomically
from SemiSegCervicalLib.dicom_seg import DicomSegment, encode_dicom_seg
from SemiSegCervicalLib.engine.dicom_layout import Layout
from SemiSegCervicalLib.engine.files import Template, read_image, write_map
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import load_pack, read_manifest
from SemiSegCervicalLib.engine.predict import TTA_LIMIT, Prediction, Predictor
from SemiSegCervicalLib.engine.schema import PackManifest
from SemiSegCervicalLib.errors import SemiSegError, naming
from SemiSegCervicalLib.figures import doubts, doubts_of_frames
from SemiSegCervicalLib.formats import PICTURES, ending
from SemiSegCervicalLib.packs import fingerprint
from SemiSegCervicalLib.words import many

from SemiSegTrainerLib.learning.learned import planes_learned

from .cases import Case, gather_cases
from .reporting import Reporter, clock, number

SUMMARY = "summary.json"
LEARNED = "The model has learned from this image, or from slices of it: it is no test of the model"

_INPUTS = "Images, volumes, DICOM folders; several modalities of one case as flair=FILE,t1post=FILE; or one datalist."


def predict(
    pack: Annotated[Path, typer.Argument(help="Model pack (.semiseg).")],
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help=_INPUTS)],
    out: Annotated[Path, typer.Option(help="New folder for the results.")],
    uncertainty: Annotated[bool, typer.Option("--uncertainty", help="Write uncertainty maps too.")] = False,
    as_frames: Annotated[
        bool, typer.Option("--as-frames", help="The slices of a stack, or a sequence, are 2D frames.")
    ] = False,
    list_name: Annotated[str, typer.Option("--list", help="Which list of a datalist.")] = "test",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    backend: Annotated[
        str, typer.Option(help="auto, torch, or openvino (processor only, compiled at once and kept).")
    ] = "auto",
    memory: Annotated[
        float,
        typer.Option(
            metavar="GIB",
            min=0.01,
            max=1e6,
            callback=number,
            help="Working memory for a volume, its own arrays excluded.",
        ),
    ] = 2.0,
    tta: Annotated[
        int, typer.Option(min=0, max=TTA_LIMIT, help="Further views of each image that vote; each takes as long again.")
    ] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print events instead of progress bars.")] = False,
) -> None:
    """Segment files with a model; results lie on each file's own grid."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SemiSegError("exists", f"{out} already holds something", "Choose a new folder", "settings")
    cases = gather_cases(inputs, list_name, read_manifest(pack))
    model = load_pack(pack)
    print_of_model, digests = fingerprint(pack), frozenset(model.manifest.provenance.learned)
    # A case that lacks a modality is read by the branches that do without it: a model of its own.
    predictors: dict[tuple[int, ...], Predictor] = {}
    rows: list[dict[str, Any]] = []
    with Reporter(json) as reporter, _summarised(rows, out, model.manifest, predictors):
        for done, case in enumerate(cases):
            reporter.progress("predicting", done, len(cases), 0.0, {})
            if case.modalities not in predictors:
                predictors[case.modalities] = Predictor(model.reading(case.modalities), device, memory, backend, tta)
            predictor = predictors[case.modalities]
            image = read_image(case.paths, case.spacing, as_frames)
            with naming(case.paths[0]):
                results = _predict_case(predictor, image, as_frames)
            source, framed = Template.of(case.paths[0]), as_frames and len(image.spatial_shape) == 3
            labels = np.stack([r.labels for r in results]) if framed else results[0].labels
            rows.append(_write(case, image, results, labels, source, out, uncertainty))
            engine = predictor.backend
            rows[-1] |= {"backend": engine.name, "precision": engine.precision, "device": str(engine.device)}
            found = doubts_of_frames({k: r.atypicality for k, r in enumerate(results)})
            told = found if "frames" in rows[-1] else doubts(results[0].atypicality)
            planes = planes_learned(image, digests)
            told = [*told, *([LEARNED] if planes else [])]
            rows[-1] |= {"learned_from": planes, "notes": sorted({*told, *(note for r in results for note in r.notes)})}
            if source.layout is not None:
                name, lacks = _write_dicom_seg(case, labels, source.layout, out, model.manifest, print_of_model)
                rows[-1]["dicom_seg"] = name
                rows[-1]["notes"] += lacks
            if case.modalities != tuple(range(len(model.manifest.input.modalities))):
                rows[-1]["modalities"] = list(predictor.pack.manifest.input.modalities)
            reporter.event("case", **rows[-1])
        reporter.progress("predicting", len(cases), len(cases), 0.0, {})
    spent = sum(row["seconds"] for row in rows)
    for note in dict.fromkeys(note for row in rows for note in row["notes"]):
        told = [row["case"] for row in rows if note in row["notes"]]
        some = f"{', '.join(told[:3])}{f' and {len(told) - 3} more' if len(told) > 3 else ''}"
        reporter.say(f"{note}: {some if len(told) < len(rows) or len(rows) == 1 else 'all cases'}")
    reporter.say(f"{many(len(rows), 'case')} in {clock(spent)} on {rows[-1]['device']}. Results: {out}")


@contextmanager
def _summarised(
    rows: list[dict[str, Any]], out: Path, model: PackManifest, predictors: Mapping[Any, Predictor]
) -> Iterator[None]:
    """Write the summary in the end; after a fault that of the cases before it, whose results are there.

    Args:
        rows: what is told of each case that is done.
        out: the folder of the results.
        model: what predicts.
        predictors: its forms that were asked.
    """

    def write() -> None:
        agreements = [p.backend.agreement for p in predictors.values() if p.backend.agreement]
        summary = {
            "model": model.name,
            "classes": {str(entry.value): entry.name for entry in model.classes},
            **{name: rows[-1][name] for name in ("device", "precision", "backend")},
            "agreement": agreements[-1].as_dict() if agreements else None,
            "notes": sorted({note for p in predictors.values() for note in p.backend.notes}),
            "calibrated": bool(model.calibration.fitted_on),
            "cases": rows,
        }
        write_atomically(out / SUMMARY, json_module.dumps(summary, indent=1).encode())

    try:
        yield
    except SemiSegError as error:
        if not rows:
            raise
        with suppress(SemiSegError):  # of a full disk the first fault tells
            write()
        cause = f"{error.cause}; the results of the cases before ({len(rows)}) are in {out}"
        raise SemiSegError(error.code, cause, error.remedy, error.stage) from error
    write()


def _predict_case(predictor: Predictor, image: Image, as_frames: bool) -> list[Prediction]:
    if not (as_frames and len(image.spatial_shape) == 3):
        return [predictor.predict(image)]
    spacing = image.spacing[1:] if image.spacing else None
    frames = [
        Image(np.ascontiguousarray(image.array[:, k]), spacing, image.affine) for k in range(image.spatial_shape[0])
    ]
    return list(predictor.predict_frames(frames))


def _write(
    case: Case,
    image: Image,
    results: list[Prediction],
    labels: np.ndarray,
    source: Template,
    out: Path,
    uncertainty: bool,
) -> dict[str, Any]:
    framed = labels.ndim > results[0].labels.ndim
    doubt = np.stack([r.uncertainty for r in results]) if framed else results[0].uncertainty
    row: dict[str, Any] = {
        "case": case.stem,
        "labels": write_map(labels, source, out, f"{case.stem}_labels", labels=True).name,
        "seconds": round(sum(r.seconds for r in results), 4),
        "from_rgb": image.from_rgb,
        "mean_uncertainty": float(doubt.mean()),
        "atypicality": results[0].atypicality,
        "segments": [asdict(s) for s in results[0].segments],
    }
    if framed:
        row["frames"] = [
            {
                "frame": k,
                "mean_uncertainty": float(r.uncertainty.mean()),
                "atypicality": r.atypicality,
                "segments": [asdict(s) for s in r.segments],
            }
            for k, r in enumerate(results)
        ]
        del row["segments"], row["atypicality"]
    if uncertainty:
        # Pictures and cine hold 8 bits (255 = 1.0); volumes keep float.
        coded = np.rint(doubt * 255).astype(np.uint8) if framed or ending(case.paths[0]) in PICTURES else doubt
        row["uncertainty"] = write_map(coded, source, out, f"{case.stem}_uncertainty").name
    return row


def _write_dicom_seg(
    case: Case, labels: np.ndarray, layout: Layout, out: Path, model: PackManifest, version: str
) -> tuple[str | None, list[str]]:
    """Write a case from DICOM as DICOM SEG too; return the file's name, or why there is none."""
    if layout.cine:
        return None, ["No DICOM SEG: it cannot hold a cine"]
    files = list(dict.fromkeys(frame.path for frame in layout.frames))
    segments = [DicomSegment(entry.name, entry.color, entry.terminology) for entry in model.classes]
    title = f"{case.stem} segmentation"
    try:
        content = encode_dicom_seg(labels, layout.affine, files, segments, model.name, version, title)
    except SemiSegError as error:
        return None, [f"No DICOM SEG: {error.cause}"]
    target = out / f"{case.stem}_labels.dcm"
    write_atomically(target, content)
    return target.name, []
