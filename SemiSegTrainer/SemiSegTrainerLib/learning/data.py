"""Training cases in memory on the network's grid, and which of them a step draws."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from SemiSegCervicalLib.engine.files import is_dicom_seg, read_image, read_labels
from SemiSegCervicalLib.engine.grid import NetworkView, labels_to_grid, plan_grid
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.preprocess import as_volume, check_fits, labels_to_network, to_network
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.errors import SemiSegError, naming
from torch import Tensor

from .datalist import Datalist, Entry
from .learned import digests_learned, digests_seen
from .memory import room_for_cases
from .patches import Places, remember
from .seeds import mix_seed
from .storage import Storage
from .targets import decided, every_class, informative, outlined, possible_classes

Cases = tuple[Tensor, ...]
_PROCESSOR = torch.device("cpu")
# Is told a case as it is stored: its image and class sets.
Look = Callable[[Image, np.ndarray], None]


@dataclass(frozen=True)
class TrainingData:
    """All cases of a run as tensors on the network's grid.

    Attributes:
        images: float32 ``(M, *grid)`` per case, preprocessed. What stands for a modality that a case lacks is no image:
            `present` tells, and no network looks at it.
        possible: int32 class sets ``(*grid)`` per case; 0 marks padding.
        annotated: indices of the cases with at least one informative voxel.
        open: indices of the cases with at least one undecided voxel.
        fingerprint: SHA-256 over images and targets: names the data without telling them.
        patch: the part of a case that networks see at once, where a case is not shown whole.
        places: where patches may lie, per case; see `patches`.
        present: bool ``(cases, M)``: the case has the modality; None where every case has all.
        groups: int64 ``(cases,)``: equal numbers are of one patient or sequence; None where each case is its own.
        learned: digests of the annotated planes that the model has then learned from; see `learned`.
        seen: per case, digests of its planes, annotated or not, by which it is known under any name; or none at all.
        spacing: of the grid's voxels in mm; None where it is unknown, or where networks see the whole of a case.
        device: where the networks look at them; the cases themselves lie there or, where they are too many, in memory.
        outlined: of the cases as they are stored: bit c is set where class c is outlined in any.
        shrunk: how many of its voxels, along a side, a voxel of the grid stands for in the finest annotated case.
    """

    images: Cases
    possible: Cases
    annotated: tuple[int, ...]
    open: tuple[int, ...]
    fingerprint: str
    patch: tuple[int, ...] | None = None
    places: tuple[Places, ...] = ()
    present: Tensor | None = None
    groups: Tensor | None = None
    learned: frozenset[str] = frozenset()
    seen: tuple[frozenset[str], ...] = ()
    spacing: tuple[float, ...] | None = None
    device: torch.device = _PROCESSOR
    outlined: int = 0
    shrunk: float = 1.0

    @property
    def nbytes(self) -> int:
        """What the cases take."""
        return sum(tensor.nbytes for tensor in (*self.images, *self.possible))

    @property
    def size(self) -> tuple[int, ...]:
        """The size of what the networks see."""
        return self.patch or tuple(self.images[0].shape[1:])

    def to(self, device: torch.device) -> TrainingData:
        """Return the same data for networks on another device; cases that it has no room for stay where they are."""
        present, groups = (None if t is None else t.to(device) for t in (self.present, self.groups))
        images, possible = self.images, self.possible
        if self.nbytes <= room_for_cases(device):
            images, possible = (tuple(t.to(device) for t in tensors) for tensors in (images, possible))
        return replace(self, images=images, possible=possible, present=present, groups=groups, device=device)


def load_training_data(
    datalist: Datalist,
    spec: InputSpec,
    on_annotated: Callable[[Entry, Image, np.ndarray], None] | None = None,
    folder: Path | None = None,
) -> TrainingData:
    """Read all training and unlabelled cases.

    Args:
        datalist: the data.
        spec: the model's input.
        on_annotated: told each annotated case as it is stored, and its class sets.
        folder: for what memory is not to hold; see `Storage`.

    Raises:
        SemiSegError: a file is at fault, nothing is annotated, or no segment is left on the network's grid.
    """
    classes = len(datalist.classes) + 1
    entries = (*datalist["training"], *datalist["unlabeled"])
    learned: set[str] = set()
    seen: list[frozenset[str]] = []
    spacing, drawn, shrunk = spec.spacing, 0, 1.0

    def look(entry: Entry, image: Image, sets: np.ndarray) -> None:
        nonlocal spacing, drawn, shrunk
        drawn |= int(np.bitwise_or.reduce(sets[outlined(sets)], initial=0))
        seen.append(digests_seen(image, sets))
        if entry.label is None:
            return
        shrunk = max(shrunk, _shrinkage(image, spec))
        spacing = spacing if image.spacing is not None else None
        learned.update(digests_learned(image, sets, classes))
        if on_annotated:
            on_annotated(entry, image, sets)

    storage = Storage(folder)
    for entry in entries:
        for tensor in read_case(entry, spec, classes, partial(look, entry)):
            storage.put(tensor)
    if not entries:
        raise SemiSegError(
            "no-cases", f"{datalist.path} names no training case", "Add cases to its list training", "reading"
        )
    stored = storage.all()
    pairs = list(zip(stored[::2], stored[1::2], strict=True))
    known = list(dict.fromkeys(e.group for e in entries if e.group is not None))
    groups = [known.index(e.group) if e.group is not None else len(known) + row for row, e in enumerate(entries)]
    present = presence([e.modalities for e in entries], len(spec.modalities))
    try:
        data = gather_cases(pairs, spec, classes, present, torch.tensor(groups) if known else None)
    except SemiSegError as error:
        if error.code != "empty-labels" or not drawn:
            raise
        raise SemiSegError(
            "segments-too-small", "Every segment is smaller than the voxels that the networks look at, and lost there",
            "Train with a larger --size (pictures) or a finer --spacing (volumes)", "reading",
        ) from error  # fmt: skip
    return replace(
        data, learned=frozenset(learned), seen=tuple(seen), spacing=spacing, outlined=drawn, shrunk=shrunk
    )  # fmt: skip


def _shrinkage(image: Image, spec: InputSpec) -> float:
    if spec.sampling == "fit":
        return max(n / m for n, m in zip(image.spatial_shape, spec.size, strict=False))
    if spec.spacing is None or image.spacing is None or len(image.spacing) != len(spec.spacing):
        return 1.0
    return float(np.prod(spec.spacing) / np.prod(image.spacing)) ** (1 / len(spec.spacing))


def presence(modalities: Sequence[Sequence[int]], count: int) -> Tensor | None:
    """Return which of `count` modalities each case has, bool ``(cases, count)``; None where every case has all."""
    table = torch.zeros(len(modalities), count, dtype=torch.bool)
    for row, mine in enumerate(modalities):
        table[row, list(mine)] = True
    return None if bool(table.all()) else table


def gather_cases(
    pairs: Sequence[tuple[Tensor, Tensor]],
    spec: InputSpec,
    classes: int,
    present: Tensor | None = None,
    groups: Tensor | None = None,
) -> TrainingData:
    """Put cases together.

    Args:
        pairs: images and class sets on the network's grid, as of `read_case`.
        spec: the model's input.
        classes: background included.
        present: which modalities each case has, and
        groups: of which patient or sequence it is, as `TrainingData` holds them.

    Raises:
        SemiSegError: nothing is annotated.
    """
    annotated, undecided, positive = [], [], False
    digest = hashlib.sha256()
    for row, (_, sets) in enumerate(pairs):
        inside, single = sets != 0, decided(sets)
        if bool((informative(sets, classes) & inside).any()):
            annotated.append(row)
        if bool((inside & ~single).any()):
            undecided.append(row)
        positive = positive or bool((single & (sets > 1)).any())
    for part in (*(image for image, _ in pairs), *(sets for _, sets in pairs)):
        digest.update(part.numpy().data)
    if present is not None:
        digest.update(present.numpy().data)
    if not annotated:
        raise SemiSegError(
            "nothing-labelled", "No training case is labelled: nothing is annotated in any of them",
            "Segment a few images, slices or frames first", "reading",
        )  # fmt: skip
    if not positive:
        raise SemiSegError(
            "empty-labels", "The label maps of all training cases are empty: no voxel belongs to a segment",
            "Check that the right label maps were exported, with the values of the class list", "reading",
        )  # fmt: skip
    images, possible = zip(*pairs, strict=True)
    about = (tuple(annotated), tuple(undecided), digest.hexdigest()[:16])
    if spec.sampling == "fit":
        return TrainingData(images, possible, *about, present=present, groups=groups)
    places = tuple(remember(sets, classes, row) for row, sets in enumerate(possible))
    return TrainingData(images, possible, *about, spec.size, places, present, groups)


def read_case(entry: Entry, spec: InputSpec, classes: int, look: Look | None = None) -> tuple[Tensor, Tensor]:
    """Read one case onto the network's grid.

    Args:
        entry: the case; without a label map nothing is known of its voxels.
        spec: the model's input.
        classes: number of classes, background included.
        look: told the case as it is stored, before it is brought onto the grid.

    Returns:
        float32 ``(M, *grid)``, 0 in place of the modalities that the case lacks, and int32 class sets ``(*grid)``; 0
        marks padding.

    Raises:
        SemiSegError: a file is at fault.
    """
    if entry.present is not None:
        there, known = read_case(replace(entry, present=None), spec.of(entry.present), classes, look)
        whole = torch.zeros(len(spec.modalities), *there.shape[1:])
        whole[list(entry.present)] = there
        return whole, known
    image = read_image(entry.images, entry.spacing)
    sets = read_sets(entry, classes, image.spatial_shape, image.affine)
    if look:
        look(image, sets)
    with naming(entry.images[0]):
        if len(image.spatial_shape) > spec.spatial_dims:
            raise SemiSegError(
                "mixed-dimensions", "It is a volume, and the networks look at single images",
                "List either images or volumes, and of these what a starting model reads; slices and frames may be "
                "saved as single images", "reading",
            )  # fmt: skip
        if spec.sampling == "fit":
            network, where = to_network(image, spec)
            return network, labels_to_network(sets, where, every_class(classes))
        case = as_volume(image) if spec.spatial_dims == 3 else image
        check_fits(case, spec)
        grid = plan_grid(case, spec)
        network = NetworkView(case, grid, spec).whole()
        return network, labels_to_grid(sets.reshape(case.spatial_shape), grid, every_class(classes))


def read_sets(entry: Entry, classes: int, shape: Sequence[int], affine: np.ndarray | None = None) -> np.ndarray:
    """Read what is known of a case's voxels.

    Args:
        entry: the case; without a label map nothing is.
        classes: background included.
        shape: of its image, and
        affine: its 4x4 IJK-to-RAS matrix, which puts a cropped label map back into its place.

    Returns:
        int32 class sets ``(*shape)``: 0 for what is held out, which is then no voxel at all, and the set of every
        class for what does not count.

    Raises:
        SemiSegError: the label map is at fault, or planes are listed that are not there.
    """
    if entry.label is None:
        sets = np.full(shape, every_class(classes), dtype=np.int32)
    else:
        labels = read_labels(entry.label, shape, affine, entry.names)
        told = entry.completeness
        if is_dicom_seg(entry.label):  # read by names, into the classes' own numbers
            told = replace(told, values=None)
        with naming(entry.label):
            sets = possible_classes(labels, classes, told)
    listed = (*entry.held_out, *(entry.only or ()))
    if listed and (len(shape) != 3 or not 0 <= min(listed) <= max(listed) < shape[0]):
        raise SemiSegError(
            "bad-slice", f"The slices that {entry.id} holds out or counts are not all in its image",
            "Correct the list of slices", "reading",
        )  # fmt: skip
    if entry.only is not None:
        sets[np.setdiff1d(np.arange(shape[0]), entry.only)] = every_class(classes)
    if entry.held_out:
        sets[list(entry.held_out)] = 0
    return sets


def draw_cases(pool: tuple[int, ...], count: int, iteration: int, seed: int, stream: str) -> list[int]:
    """Draw the cases of one step: shuffled passes through the pool, a function of (seed, iteration) alone.

    Args:
        pool: case indices; may be smaller than `count`.
        count: how many.
        iteration: of the run.
        seed: of the run.
        stream: name of the draw, so that two draws from the same pool differ.
    """
    drawn = []
    for position in range(iteration * count, (iteration + 1) * count):
        turn, place = divmod(position, len(pool))
        generator = torch.Generator().manual_seed(mix_seed(seed, stream, turn))
        drawn.append(pool[int(torch.randperm(len(pool), generator=generator)[place])])
    return drawn
