"""What a run will take, by a few real steps of it: before it is begun."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.grid import plan_grid
from SemiSegCervicalLib.engine.preprocess import as_volume
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.engine.windows import plan_axes
from SemiSegCervicalLib.errors import SemiSegError

from .datalist import Datalist, Entry, read_datalist
from .folds import FOLD_SHARE, split
from .memory import room_for_cases, used_gib
from .preparation import Prepared, RunOptions, prepare
from .readers import opinion, readers
from .storage import IN_MEMORY

# Cases of each list that are read: a step draws a few of them, and all of them together may be many gigabytes.
_CASES = 6
# Faults of what is annotated in the cases that were read, which others may not share.
_OF_CONTENT = ("nothing-labelled", "empty-labels", "nothing-unlabelled")
_WARM_UP, _TIMED = 1, 4
# What writing a model and starting take, seconds.
_AROUND = 5.0


@dataclass(frozen=True)
class Cost:
    """What a run takes; see `worker.protocol.Measured`."""

    seconds_per_iteration: float
    memory_gib: float | None
    precision: str
    spec: InputSpec
    parts: tuple[str, ...]
    seconds_besides: float
    share_besides: float
    device: torch.device
    threads: int


def measure(datalist_path: Path, options: RunOptions, on_progress: Callable[[int, int], None]) -> Cost:
    """Read some of the cases and do a few steps with them, which are then forgotten.

    Args:
        datalist_path: the data.
        options: of the run; its length does not matter.
        on_progress: called with (done, total).

    Raises:
        SemiSegError: anything the user can put right.
    """
    whole = read_datalist(datalist_path)
    run, reading = _read(whole, options, lambda: on_progress(0, 3))
    on_progress(1, 3)
    training = run.training(None)
    pace = training.pace(_WARM_UP, _TIMED)
    memory = used_gib(run.device)
    on_progress(2, 3)
    count, read = (sum(len(d[name]) for name in ("training", "unlabeled")) for d in (whole, run.datalist))
    listed, looked = (len([e for e in d["validation"] if e.label]) for d in (whole, run.datalist))
    reading *= (count + listed) / max(1, read + looked)
    validating = listed * len(run.validation) / max(1, looked)
    rows = (*run.datalist["training"], *run.datalist["unlabeled"])
    sources = [_source(entry, run.spec) for entry in rows]
    each = _seconds_of_a_case(run, [source.grid for source in sources])
    folds = run.source == "folds" and bool(split(run.data, rows, run.settings.seed)[0])
    if memory is not None:
        each_case = run.data.nbytes / len(run.data.images)
        memory += (_held(count * each_case, run.device) - _held(run.data.nbytes, run.device)) / 2**30
    on_progress(3, 3)
    return Cost(
        pace, memory, training.precision, run.spec, _in_words(run.spec, sources),
        reading + validating * each * (2 if run.start else 1) + _AROUND, 2 / FOLD_SHARE if folds else 0.0, run.device,
        torch.get_num_threads(),
    )  # fmt: skip


def _read(whole: Datalist, options: RunOptions, on_begin: Callable[[], None]) -> tuple[Prepared, float]:
    """Read some of the cases: a few, and more as long as these lack what a training needs of all.

    Returns:
        The run, and the seconds that it took to read its cases.

    Raises:
        SemiSegError: a training would be refused, too.
    """
    longest, most = max(len(whole[name]) for name in ("training", "unlabeled")), _CASES
    while True:
        on_begin()
        begin = time.perf_counter()
        try:
            return prepare(whole.path, options, most), time.perf_counter() - begin
        except SemiSegError as error:
            if error.code not in _OF_CONTENT or most >= longest:
                raise
        most *= 2


@dataclass(frozen=True)
class _Source:
    """An image: its shape, its spacing in the network's orientation, and its shape on the network's grid."""

    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None
    grid: tuple[int, ...]


def _source(entry: Entry, spec: InputSpec) -> _Source:
    image = read_image(entry.images, entry.spacing)
    if spec.sampling == "fit":
        return _Source(image.spatial_shape, None, spec.size)
    case = as_volume(image) if spec.spatial_dims == 3 else image
    grid = plan_grid(case, spec)
    spacing = None if case.spacing is None else tuple(case.spacing[a] for a in grid.axes)
    return _Source(image.spatial_shape, spacing, grid.shape)


@torch.no_grad()
def _seconds_of_a_case(run: Prepared, shapes: Sequence[tuple[int, ...]]) -> float:
    """Return how long the networks look at a case on average, all of its windows."""
    branches = [branch.to(run.device).eval() for branch in run.branches()]
    asked = readers(branches, run.reads, run.classes, None)
    batch = torch.zeros(1, len(run.spec.modalities), *run.spec.size, device=run.device)
    opinion(asked, batch)
    begin = time.perf_counter()
    opinion(asked, batch).sum().item()  # the device is through
    once = time.perf_counter() - begin
    windows = [
        math.prod(len(axis.starts) for axis in plan_axes(shape, run.spec.size, run.spec.overlaps)) for shape in shapes
    ]
    return once * sum(windows) / len(windows)


def _held(size: float, device: torch.device) -> float:
    """Return how many bytes of so many of training cases lie in a device's memory."""
    if device.type == "cpu":
        return min(size, IN_MEMORY)
    return size if size <= room_for_cases(device) else 0.0


def _in_words(spec: InputSpec, sources: Sequence[_Source]) -> tuple[str, ...]:
    shapes, size = _spread([source.shape for source in sources]), _times(spec.size)
    if spec.sampling == "fit":
        return (f"Images of {shapes} pixels are scaled to {size} pixels, each whole.",)
    words = f"Volumes of {shapes} voxels are seen through windows of {size} voxels."
    known = [source.spacing for source in sources if source.spacing is not None]
    if spec.spacing is None or not known:
        return (words, "Their voxels stay as they are, for no size of a voxel is known.")
    if all(math.isclose(a, b, rel_tol=0.01) for s in known for a, b in zip(s, spec.spacing, strict=True)):
        return (words, f"Their voxels stay as they are, {_times(spec.spacing)} mm.")
    return (words, f"Voxels of {_spread(known)} mm become {_times(spec.spacing)} mm.")


def _spread(values: Sequence[Sequence[float]]) -> str:
    """Return the smallest and the largest by volume, or the only one."""
    ordered = sorted({tuple(round(v, 3) for v in value) for value in values}, key=math.prod)
    low, high = _times(ordered[0]), _times(ordered[-1])
    return low if len(ordered) == 1 else f"{low} to {high}"


def _times(values: Sequence[float]) -> str:
    """Write the values of the axes, slowest first, as people do and as they are entered."""
    return " \N{MULTIPLICATION SIGN} ".join(f"{v:.4g}" for v in reversed(values))
