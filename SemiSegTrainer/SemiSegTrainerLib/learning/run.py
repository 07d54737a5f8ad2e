"""A whole training run from a datalist to a model pack: what the command line, the worker and the demo call."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.device import resolve_device
from SemiSegCervicalLib.engine.files import write_atomically
from SemiSegCervicalLib.engine.pack import Pack, load_pack, save_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import (
    BranchSpec,
    Calibration,
    InputSpec,
    PackManifest,
    Provenance,
    Quality,
)
from SemiSegCervicalLib.errors import SemiSegError

from .data import TrainingData, load_training_data, mix_seed, read_case
from .datalist import Datalist, read_datalist
from .evaluation import evaluate_model, summarise
from .folds import FOLD_SHARE, calibrate, choose_source, split
from .method import Method, get_method
from .planning import DUAL_2D, Parts, dual_3d, plan_input
from .training import CHECKPOINT, Progress, Settings, Training, TrainingResult, versions

MODEL, HISTORY, SUMMARY, CHECKPOINTS = "model.semiseg", "history.csv", "summary.json", "checkpoints"

StageProgress = Callable[[str, int, int, float, dict[str, float]], None]


@dataclass(frozen=True)
class RunOptions:
    """What the user chooses for a run.

    Attributes:
        method: name of a recipe.
        settings: budget, seed and the rest.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        start: pack to start from; None for random weights.
        size: the network's grid (3D: window) of a new model; None chooses by the images and what is annotated in them.
        spacing: voxels of a new 3D model in mm (z, y, x); None chooses.
        branches: architectures of a new model; None chooses.
        resume: go on with the checkpoint in the output folder.
        name: of the model.
        without: names of the method's terms to leave out: what each of them contributes.
        unlabelled_view: ``weak`` or ``strong``: how students see unlabelled cases; None as the recipe says.
        calibrate: what the softmax temperatures are fitted on: ``validation`` (list), ``folds`` (two more trainings of
            a third of the length), ``auto`` (the list where it is annotated, else folds) or ``none``.
    """

    method: str = "cross_supervision"
    settings: Settings = field(default_factory=Settings)
    device: str = "auto"
    start: Path | None = None
    size: tuple[int, ...] | None = None
    spacing: tuple[float, ...] | None = None
    branches: Parts | None = None
    resume: bool = False
    name: str = "model"
    without: tuple[str, ...] = ()
    unlabelled_view: str | None = None
    calibrate: str = "auto"


def train_model(
    datalist_path: Path,
    out: Path,
    options: RunOptions,
    on_progress: StageProgress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> dict[str, Any]:
    """Train and write ``model.semiseg``, ``history.csv``, ``summary.json`` and ``checkpoints/`` into `out`.

    Args:
        datalist_path: the data.
        out: a new or empty folder, or that of an interrupted run with `options.resume`.
        options: the rest.
        on_progress: called with (stage, done, total, seconds left, values).
        should_stop: asked every iteration; the run is then saved and can be resumed.

    Returns:
        The content of ``summary.json``; its key ``finished`` is False for a run that was stopped.

    Raises:
        SemiSegError: anything the user can put right.
    """
    say = on_progress or (lambda *_: None)
    check_output(out, options.resume)
    method = get_method(options.method)
    if options.unlabelled_view:
        method = method.seeing(options.unlabelled_view)
    method = method.without(options.without)
    datalist = read_datalist(datalist_path)
    source = choose_source(options.calibrate, datalist)
    device = resolve_device(options.device)
    start = load_pack(options.start) if options.start else None
    if start and options.size not in (None, start.manifest.input.size):
        raise SemiSegError(
            "two-sizes", f"The starting model reads {list(start.manifest.input.size)}, not {list(options.size or ())}",
            "Leave the size out, or train without a starting model", "settings",
        )  # fmt: skip
    if start and options.spacing not in (None, start.manifest.input.spacing):
        raise SemiSegError(
            "two-spacings", "The starting model has a spacing of its own",
            "Leave the spacing out, or train without a starting model", "settings",
        )  # fmt: skip
    spec = (
        start.manifest.input if start else plan_input(datalist, options.size, options.spacing, gpu=device.type != "cpu")
    )
    if start and len(spec.modalities) != len(datalist.modalities):
        raise SemiSegError(
            "wrong-modalities",
            f"The starting model reads {len(spec.modalities)} modality, the datalist has {len(datalist.modalities)}",
            "Choose another starting model or train from scratch", "reading",
        )  # fmt: skip
    say("reading", 0, 1, 0.0, {})
    data = load_training_data(datalist, spec)
    if method.uses_unlabelled and not data.open:
        raise SemiSegError(
            "nothing-unlabelled", f"The method {method.name} learns from what is not annotated, but everything is",
            "Add unlabelled cases to the list unlabeled, or use --method supervised", "reading",
        )  # fmt: skip
    parts = list(options.branches or (DUAL_2D if spec.spatial_dims == 2 else dual_3d(spec.size)))
    if start:
        parts = [(b.architecture, dict(b.arguments)) for b in start.manifest.branches]
    evaluated = [e for e in datalist["validation"] if e.label]
    for entry in evaluated:  # a fault found after the training would be found too late
        read_case(entry, spec, len(datalist.classes) + 1)
    settings, classes = options.settings, len(datalist.classes) + 1
    rows = (*datalist["training"], *datalist["unlabeled"])
    if settings.minutes is not None and source == "folds" and split(data, rows, settings.seed)[0]:
        # The wished time is that of everything: of the run and of two folds.
        settings = replace(settings, minutes=settings.minutes / (1 + 2 / FOLD_SHARE))

    def new_branches() -> list[Branch]:
        fresh = _build(parts, spec, classes, method, settings.seed)
        if start:
            _adopt(fresh, start, datalist)
        return fresh

    run = Training(new_branches(), method, data, classes, settings, out / CHECKPOINTS, options.device)

    def forward(progress: Progress) -> None:
        say("training", progress.iteration, progress.iterations, progress.seconds_left, progress.values)

    result = run.run(forward, should_stop)
    write_atomically(out / HISTORY, result.history.as_csv().encode())
    summary: dict[str, Any] = {
        "finished": result.iterations == run.iterations,
        "method": method.name,
        "seed": options.settings.seed,
        "iterations": result.iterations,
        "seconds": round(result.seconds, 2),
        "seconds_per_step": round(result.seconds / max(1, result.iterations), 4),
        "device": result.device,
        "precision": result.precision,
        "threads": torch.get_num_threads(),
        "versions": versions(),
        "labelled": len(data.annotated),
        "unlabelled": len(data.images) - len(data.annotated),
        "data_fingerprint": data.fingerprint,
        "started_from": start.manifest.name if start else None,
        "model": None,
        "validation": None,
        "calibration": None,
    }
    fitted = None
    if summary["finished"]:
        length = max(1, result.iterations // FOLD_SHARE)

        def train_fold(number: int, part: TrainingData) -> Sequence[Branch] | None:
            def forward(progress: Progress) -> None:
                done = (number - 1) * length + progress.iteration
                pace = progress.seconds_left / max(1, length - progress.iteration)
                say("calibrating", done, 2 * length, pace * (2 * length - done), {})

            fold = Training(
                new_branches(), method, part, classes, replace(settings, iterations=length, minutes=None),
                out / CHECKPOINTS / f"fold-{number}", options.device,
            )  # fmt: skip
            trained = fold.run(forward, should_stop)
            return trained.branches if trained.iterations == length else None

        say("calibrating", 0, 1, 0.0, {})
        modalities = [range(len(spec.modalities))] * len(parts)
        fitted = calibrate(
            source, result.branches, modalities, spec, datalist, data, device, settings.seed, length,
            method.uses_unlabelled, train_fold,
        )  # fmt: skip
        summary["finished"] = fitted is not None
    if fitted is not None:
        pack = _pack(result, parts, spec, datalist, options, summary)
        pack.manifest = pack.manifest.model_copy(update={"calibration": fitted[0]})
        summary["calibration"] = fitted[1]
        if evaluated:
            figures = summarise(
                evaluate_model(Predictor(pack, options.device), evaluated,
                               progress=lambda done, total: say("validating", done, total, 0.0, {}))
            )  # fmt: skip
            summary["validation"] = figures
            if figures["dice"] is not None:
                quality = Quality(metric="dice", value=figures["dice"], data="validation list", cases=len(evaluated))
                pack.manifest = pack.manifest.model_copy(update={"quality": (quality,)})
        pack.card = _card(pack.manifest)
        summary["model"] = str(save_pack(out / MODEL, pack, overwrite=options.resume))
    write_atomically(out / SUMMARY, json.dumps(summary, indent=1).encode())
    return summary


def check_output(out: Path, resume: bool) -> None:
    """Refuse a folder that already holds something, so that nothing is written over.

    Raises:
        SemiSegError: it holds files and `resume` is False, or holds no checkpoint and `resume` is True.
    """
    if out.exists() and not out.is_dir():
        raise SemiSegError("not-a-folder", f"{out} is a file", "Choose a folder for the results", "settings")
    if resume and not (out / CHECKPOINTS / CHECKPOINT).exists():
        raise SemiSegError(
            "nothing-to-resume", f"{out} holds no checkpoint", "Start the run without --resume", "settings"
        )
    # What a run that was killed before its first checkpoint left behind is no result.
    remains = [p for p in out.rglob("*") if not p.is_dir() and (p.parent.name, p.suffix) != (CHECKPOINTS, ".part")]
    if not resume and remains:
        raise SemiSegError(
            "exists", f"The folder {out} already holds files", "Choose a new folder, or --resume an interrupted run",
            "settings",
        )  # fmt: skip


def _build(
    parts: Sequence[tuple[str, dict[str, Any]]], spec: InputSpec, classes: int, method: Method, seed: int
) -> list[Branch]:
    torch.manual_seed(mix_seed(seed, "weights"))
    branches = [
        Branch(name, arguments, len(spec.modalities), classes, spec.spatial_dims, **method.projectors)
        for name, arguments in parts
    ]
    for branch in branches:
        if not branch.takes(spec.size):
            raise SemiSegError(
                "bad-size", f"The networks cannot halve the input size {list(spec.size)} often enough",
                f"Use multiples of {branch.divisor}, one of them at least {2 * branch.divisor}", "settings",
            )  # fmt: skip
    return branches


def _adopt(branches: Sequence[Branch], start: Pack, datalist: Datalist) -> None:
    """Take the weights of a pack over; with another class list the head starts anew, whatever its shape."""
    same = [c.name for c in start.manifest.classes] == [c.name for c in datalist.classes]
    for branch, old in zip(branches, start.branches, strict=True):
        mine, theirs = branch.network.state_dict(), old.network.state_dict()
        kept = {k: v for k, v in theirs.items() if same or not k.startswith(f"{branch.head}.")}
        branch.network.load_state_dict({**mine, **kept})


def _pack(
    result: TrainingResult, parts: Sequence[tuple[str, dict[str, Any]]], spec: InputSpec, datalist: Datalist,
    options: RunOptions, summary: dict[str, Any],
) -> Pack:  # fmt: skip
    modalities = tuple(range(len(spec.modalities)))
    manifest = PackManifest(
        name=options.name,
        description=f"{', '.join(c.name for c in datalist.classes)} in {', '.join(spec.modalities)}",
        input=spec,
        classes=datalist.classes,
        branches=tuple(
            BranchSpec(file=f"branch-{i}.safetensors", architecture=a, arguments=arguments, modalities=modalities)
            for i, (a, arguments) in enumerate(parts, 1)
        ),
        calibration=Calibration(temperatures=(1.0,) * len(parts)),
        provenance=Provenance(
            method=summary["method"],
            seed=summary["seed"],
            iterations=summary["iterations"],
            seconds=summary["seconds"],
            labelled=summary["labelled"],
            unlabelled=summary["unlabelled"],
            data_fingerprint=summary["data_fingerprint"],
            started_from=summary["started_from"] or "",
            versions=summary["versions"],
            threads=summary["threads"],
            precision=summary["precision"],
        ),
    )
    return Pack(manifest, [b.drop_projectors().cpu().eval() for b in result.branches])


def _windows(spec: InputSpec) -> str:
    if spec.sampling == "fit":
        return ""
    voxel = f" of {' x '.join(f'{s:g}' for s in spec.spacing)} mm" if spec.spacing else ""
    return f"{voxel} a window, {spec.overlap:.0%} overlap"


def _card(manifest: PackManifest) -> str:
    """Write the model card that travels in the pack."""
    p = manifest.provenance
    fitted = manifest.calibration.fitted_on
    lines = [
        f"# {manifest.name}",
        "",
        manifest.description,
        "",
        f"- Segments: {', '.join(c.name for c in manifest.classes)}",
        f"- Input: {', '.join(manifest.input.modalities)}, {manifest.input.spatial_dims}D, "
        f"{' x '.join(map(str, manifest.input.size))} voxels{_windows(manifest.input)}",
        f"- Branches: {', '.join(b.architecture for b in manifest.branches)}",
        f"- Trained with: {p.method}, {p.labelled} labelled and {p.unlabelled} unlabelled cases, "
        f"{p.iterations} iterations, seed {p.seed}",
        f"- Data: named by fingerprint only: {p.data_fingerprint}",
        f"- Started from: {p.started_from or 'random weights'}",
        f"- Uncertainty: {f'calibrated on {fitted}' if fitted else 'not calibrated'}",
    ]
    lines += [f"- Measured {q.metric}: {q.value:.3f} on {q.data} ({q.cases} cases)" for q in manifest.quality]
    if not manifest.quality:
        lines.append("- Measured quality: none; the run had no validation cases")
    lines += ["", "Not a medical device. Look at every result before using it."]
    return "\n".join(lines) + "\n"
