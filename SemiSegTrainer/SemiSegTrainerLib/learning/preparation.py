"""Everything that a run needs, read and checked before the first iteration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from SemiSegCervicalLib.engine.backends.ladder import refusal
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.device import cannot_run, resolve_device
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import Pack, load_pack
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.engine.selftest import UNSURE_DEVICES, compare_with_processor
from SemiSegCervicalLib.errors import SemiSegError

from ..catalogue import PROPOSED, proposed
from .augment import Draw, change_intensity, warp, warp_grid
from .data import TrainingData, load_training_data, read_case
from .datalist import LISTS, Datalist, Entry, read_datalist
from .folds import FOLD_SHARE, choose_source, split
from .learned import Unseen
from .method import Method, get_method
from .modalities import Reads
from .planning import Parts, first_image, plan_branches, plan_input, plan_reads
from .seeds import mix_seed
from .targets import Completeness
from .training import Settings, Training
from .views import ViewPlan


@dataclass(frozen=True)
class RunOptions:
    """What the user chooses for a run.

    Attributes:
        method: name of a recipe; `catalogue.PROPOSED` for the one that suits the data and the minutes.
        settings: budget, seed and the rest.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        start: pack to start from; None for random weights.
        size: the network's grid (3D: window) of a new model; None chooses by the images and what is annotated in them.
        spacing: voxels of a new 3D model in mm (z, y, x of the body, whichever way a volume is stored); None chooses.
        intensities: by what those of a new model are standardised; see `intensities.plan_ranges`.
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
    intensities: str = "auto"
    branches: Parts | None = None
    resume: bool = False
    name: str = "model"
    without: tuple[str, ...] = ()
    unlabelled_view: str | None = None
    calibrate: str = "auto"


@dataclass(frozen=True)
class Prepared:
    """A run that could start.

    Attributes:
        method: the recipe, without the terms that the user left out.
        datalist: the data.
        data: its training cases on the network's grid.
        validation: the cases of its validation list that neither the starting model nor the run has learned from.
        left_out: of the others, in words; empty where there is none.
        spec: the model's input.
        parts: architecture and arguments of each branch.
        reads: the modalities that each branch looks at.
        start: the pack to start from, or None.
        fresh_folds: folds begin with random weights: the pack has learned from what they are asked.
        source: what calibration rests on; see `folds.choose_source`.
        settings: with the minutes that the training itself may take.
        device: where to train.
    """

    method: Method
    datalist: Datalist
    data: TrainingData
    validation: tuple[Entry, ...]
    left_out: str
    spec: InputSpec
    parts: list[tuple[str, dict[str, Any]]]
    reads: Reads
    start: Pack | None
    fresh_folds: bool
    source: str
    settings: Settings
    device: torch.device

    @property
    def classes(self) -> int:
        """Number of classes, background included."""
        return len(self.datalist.classes) + 1

    def branches(self, adopt: bool = True) -> list[Branch]:
        """Build the networks as they are at the start of the run.

        Args:
            adopt: with the weights of the pack to start from, where there is one.
        """
        fresh = _build(self.parts, self.reads, self.spec, self.classes, self.method, self.settings.seed)
        if self.start and adopt:
            _adopt(fresh, self.start, self.datalist)
        return fresh

    def training(
        self, folder: Path | None, data: TrainingData | None = None, iterations: int | None = None
    ) -> Training:
        """Set a training up.

        Args:
            folder: for checkpoints; None keeps none.
            data: other cases than the run's (a fold).
            iterations: another length.
        """
        settings = self.settings if iterations is None else replace(self.settings, iterations=iterations, minutes=None)
        cases = self.data if data is None else data
        branches = self.branches(adopt=data is None or not self.fresh_folds)
        return Training(branches, self.method, cases, self.classes, settings, folder, self.device.type, self.reads)


def prepare(datalist_path: Path, options: RunOptions, most: int | None = None, folder: Path | None = None) -> Prepared:
    """Read and check everything.

    Args:
        datalist_path: the data.
        options: what the user chose.
        most: read of each list only so many cases, of every kind and from everywhere in it; None for all. Where these
            are refused for what they hold, others may hold it.
        folder: for cases that memory is not to hold; see `storage.Storage`.

    Raises:
        SemiSegError: anything the user can put right.
    """
    datalist = read_datalist(datalist_path)
    first = first_image(datalist) if options.method == PROPOSED else None
    method = get_method(options.method if first is None else _proposal(datalist, first, options.settings.minutes))
    if options.unlabelled_view:
        method = method.seeing(options.unlabelled_view)
    method = method.without(options.without)
    _check_modalities(method, datalist)
    source = choose_source(options.calibrate, datalist)
    datalist = _some(datalist, most)
    device = resolve_device(options.device)
    start = load_pack(options.start) if options.start else None
    if start:
        _check_start(start.manifest.input, datalist, options)
        datalist = datalist.in_order_of(start.manifest.input.modalities)
    spec, parts, reads = _networks(method, datalist, first, start, options, gpu=device.type != "cpu")
    if device.type != "cpu":
        fresh = _build(parts, reads, spec, len(datalist.classes) + 1, method, options.settings.seed)
        reason = refusal(lambda: _try(fresh, reads, spec, device))
        if reason and options.device != "auto":
            raise cannot_run(device, reason)
        if reason:  # planned anew: the processor trains with smaller grids
            return prepare(datalist_path, replace(options, device="cpu"), most, folder)
    started = frozenset(start.manifest.provenance.learned if start else ())
    strange = Unseen(started, len(datalist.classes) + 1)
    data = load_training_data(datalist, spec, strange.look, folder)
    if method.uses_unlabelled and not data.open:
        raise SemiSegError(
            "nothing-unlabelled", f"The method {method.name} learns from what is not annotated, but everything is",
            "Add unlabelled cases to the list unlabeled, or use --method "
            f"{'supervised_modalities' if method.by_modality else 'supervised'}", "reading",
        )  # fmt: skip
    # Slices beside those that the starting model has learned from are nearly copies of them.
    fresh_folds = bool(strange.left_out)
    data = replace(data, learned=data.learned | started)
    unseen = Unseen(started, len(datalist.classes) + 1, frozenset[str]().union(*data.seen))
    for entry in datalist["validation"]:  # a fault found after the training would be found too late
        if entry.label:
            read_case(entry, spec, len(datalist.classes) + 1, partial(unseen.look, entry))
    if source == "validation" and not unseen.entries:
        source = "folds"
    settings = options.settings
    rows = (*datalist["training"], *datalist["unlabeled"])
    if settings.minutes is not None and source == "folds" and split(data, rows, settings.seed)[0]:
        # The wished time is that of everything: of the run and of two folds.
        settings = replace(settings, minutes=settings.minutes / (1 + 2 / FOLD_SHARE))
    return Prepared(
        method, datalist, data, tuple(unseen.entries), unseen.left_out, spec, parts, reads, start, fresh_folds, source,
        settings, device,
    )  # fmt: skip


def _some(datalist: Datalist, most: int | None) -> Datalist:
    """Return a datalist with no more than so many cases in each list."""
    if most is None:
        return datalist
    return replace(datalist, lists={name: _spread(entries, most) for name, entries in datalist.lists.items()})


def _spread(entries: Sequence[Entry], most: int) -> tuple[Entry, ...]:
    """Choose cases from everywhere in a list: the first of each kind, then annotated ones, then the others."""
    step = max(1, -(-len(entries) // most))
    first: dict[tuple[Any, ...], int] = {}
    repeats = [first.setdefault(_kind(entry), i) != i for i, entry in enumerate(entries)]
    order = sorted(range(len(entries)), key=lambda i: (repeats[i], entries[i].label is None, i % step))
    return tuple(entries[i] for i in sorted(order[:most]))


def _kind(entry: Entry) -> tuple[Any, ...]:
    """Return what a case may lack, as its entry tells: annotation, some of it, images."""
    return entry.label is None, _finished(entry), entry.modalities


def _finished(entry: Entry) -> bool:
    """Say whether a label map, if there is one, says of every voxel what it is."""
    return replace(entry.completeness, background=None, values=None) == Completeness()


def _proposal(datalist: Datalist, first: Image, minutes: float | None) -> str:
    """Return the name of the method that is proposed for a datalist, by its entries and first image, and a time."""
    unlabelled = bool(datalist["unlabeled"]) or not all(e.label and _finished(e) for e in datalist["training"])
    incomplete = any(e.present is not None for name in LISTS for e in datalist[name])
    return proposed(len(first.spatial_shape), unlabelled, len(datalist.modalities), minutes, incomplete).name


def _check_modalities(method: Method, datalist: Datalist) -> None:
    """Refuse data whose modalities the method cannot use; which network reads which is known before any image is."""
    names, trained = datalist.modalities, (*datalist["training"], *datalist["unlabeled"])
    if method.by_modality and len(names) < 2:
        raise SemiSegError(
            "one-modality", f"The method {method.name} trains a network for each modality; {names[0]} is the only one",
            "List the images of all modalities of a case, or use another --method", "reading",
        )  # fmt: skip
    incomplete = next((e for e in (*trained, *datalist["validation"]) if e.present is not None), None)
    if not method.by_modality and incomplete is not None:
        missing = ", ".join(name for k, name in enumerate(names) if k not in incomplete.modalities)
        raise SemiSegError(
            "missing-modality", f"{incomplete.id} lacks {missing}, and the networks of {method.name} read everything",
            "Add the image, leave the case out, or use a method with a network for each modality (semi_cml, or "
            "supervised_modalities where everything is annotated)", "reading",
        )  # fmt: skip
    learned_from = trained if method.uses_unlabelled else [e for e in trained if e.label is not None]
    absent = [name for k, name in enumerate(names) if not any(k in e.modalities for e in learned_from)]
    if absent and learned_from:
        raise SemiSegError(
            "absent-modality", f"No case that is learned from has an image of {', '.join(absent)}",
            "Add such cases, or leave the modality out of the datalist", "reading",
        )  # fmt: skip


def _check_start(spec: InputSpec, datalist: Datalist, options: RunOptions) -> None:
    if options.size not in (None, spec.size):
        raise SemiSegError(
            "two-sizes", f"The starting model reads {list(spec.size)}, not {list(options.size or ())}",
            "Leave the size out, or train without a starting model", "settings",
        )  # fmt: skip
    if options.spacing not in (None, spec.spacing):
        raise SemiSegError(
            "two-spacings", "The starting model has a spacing of its own",
            "Leave the spacing out, or train without a starting model", "settings",
        )  # fmt: skip
    if options.intensities != "auto":
        raise SemiSegError(
            "two-ranges", "The starting model standardises intensities in its own way",
            "Leave the intensities out, or train without a starting model", "settings",
        )  # fmt: skip
    if len(spec.modalities) != len(datalist.modalities):
        raise SemiSegError(
            "wrong-modalities",
            f"The starting model reads {len(spec.modalities)} modality, the datalist has {len(datalist.modalities)}",
            "Choose another starting model or train from scratch", "reading",
        )  # fmt: skip


def _networks(
    method: Method, datalist: Datalist, first: Image | None, start: Pack | None, options: RunOptions, gpu: bool
) -> tuple[InputSpec, list[tuple[str, dict[str, Any]]], Reads]:
    """Return the model's input, its architectures and what each branch reads: those of the start, else new ones."""
    if not start:
        spec = plan_input(datalist, options.size, options.spacing, gpu, first, options.intensities)
        return spec, *plan_branches(spec, method.by_modality, options.branches)
    spec = start.manifest.input
    parts = [(b.architecture, dict(b.arguments)) for b in start.manifest.branches]
    reads = tuple(tuple(b.modalities) for b in start.manifest.branches)
    if method.by_modality and reads != plan_reads(spec, True, len(parts)):
        raise SemiSegError(
            "wrong-start", f"The method {method.name} trains a network for each modality, the starting model does not",
            "Choose a starting model that was trained so, or train from scratch", "settings",
        )  # fmt: skip
    return spec, parts, reads


def _build(
    parts: Sequence[tuple[str, dict[str, Any]]], reads: Reads, spec: InputSpec, classes: int, method: Method, seed: int
) -> list[Branch]:
    torch.manual_seed(mix_seed(seed, "weights"))
    branches = [
        Branch(name, arguments, len(mine), classes, spec.spatial_dims, **method.projectors)
        for (name, arguments), mine in zip(parts, reads, strict=True)
    ]
    for branch in branches:
        if not branch.takes(spec.size):
            raise SemiSegError(
                "bad-size", f"The networks cannot halve the input size {list(spec.size)} often enough",
                f"Use multiples of {branch.divisor}, one of them at least {2 * branch.divisor}", "settings",
            )  # fmt: skip
    return branches


def _try(branches: Sequence[Branch], reads: Reads, spec: InputSpec, device: torch.device) -> None:
    """Do once what a step needs of a device: views, networks and their gradients.

    Metal lacks operations of volumes, and gives wrong numbers for others.

    Raises:
        RuntimeError: the device cannot do it.
    """
    plan = ViewPlan.usual(spec.spatial_dims)
    draw = Draw(torch.Generator(), 1, device)
    grid = warp_grid(draw, tuple(spec.size), plan.geometry)
    images = torch.zeros(1, len(spec.modalities), *spec.size, device=device)
    images, _, _ = warp(images, torch.ones(1, *spec.size, dtype=torch.int32, device=device), grid, 1)
    images = change_intensity(images, draw, plan.strong)
    for branch, mine in zip(branches, reads, strict=True):
        branch.to(device)(images[:, list(mine)]).logits.sum().backward()
    if device.type not in UNSURE_DEVICES:
        return

    def logits(on: torch.device, noise: torch.Tensor) -> list[torch.Tensor]:
        pairs = zip(branches, reads, strict=True)
        return [branch.eval().to(on)(noise[:, list(mine)].to(on)).logits for branch, mine in pairs]

    with torch.no_grad():
        shape = (1, len(spec.modalities), *spec.size)
        compare_with_processor(partial(logits, device), partial(logits, torch.device("cpu")), shape)


def _adopt(branches: Sequence[Branch], start: Pack, datalist: Datalist) -> None:
    """Take the weights of a pack over; with another class list the head starts anew, whatever its shape."""
    same = [c.name for c in start.manifest.classes] == [c.name for c in datalist.classes]
    for branch, old in zip(branches, start.branches, strict=True):
        mine, theirs = branch.network.state_dict(), old.network.state_dict()
        kept = {k: v for k, v in theirs.items() if same or not k.startswith(f"{branch.head}.")}
        branch.network.load_state_dict({**mine, **kept})
