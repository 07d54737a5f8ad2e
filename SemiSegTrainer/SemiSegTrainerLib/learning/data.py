"""Training cases in memory on the network's grid, and which of them a step draws."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from SemiSegCervicalLib.engine.files import read_image, read_labels
from SemiSegCervicalLib.engine.preprocess import labels_to_network, to_network
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.errors import SemiSegError, naming
from torch import Tensor

from .datalist import Datalist, Entry
from .targets import every_class, informative, possible_classes


@dataclass(frozen=True)
class TrainingData:
    """All cases of a run as tensors.

    Attributes:
        images: float32 ``(cases, M, *size)``, preprocessed.
        possible: int32 class sets ``(cases, *size)``; 0 marks padding.
        annotated: indices of the cases with at least one informative voxel.
        open: indices of the cases with at least one undecided voxel.
        fingerprint: SHA-256 over images and targets: names the data without telling them.
    """

    images: Tensor
    possible: Tensor
    annotated: tuple[int, ...]
    open: tuple[int, ...]
    fingerprint: str

    def to(self, device: torch.device) -> TrainingData:
        """Return the same data on another device."""
        return TrainingData(
            self.images.to(device), self.possible.to(device), self.annotated, self.open, self.fingerprint
        )


def load_training_data(datalist: Datalist, spec: InputSpec) -> TrainingData:
    """Read all training and unlabelled cases.

    Raises:
        SemiSegError: a file is at fault, or nothing is annotated.
    """
    classes = len(datalist.classes) + 1
    pairs = [read_case(entry, spec, classes) for entry in (*datalist["training"], *datalist["unlabeled"])]
    if not pairs:
        raise SemiSegError(
            "no-cases", f"{datalist.path} names no training case", "Add cases to its list training", "reading"
        )
    images = torch.stack([image for image, _ in pairs])
    possible = torch.stack([sets for _, sets in pairs])
    inside = possible != 0
    known = informative(possible, classes) & inside
    undecided = inside & ((possible & (possible - 1)) != 0)
    annotated = _rows(known)
    if not annotated:
        raise SemiSegError(
            "nothing-labelled", "No training case is labelled: nothing is annotated in any of them",
            "Segment a few images, slices or frames first", "reading",
        )  # fmt: skip
    positive = ((possible & (possible - 1)) == 0) & (possible > 1)
    if not bool(positive.any()):
        raise SemiSegError(
            "empty-labels", "The label maps of all training cases are empty: no voxel belongs to a segment",
            "Check that the right label maps were exported, with the values of the class list", "reading",
        )  # fmt: skip
    digest = hashlib.sha256(images.numpy().data)
    digest.update(possible.numpy().data)
    return TrainingData(images, possible, annotated, _rows(undecided), digest.hexdigest()[:16])


def read_case(entry: Entry, spec: InputSpec, classes: int) -> tuple[Tensor, Tensor]:
    """Read one case onto the network's grid.

    Args:
        entry: the case; without a label map nothing is known of its voxels.
        spec: the model's input.
        classes: number of classes, background included.

    Returns:
        float32 ``(M, *size)`` and int32 class sets ``(*size)``; 0 marks padding.

    Raises:
        SemiSegError: a file is at fault.
    """
    image = read_image(entry.images, entry.spacing)
    with naming(entry.images[0]):
        network, where = to_network(image, spec)
    if entry.label is None:
        sets = np.full(image.spatial_shape, every_class(classes), dtype=np.int32)
    else:
        labels = read_labels(entry.label, image.spatial_shape)
        with naming(entry.label):
            sets = possible_classes(labels, classes, entry.completeness)
    return network, labels_to_network(sets, where, padding=0)


def _rows(mask: Tensor) -> tuple[int, ...]:
    return tuple(torch.nonzero(mask.flatten(1).any(dim=1)).flatten().tolist())


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


def mix_seed(*parts: int | str) -> int:
    """Derive an independent 63-bit seed from numbers and names."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little") >> 1
