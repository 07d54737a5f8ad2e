"""Tiny networks, training runs and packs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.pack import Pack, load_pack
from SemiSegCervicalLib.engine.schema import (
    BranchSpec,
    Calibration,
    InputSpec,
    PackManifest,
    Provenance,
    SegmentClass,
)
from SemiSegTrainerLib.learning.data import TrainingData, load_training_data
from SemiSegTrainerLib.learning.datalist import read_datalist
from SemiSegTrainerLib.learning.method import Method, get_method
from SemiSegTrainerLib.learning.run import MODEL
from SemiSegTrainerLib.learning.training import Settings, Training

from .cases import SIZE

TINY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("unet", {"channels": (4, 8, 16)}),
    ("residual_unet", {"channels": (4, 8, 12)}),
)
SPEC = InputSpec(modalities=("ultrasound",), size=SIZE)
CLASSES = 3


def branches(seed: int = 0, count: int = 2, dims: int = 2, **projectors: Any) -> list[Branch]:
    """Build the tiny branches with weights drawn from `seed`."""
    torch.manual_seed(seed)
    return [Branch(name, arguments, 1, CLASSES, dims, **projectors) for name, arguments in TINY[:count]]


def load(datalist: Path, spec: InputSpec = SPEC) -> TrainingData:
    """Read a datalist's training cases onto the tiny grid."""
    return load_training_data(read_datalist(datalist), spec)


def volumes(size: tuple[int, int, int] = (8, 12, 16), labelled: int = 3, unlabelled: int = 4) -> TrainingData:
    """Make volumes in memory: two blobs in noise; of the labelled ones, every second plane is annotated."""
    generator = torch.Generator().manual_seed(0)
    z, y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in size), indexing="ij")
    images, possible = [], []
    for row in range(labelled + unlabelled):
        shift = 0.2 * torch.rand(3, generator=generator)
        labels = torch.zeros(size, dtype=torch.int32)
        for value, centre in ((1, -0.5), (2, 0.4)):
            distance = (z - shift[0]).square() + (y - shift[1]).square() + (2 * (x - centre - shift[2])).square()
            labels[distance < 0.7] = value
        image = torch.tensor([0.0, 1.5, -1.5])[labels.long()] + 0.3 * torch.randn(size, generator=generator)
        images.append(image.unsqueeze(0))
        known = 1 << labels
        known[1::2] = 2**CLASSES - 1
        possible.append(known if row < labelled else torch.full_like(labels, 2**CLASSES - 1))
    rows = tuple(range(labelled + unlabelled))
    return TrainingData(tuple(images), tuple(possible), rows[:labelled], rows[labelled:], "volumes")


def two_modalities(data: TrainingData) -> TrainingData:
    """Give every case a second modality, the first one inverted, in noise of its own; move what odd cases show.

    Blobs that lie in the same place in every image would leave nothing to tell the areas of two images by.
    """
    generator = torch.Generator().manual_seed(1)
    images, possible = torch.stack(data.images), torch.stack(data.possible)
    second = 0.3 * torch.randn(images.shape, generator=generator) - 0.7 * images
    images = torch.cat([images, second], dim=1)
    for maps in (images, possible):
        maps[1::2] = maps[1::2].roll(maps.shape[-1] // 2, dims=-1)
    return dataclasses.replace(data, images=tuple(images), possible=tuple(possible))


def training(
    method: Method | str,
    data: TrainingData,
    folder: Path | None = None,
    seed: int = 0,
    device: str = "cpu",
    **settings: Any,
) -> Training:
    """Prepare a run of the tiny branches; a method with a branch for each modality gets two modalities."""
    recipe = get_method(method) if isinstance(method, str) else method
    if recipe.by_modality and data.images[0].shape[0] == 1:
        data = two_modalities(data)
    chosen = Settings(**{"iterations": 6, "seed": seed, "precision": "32-true", "log_every": 2, **settings})
    return Training(
        branches(seed, dims=len(data.size), **recipe.projectors), recipe, data, CLASSES, chosen, folder, device,
        ((0,), (1,)) if recipe.by_modality else (),
    )  # fmt: skip


def pack(count: int = 2, spec: InputSpec = SPEC, temperature: float = 1.0, **more: Any) -> Pack:
    """Build a pack of untrained tiny branches; `more` replaces fields of the manifest."""
    fields: dict[str, Any] = {
        "name": "tiny",
        "input": spec,
        "classes": (
            SegmentClass(value=1, name="bright", color=(1.0, 0.5, 0.0)),
            SegmentClass(value=2, name="dark", color=(0.0, 0.5, 1.0)),
        ),
        "branches": tuple(
            BranchSpec(file=f"branch-{i}.safetensors", architecture=name, arguments=arguments, modalities=(0,))
            for i, (name, arguments) in enumerate(TINY[:count], 1)
        ),
        "calibration": Calibration(temperatures=(temperature,) * count),
        "provenance": Provenance(
            method="none", seed=0, iterations=0, seconds=0, labelled=0, unlabelled=0, data_fingerprint="none"
        ),
    }
    manifest = PackManifest(**{**fields, **more})
    built = branches(count=count, dims=manifest.input.spatial_dims)
    return Pack(manifest, [b.eval() for b in built], "# tiny\n")


def weights(run: Training) -> dict[str, torch.Tensor]:
    """Return everything that a run has learned: the branches' and the averages' states."""
    found = {}
    averages = [a.model for a in run.averages]
    for kind, modules in (("branch", run.branches), ("average", averages), ("best", [b.model for b in run.best])):
        for number, module in enumerate(modules):
            found.update({f"{kind}-{number}.{k}": v.clone() for k, v in module.state_dict().items()})
    return found


def model_weights(path: str | Path) -> dict[str, torch.Tensor]:
    """Return every tensor of a model, or of the one that a run has left in its folder."""
    file = Path(path)
    branches = load_pack(file / MODEL if file.is_dir() else file).branches
    return {f"{n}.{key}": value for n, branch in enumerate(branches) for key, value in branch.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Say whether two sets of weights are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
