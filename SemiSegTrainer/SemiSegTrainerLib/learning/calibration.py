"""One softmax temperature per branch, fitted on annotations that the branches were not trained on.

What is fitted, and why. Measured on the 25 labelled training images of `fugc`, three splits of 16 or 17 to learn from
and 8 or 9 to measure on, 250 iterations of cross_supervision at 96 x 160, seed 0; calibration error (ECE) in the band
of 5 pixels around the reference boundary and on the whole image, means of the splits:

    weight of the band   0 (all voxels)   1/4     1/2     3/4     1      (before: 0.100 and 0.004)
    ECE in the band      0.109           0.077   0.052   0.038   0.043
    ECE, whole image     0.006           0.010   0.022   0.039   0.068

- The band is chosen by the reference. Even a model that is right about its own confidence errs more there than it says,
  so no temperature serves both: calibrated for the band alone, the whole image becomes hazy and expected Dice far too
  low; calibrated for all voxels, the boundary stays as boastful as it was. Two thirds of the weight for the band.
- What the user sees is the mean of the branches, and the mean of two calibrated branches is under-confident where they
  disagree. Temperatures fitted freely on the mean drift apart, for only their balance matters there (3.4 and 0.8 on one
  split); so each branch is fitted alone, and one common factor then fits the mean.
- Folds learn from half of the cases for a third of the time. Against the temperature that the finished model would need
  on cases that it has not seen, theirs were off by +10, 0 and -15 %: which cases are held out matters more than how
  long was learned, and no correction suggests itself; but for folds that have hardly learned, see `fitting`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.grid import plan_grid
from SemiSegCervicalLib.engine.preprocess import as_volume, place
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.engine.uncertainty import expected_dice_from_sums, sharpen
from torch import Tensor
from torch.nn import functional

from .bands import BAND_WIDTH, boundary_band
from .datalist import Entry
from .readers import logits_of, readers
from .seeds import mix_seed
from .targets import decided, every_class, informative, membership

# A case gives at most so many voxels of the band and so many of the rest: far more than one number per branch needs.
_VOXELS_OF_A_CASE = 20_000
_BAND_SHARE = 2 / 3
_LARGEST = 8.0
# Held-out voxels that are all right would send a temperature to 0, those of a blind network to infinity. This much of
# log(T)^2 in the mean loss stops both and moves a temperature of real data by less than a hundredth.
_PRIOR = 1e-4


@dataclass(frozen=True)
class HeldOut:
    """An annotated case, or a part of one, that the branches were not trained on.

    Attributes:
        image: float32 ``(M, *grid)``, on the network's grid.
        possible: int32 class sets ``(*grid)``; voxels that do not count hold the set of every class, padding 0.
        sampling: how many source voxels a voxel of the network's grid is across, per axis.
        present: the modalities that the case has; None for all.
    """

    image: Tensor
    possible: Tensor
    sampling: tuple[float, ...]
    present: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Voxels:
    """Logits of held-out voxels.

    Attributes:
        logits: float64 ``(K, n, C)``, K branches; NaN where a case lacks what a branch reads.
        possible: int32 class sets ``(n,)``.
        near: bool ``(n,)``: in the band around the reference boundary.
        weight: float64 ``(n,)``: how many voxels of its case each stands for.
        case: int64 ``(n,)``: the case that each is of.
        cases: how many cases they come from.
    """

    logits: Tensor
    possible: Tensor
    near: Tensor
    weight: Tensor
    case: Tensor
    cases: int

    def of(self, branches: Sequence[int]) -> Voxels | None:
        """Return what some of the branches say of the voxels that they all can read; None where there is none."""
        logits = self.logits[list(branches)]
        known = ~logits.isnan().any(dim=2).any(dim=0)
        if not bool(known.any()):
            return None
        rest = (self.possible[known], self.near[known], self.weight[known], self.case[known], self.cases)
        return Voxels(logits[:, known], *rest)

    def __add__(self, other: Voxels) -> Voxels:
        return Voxels(
            torch.cat([self.logits, other.logits], dim=1),
            torch.cat([self.possible, other.possible]),
            torch.cat([self.near, other.near]),
            torch.cat([self.weight, other.weight]),
            torch.cat([self.case, other.case + self.cases]),
            self.cases + other.cases,
        )


def sampling_of(entry: Entry, spec: InputSpec) -> tuple[float, ...]:
    """Return how many source voxels a voxel of the network's grid is across, per axis of that grid.

    Raises:
        SemiSegError: the image file is at fault.
    """
    image = read_image(entry.images, entry.spacing)
    if spec.sampling == "fit":
        where = place(image.spatial_shape, spec.size)
        old, new = where.source, where.content
    else:
        grid = plan_grid(as_volume(image) if spec.spatial_dims == 3 else image, spec)
        old, new = grid.turned, grid.shape
    return tuple(o / n for o, n in zip(old, new, strict=True))


@torch.no_grad()  # not inference mode: the fit computes with what is made here
def held_out_voxels(
    branches: Sequence[Branch],
    modalities: Sequence[Sequence[int]],
    spec: InputSpec,
    classes: int,
    cases: Iterable[HeldOut],
    device: torch.device,
    seed: int = 0,
) -> Voxels | None:
    """Let the branches look at held-out cases and keep the logits of annotated voxels.

    Args:
        branches: one network each.
        modalities: which modalities each branch reads.
        spec: the input that they are trained for.
        classes: background included.
        cases: read one by one.
        device: where to compute.
        seed: of the choice among many voxels.

    Returns:
        The voxels; None where nothing is annotated.
    """
    found: Voxels | None = None
    for branch in branches:
        branch.to(device).eval()
    for number, case in enumerate(cases):
        chosen, near, weight = _choose(case, classes, mix_seed(seed, "voxels", number))
        if len(chosen):
            sets = case.possible.flatten()[chosen]
            logits = torch.empty(len(branches), len(chosen), classes, dtype=torch.float64)
            row = math.prod(case.possible.shape[1:])
            asked = readers(branches, modalities, classes, case.present)
            for (first, last), part in logits_of(asked, spec, case.image, device):
                inside = (chosen >= first * row) & (chosen < last * row)
                picked = part.flatten(2)[:, :, chosen[inside] - first * row]
                logits[:, inside] = picked.movedim(1, 2).cpu().double()
            voxels = Voxels(logits, sets, near, weight, torch.zeros(len(chosen), dtype=torch.int64), 1)
            found = voxels if found is None else found + voxels
    return found


def fit_temperatures(voxels: Voxels) -> tuple[float, ...]:
    """Fit one temperature per branch: each by its own likelihood, then a common factor by that of their mean.

    A voxel of which a set of classes is known counts by the probability of the set. Deterministic.

    Returns:
        K temperatures, each between 1/8 and 8.
    """
    weight = voxels.weight.clone()
    parts = [part for part in (voxels.near, ~voxels.near) if bool(part.any())]
    shares = (_BAND_SHARE, 1 - _BAND_SHARE) if len(parts) == 2 else (1.0,)
    for part, share in zip(parts, shares, strict=True):
        weight[part] *= share / weight[part].sum()
    allowed = membership(voxels.possible, voxels.logits.shape[2])

    def likelihood(temperatures: Tensor, logits: Tensor) -> Tensor:
        scaled = functional.log_softmax(logits / temperatures[:, None, None], dim=2)
        of_set = scaled.masked_fill(~allowed, -torch.inf).logsumexp(dim=2)
        mean = of_set.logsumexp(dim=0) - math.log(len(logits))
        return -(weight * mean).sum()

    alone = torch.cat([_minimise(lambda t, s=s: likelihood(t, s[None])) for s in voxels.logits])  # type: ignore[misc]
    common = _minimise(lambda t: likelihood(alone * t, voxels.logits)) if len(alone) > 1 else torch.ones(1)
    return tuple((alone * common).clamp(1 / _LARGEST, _LARGEST).tolist())


def fit_sharpness(voxels: Voxels, temperatures: Sequence[float]) -> float:
    """Fit the exponent by which predicted Dice is right in the mean over held-out cases and their segments.

    Args:
        voxels: held out.
        temperatures: as fitted to them.

    Returns:
        Between 1/8 and 8; 1 where no segment is decided.
    """
    maps = [(s / t).softmax(dim=1) for s, t in zip(voxels.logits, temperatures, strict=True)]
    mean = torch.stack(maps).mean(dim=0)
    every = range(mean.shape[1])
    cases, true = [], []
    for case in range(voxels.cases):
        rows = torch.nonzero((voxels.case == case) & decided(voxels.possible)).flatten()
        weight, sets = voxels.weight[rows], voxels.possible[rows]
        drawn = functional.one_hot(mean[rows].argmax(dim=1), len(every)).bool()
        real = torch.stack([sets == 1 << c for c in every], dim=1)
        sizes = [(weight[:, None] * m).sum(dim=0).numpy() for m in (drawn, real, drawn & real)]
        asked = np.flatnonzero(sizes[0][1:] + sizes[1][1:]) + 1
        true += (2 * sizes[2] / np.maximum(sizes[0] + sizes[1], 1e-9))[asked].tolist()
        cases.append((rows, weight[:, None], drawn, sizes[0], asked))
    if not true:
        return 1.0

    def excess(exponent: float) -> float:
        p = sharpen(mean, exponent, dim=1)
        expected: list[float] = []
        for rows, weight, drawn, counts, asked in cases:
            mass = weight * p[rows]
            own = (mass * drawn).sum(dim=0).numpy()
            expected += np.nan_to_num(expected_dice_from_sums(own, mass.sum(dim=0).numpy(), counts))[asked].tolist()
        return sum(expected) / len(expected) - sum(true) / len(true)

    low, high = -math.log(_LARGEST), math.log(_LARGEST)
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (low, middle) if excess(math.exp(middle)) > 0 else (middle, high)
    return math.exp((low + high) / 2)


def _minimise(loss: Callable[[Tensor], Tensor]) -> Tensor:
    """Minimise over one temperature, ``exp(log(8) tanh(x))``, starting from 1."""
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)

    def temperature() -> Tensor:
        return torch.exp(math.log(_LARGEST) * torch.tanh(x))

    optimiser = torch.optim.LBFGS([x], max_iter=60, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = loss(temperature()) + _PRIOR * temperature().log().square().sum()
        value.backward()
        return value

    optimiser.step(closure)
    return temperature().detach()


def _choose(case: HeldOut, classes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return flat indices of annotated voxels in order, whether each is near a boundary, and what each stands for."""
    possible = case.possible.cpu()
    known = (informative(possible, classes) & (possible != 0)).numpy()
    sets = np.where(known, possible.numpy(), every_class(classes))
    near = boundary_band(sets, BAND_WIDTH[sets.ndim], case.sampling) & known
    generator = torch.Generator().manual_seed(seed)
    indices, close, weights = [], [], []
    for region, is_near in ((near, True), (known & ~near, False)):
        every = torch.from_numpy(np.flatnonzero(region))
        some = every[torch.randperm(len(every), generator=generator)[:_VOXELS_OF_A_CASE]]
        indices.append(some)
        close.append(torch.full((len(some),), is_near))
        weights.append(torch.full((len(some),), len(every) / max(1, len(some)), dtype=torch.float64))
    order = torch.cat(indices).argsort()
    return tuple(torch.cat(parts)[order] for parts in (indices, close, weights))  # type: ignore[return-value]
