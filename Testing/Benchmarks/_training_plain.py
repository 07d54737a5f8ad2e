"""The training loop that one writes with MONAI and a data loader: the same arithmetic, item by item on the CPU.

Method A (or `supervised`) with the same two networks, batch, losses, optimiser and weight averages. For every
augmentation of ours the nearest transform of MONAI, with the same chances and ranges.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from typing import Any

import torch
from monai.data import CacheDataset, DataLoader, Dataset, PILReader
from monai.losses import DiceCELoss
from monai.transforms import (
    Compose,
    CopyItemsd,
    EnsureChannelFirstd,
    LoadImaged,
    NormalizeIntensityd,
    Rand2DElasticd,
    RandAdjustContrastd,
    RandBiasFieldd,
    RandCoarseDropoutd,
    RandGaussianNoised,
    RandGaussianSmoothd,
    RandScaleIntensityd,
    RandShiftIntensityd,
    Resized,
    SelectItemsd,
)
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegTrainerLib.learning.augment import STRONG, Geometry, Intensity
from SemiSegTrainerLib.learning.datalist import Datalist
from SemiSegTrainerLib.learning.planning import DUAL_2D
from SemiSegTrainerLib.learning.terms.contrast import info_nce
from torch import Tensor
from torch.utils.data import RandomSampler

ROWS, EMBEDDING, EMA, CLIP = 4, 128, 0.99, 5.0


def loading(keys: tuple[str, ...], size: tuple[int, int]) -> list[Any]:
    """Return the transforms without chance: read, scale to the networks' grid, standardise."""
    modes = tuple("nearest" if k == "label" else "bilinear" for k in keys)
    return [
        LoadImaged(keys, reader=PILReader(converter=lambda image: image.convert("L"))),
        EnsureChannelFirstd(keys),
        Resized(keys, size, mode=modes),
        NormalizeIntensityd("image"),
    ]


def geometry(keys: tuple[str, ...], size: tuple[int, int], ranges: Geometry) -> list[Any]:
    """Return the warp: rotation, shear, shift, zoom and elastic deformation in one transform."""
    spacing = tuple(n / (ranges.control_points - 1) for n in size)
    pixels = ranges.elastic * max(size)
    return [
        Rand2DElasticd(
            keys,
            spacing=spacing,
            magnitude_range=(pixels, pixels),
            prob=1.0,
            rotate_range=ranges.rotation * torch.pi / 180,
            shear_range=ranges.shear,
            translate_range=[ranges.shift * n for n in size],
            scale_range=ranges.scale - 1,
            mode=["nearest" if k == "label" else "bilinear" for k in keys],
            padding_mode="zeros",
        )
    ]


def intensities(key: str, size: tuple[int, int], ranges: Intensity) -> list[Any]:
    """Return the changes of intensity, each with its chance."""
    chance = ranges.chance
    side = [round(n * 0.15**0.5) for n in size]
    return [
        RandAdjustContrastd(key, prob=chance, gamma=(1 / (1 + ranges.gamma), 1 + ranges.gamma)),
        RandScaleIntensityd(key, factors=ranges.contrast, prob=chance),
        RandShiftIntensityd(key, offsets=ranges.brightness, prob=chance),
        RandBiasFieldd(key, coeff_range=(0.0, ranges.shade), prob=chance),
        RandGaussianSmoothd(key, sigma_x=(0.1, ranges.blur), sigma_y=(0.1, ranges.blur), prob=chance / 2),
        RandGaussianNoised(key, prob=chance, std=ranges.noise),
        *[RandCoarseDropoutd(key, holes=1, spatial_size=side, fill_value=0.0, prob=chance)] * ranges.cutout,
    ]


class PlainLoop:
    """A loop over two data loaders.

    Attributes:
        waited: seconds spent on waiting for batches so far.
        ahead: how many steps' batches the worker processes make in advance.
    """

    def __init__(
        self, datalist: Datalist, size: tuple[int, int], classes: int, cached: bool, workers: int, unlabelled: bool,
        device: torch.device,
    ) -> None:  # fmt: skip
        """Set up.

        Args:
            datalist: the data.
            size: the networks' grid.
            classes: background included.
            cached: keep read and scaled images in memory (CacheDataset), and give all views to a network at once;
                else files are read every time, and every view has a forward pass of its own.
            workers: processes of each loader; 0 augments in the loop itself.
            unlabelled: the arithmetic of method A; else that of `supervised`.
            device: of the networks.
        """
        self.together, self.unlabelled, self.device = cached, unlabelled, device
        self.waited, self.ahead = 0.0, 2 * workers
        both, image = ("image", "label"), ("image",)
        labelled = [{"image": str(e.images[0]), "label": str(e.label)} for e in datalist["training"]]
        shown = [*geometry(both, size, Geometry()), *intensities("image", size, Intensity())]
        self.labelled = self._loader(labelled, loading(both, size), [*shown, SelectItemsd(both)], cached, workers)
        if unlabelled:
            others = [{"image": str(e.images[0])} for e in datalist["unlabeled"]]
            shown = [
                *geometry(image, size, Geometry()),
                CopyItemsd("image", names="strong"),
                *intensities("strong", size, STRONG),
                SelectItemsd(("image", "strong")),
            ]
            self.others = self._loader(others, loading(image, size), shown, cached, workers)
        torch.manual_seed(0)
        built = [Branch(n, a, 1, classes, 2, embedding_size=EMBEDDING * unlabelled) for n, a in DUAL_2D]
        self.branches = [branch.to(device) for branch in built]
        self.teachers = [copy.deepcopy(b).eval().requires_grad_(False) for b in self.branches]
        self.loss = DiceCELoss(softmax=True, to_onehot_y=True)
        self.optimiser = torch.optim.AdamW(
            [p for b in self.branches for p in b.parameters()], lr=2e-3, weight_decay=1e-3
        )

    def _loader(
        self, items: list[dict], load: list[Any], change: list[Any], cached: bool, workers: int
    ) -> Iterator[dict[str, Tensor]]:
        if cached:
            data: Dataset = CacheDataset(items, Compose([*load, *change]), num_workers=2, progress=False)
        else:
            data = Dataset(items, Compose([*load, *change]))
        sampler = RandomSampler(data, replacement=True, num_samples=10**9)
        pinned = self.device.type == "cuda"
        return iter(DataLoader(data, batch_size=ROWS, sampler=sampler, num_workers=workers, pin_memory=pinned))

    def _there(self, images: Any) -> Tensor:
        return images.as_tensor().to(self.device, non_blocking=True)

    def step(self) -> None:
        """Do one iteration."""
        started = time.perf_counter()
        batch = next(self.labelled)
        views, label = [self._there(batch["image"])], self._there(batch["label"])
        if self.unlabelled:
            batch = next(self.others)
            weak, strong = self._there(batch["image"]), self._there(batch["strong"])
            box = torch.zeros_like(strong[:1, :1], dtype=torch.bool)
            box[..., : strong.shape[2] // 2, : strong.shape[3] // 2] = bool(torch.rand(()) < 0.5)
            views.append(torch.where(box, strong.roll(1, 0), strong))
        self.waited += time.perf_counter() - started
        outputs = [self._forward(branch, views) for branch in self.branches]
        total = torch.stack([self.loss(logits[0], label) for logits, _ in outputs]).sum()
        if self.unlabelled:
            with torch.no_grad():
                targets = [teacher(weak, project=False).logits.softmax(dim=1) for teacher in self.teachers]
                targets = [torch.where(box, q.roll(1, 0), q) for q in targets]
            for k, (logits, _) in enumerate(outputs):
                p, q = logits[1].softmax(dim=1), targets[1 - k]
                axes = (0, 2, 3)
                dice = (2 * (p * q).sum(axes) + 1e-5) / (p.square().sum(axes) + q.square().sum(axes) + 1e-5)
                total = total + 1 - dice.mean()
            (_, a), (_, b) = outputs
            same = torch.eye(len(a), dtype=torch.bool, device=self.device)
            total = total + 0.05 * (info_nce(a, b, same, 0.07) + info_nce(b, a, same, 0.07))
        if not torch.isfinite(total):
            raise FloatingPointError("the loss is not finite")
        self.optimiser.zero_grad()
        total.backward()
        for branch in self.branches:
            torch.nn.utils.clip_grad_norm_(branch.parameters(), CLIP)
        self.optimiser.step()
        with torch.no_grad():
            for teacher, branch in zip(self.teachers, self.branches, strict=True):
                for mine, theirs in zip(teacher.parameters(), branch.parameters(), strict=True):
                    mine.mul_(EMA).add_(theirs, alpha=1 - EMA)

    def _forward(self, branch: Branch, views: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        if self.together:
            output = branch(torch.cat(views))
            return list(output.logits.split([len(v) for v in views])), output.embedding
        outputs = [branch(v) for v in views]
        embedding = torch.cat([o.embedding for o in outputs]) if self.unlabelled else outputs[0].embedding
        return [o.logits for o in outputs], embedding
