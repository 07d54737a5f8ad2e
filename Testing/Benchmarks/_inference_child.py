"""One measurement of the inference benchmark in a process of its own, so that memory is this measurement's alone.

python _inference_child.py volume PACK CACHE BACKEND SIDE WINDOWS
python _inference_child.py frames PACK CACHE BACKEND COUNT
python _inference_child.py kept PACK CACHE BACKEND REPEATS [DATA]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SemiSegCervicalLib.engine  # noqa: F401  before PyTorch, as in every process of ours
from _inference_parts import VOLUME, compare, one_by_one, plain, volumes
from _memory import peak, resident
from SemiSegCervicalLib.engine.backends.selection import open_backend
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.heap import keep_freed_memory


class _Enough(Exception):  # noqa: N818
    """Enough windows were timed."""


class Cine(Sequence):
    """Frames that are made when they are asked for, as a reader of a long cine gives them."""

    def __init__(self, count: int, base: np.ndarray) -> None:
        self.count, self.base = count, base

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, which: Any) -> Any:
        if isinstance(which, slice):
            return [self[k] for k in range(*which.indices(self.count))]
        return Image(np.roll(self.base, which % 64, axis=-1))


def volume(pack_path: str, cache: str, backend: str, side: str, windows: str) -> dict[str, Any]:
    """Segment a cube, or time its first layers of windows (`windows` at least; 0 for the whole)."""
    n, limit = int(side), int(windows)
    rng = np.random.default_rng(0)
    block = rng.normal(size=(1, 64, 64, 64)).astype(np.float32)
    image = Image(np.tile(block, (1, *(n // 64,) * 3)))
    before = resident()
    pack = load_pack(Path(pack_path))
    predictor = Predictor(pack, backend=open_backend(pack, "cpu", "openvino", backend, Path(cache)))
    times: list[float] = []
    total = 0

    def on_progress(done: int, every: int) -> None:
        nonlocal total
        total = every
        times.append(time.perf_counter())
        if limit and done >= limit and len(times) > limit:
            raise _Enough

    # Uncompiled, the model would be compiled within the case.
    spec = pack.manifest.input
    predictor.backend(_window(spec.size, len(spec.modalities)))
    started = time.perf_counter()
    whole = True
    try:
        predictor.predict(image, on_progress=on_progress)
    except _Enough:
        whole = False
    # The last time is that of the end, or of a window that was not computed any more.
    counted = len(times) - 1
    seconds = time.perf_counter() - started
    # What comes before the first window (mean and spread of the whole image) is shared by all, timed or not.
    per_window = seconds / counted if whole else (times[0] - started) / total + (times[-1] - times[0]) / counted
    return {
        "side": n, "windows": total, "timed": counted, "whole": whole, "seconds": seconds,
        "per_window": per_window, "extra_gib": peak() - before if whole else None, "peak_gib": peak(),
        "precision": predictor.backend.precision, "backend": predictor.backend.name,
    }  # fmt: skip


def _window(size: Sequence[int], modalities: int) -> Any:
    import torch

    return torch.randn(1, modalities, *size, generator=torch.Generator().manual_seed(0))


def frames(pack_path: str, cache: str, backend: str, count: str) -> dict[str, Any]:
    """Segment a cine of `count` frames of 336 x 544, handing each result on as a worker does."""
    base = np.random.default_rng(0).normal(size=(1, 336, 544)).astype(np.float32)
    pack = load_pack(Path(pack_path))
    predictor = Predictor(pack, backend=open_backend(pack, "cpu", "openvino", backend, Path(cache)))
    for result in predictor.predict_frames(Cine(8, base)):
        assert result.labels.shape == base.shape[1:]
    before, started = resident(), time.perf_counter()
    for result in predictor.predict_frames(Cine(int(count), base)):
        assert result.labels.shape == base.shape[1:]
    seconds = time.perf_counter() - started
    return {
        "frames": int(count), "ms": 1000 * seconds / int(count), "extra_gib": max(0.0, peak() - before),
        "precision": predictor.backend.precision, "backend": predictor.backend.name,
    }  # fmt: skip


def kept(pack_path: str, cache: str, backend: str, repeats: str, data: str = "") -> dict[str, Any]:
    """Time the plain way and ours on a volume with freed memory used again, which helps PyTorch and not OpenVINO."""
    changed = keep_freed_memory()
    pack = load_pack(Path(pack_path))
    images = volumes(Path(data) if data else None, 1, VOLUME, pack.manifest.input.spacing)
    ways = {"plain": plain(pack), "plain, 4 windows at once": plain(pack, batch=4)}
    for name, precision in (("default", backend), ("f32", "float32")):
        ways[name] = Predictor(pack, backend=open_backend(pack, "cpu", "openvino", precision, Path(cache))).predict
    return {**compare({name: one_by_one(way) for name, way in ways.items()}, images, int(repeats)), "kept": changed}


if __name__ == "__main__":
    print(json.dumps({"volume": volume, "frames": frames, "kept": kept}[sys.argv[1]](*sys.argv[2:])))
