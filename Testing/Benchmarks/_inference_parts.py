"""What the inference benchmarks share: trained packs, real or drawn images, the plain way, and how ways are timed."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from PIL import Image as Pillow
from SemiSegCervicalLib.engine.backends.runtime import installed_version
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.grid import NetworkView, plan_grid
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import Pack, load_pack
from SemiSegCervicalLib.engine.preprocess import from_network, to_network
from SemiSegCervicalLib.engine.uncertainty import entropy
from SemiSegTrainerLib.learning.datalist import read_datalist
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.run import CHECKPOINTS, MODEL, train_model
from SemiSegTrainerLib.learning.training import CHECKPOINT, Settings, versions

FRAME = (336, 544)
VOLUME = (88, 140, 183)
DRAWN = (64, 96, 96)
SIZE_2D, SIZE_3D = (160, 256), (80, 112, 112)
# Enough for networks that are sure of most voxels and in doubt at the borders, which is what agreement is about.
TRAINING = {2: ("fugc", SIZE_2D, 200), 3: ("la", (48, 64, 64), 60)}


def trained(dims: int, data: Path | None, work: Path, given: Path | None) -> Pack:
    """Return the given pack, or one that is trained for a few minutes and kept in the work folder."""
    if given is None:
        name, size, iterations = TRAINING[dims]
        datalist = (
            data / name / "datalist.json" if data else draw_set(work / f"drawn-{dims}d", FRAME if dims == 2 else DRAWN)
        )
        folder = work / f"training-{dims}d-{'real' if data else 'drawn'}"
        given = folder / MODEL
        if not given.exists():
            options = RunOptions(
                "supervised",
                settings=Settings(iterations=iterations, seed=0),
                device="cpu",
                size=size,
                resume=(folder / CHECKPOINTS / CHECKPOINT).exists(),
                calibrate="none",
            )
            print(f"training a {dims}D model, once: {iterations} iterations", flush=True)
            train_model(datalist, folder, options, lambda stage, done, total, left, _v: _say(stage, done, total, left))
    return load_pack(given)


def _say(stage: str, done: int, total: int, left: float) -> None:
    if done % 50 == 0:
        print(f"  {stage} {done}/{total}, {left:.0f} s left", flush=True)


def sized(pack: Pack, size: Sequence[int], sampling: str, **more: Any) -> Pack:
    """Return the same networks with another input size, and what else is to change: they are convolutions."""
    changed = pack.manifest.input.model_copy(update={"size": tuple(size), "sampling": sampling, **more})
    return Pack(pack.manifest.model_copy(update={"input": changed}), pack.branches)


def draw(seed: int, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw a bright and a dark ellipsoid in speckle: image float32 and labels uint8."""
    rng = np.random.default_rng(seed)
    grid = np.meshgrid(*[np.linspace(0, 1, n, dtype=np.float32) for n in shape], indexing="ij", sparse=True)
    labels = np.zeros(shape, dtype=np.uint8)
    for value, centre in ((1, 0.3), (2, 0.7)):
        middle = [0.5] * (len(shape) - 1) + [centre] + rng.uniform(-0.05, 0.05, len(shape))
        labels[
            sum(((g - m) / r) ** 2 for g, m, r in zip(grid, middle, rng.uniform(0.1, 0.25, 3), strict=False)) < 1
        ] = value
    noise = rng.normal(size=shape).astype(np.float32)
    return np.array([100, 150, 60], dtype=np.float32)[labels] * (1 + 0.25 * noise), labels


def draw_set(folder: Path, shape: Sequence[int], labelled: int = 8) -> Path:
    """Write a small drawn data set, of which the first images are labelled, and return its datalist."""
    folder.mkdir(parents=True, exist_ok=True)
    dims, entries = len(shape), []
    for seed in range(8):
        image, labels = draw(seed, shape)
        names = [f"case{seed}{part}{'.png' if dims == 2 else '.nrrd'}" for part in ("", "_label")]
        for array, name in zip((image.clip(0, 255).astype(np.uint8), labels), names, strict=True):
            if dims == 2:
                Pillow.fromarray(array).save(folder / name)
            else:
                import SimpleITK as sitk

                sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / name), useCompression=True)
        entries.append({"image": names[0], "label": names[1]})
    content = {
        "name": "drawn", "modality": {"0": "drawn"}, "labels": {"0": "background", "1": "bright", "2": "dark"},
        "training": entries[:labelled], "unlabeled": [{"image": entry["image"]} for entry in entries[labelled:]],
    }  # fmt: skip
    path = folder / "datalist.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def frames(data: Path | None, count: int) -> list[Image]:
    """Return ultrasound frames of 336 x 544: test images of fugc, or drawn ones."""
    if data is None:
        return [Image(draw(1000 + k, FRAME)[0][None]) for k in range(count)]
    entries = read_datalist(data / "fugc" / "datalist.json").named("test")[:count]
    return [read_image(entry.images, entry.spacing) for entry in entries]


def volumes(data: Path | None, count: int, least: Sequence[int], spacing: Sequence[float] | None) -> list[Image]:
    """Return scans on the voxels that a model wants, repeated where they are smaller than `least`, or drawn ones."""
    if data is None:
        return [Image(draw(2000 + k, least)[0][None]) for k in range(count)]
    found = []
    for entry in read_datalist(data / "la" / "datalist.json").named("test")[:count]:
        image = read_image(entry.images, entry.spacing)
        tensor = torch.from_numpy(image.array)[None]
        if spacing is not None and image.spacing is not None:
            size = [
                max(1, round(n * a / b)) for n, a, b in zip(image.array.shape[1:], image.spacing, spacing, strict=True)
            ]
            tensor = torch.nn.functional.interpolate(tensor, size=size, mode="trilinear", align_corners=False)
        array = tensor[0].numpy()
        repeats = [-(-n // m) for n, m in zip(least, array.shape[1:], strict=True)]
        array = np.tile(array, (1, *repeats))[(slice(None), *(slice(0, n) for n in least))]
        found.append(Image(np.ascontiguousarray(array), tuple(spacing) if spacing else image.spacing))
    return found


def plain(pack: Pack, device: str = "cpu", batch: int = 1) -> Callable[[Image], tuple[np.ndarray, np.ndarray]]:
    """Return the plain way: both networks in turn through MONAI's sliding windows, eager float32, then the vote.

    It gets the same network input and gives labels and uncertainty on the same grid as ours; figures per segment and
    the branches' disagreement, which ours computes too, it leaves out.

    Args:
        pack: the model; its networks are copied.
        device: where everything after the network input is computed.
        batch: windows at once.
    """
    spec = pack.manifest.input
    network_output = _in_turn(pack, device, batch)

    @torch.inference_mode()
    def predict(image: Image) -> tuple[np.ndarray, np.ndarray]:
        if spec.sampling == "fit":
            tensor, where = to_network(image, spec)
            mean = from_network(network_output(tensor[None].to(device)), where)
        else:
            grid = plan_grid(image, spec)
            view = NetworkView(image, grid, spec)
            mean = network_output(view.whole()[None].to(device))
        return _read(mean)

    return predict


def plain_frames(pack: Pack, at_once: int) -> Callable[[Sequence[Image]], list[tuple[np.ndarray, np.ndarray]]]:
    """Return `plain` for the frames of a cine, on the processor, so many in a batch."""
    spec = pack.manifest.input
    network_output = _in_turn(pack, "cpu", at_once)

    @torch.inference_mode()
    def predict(images: Sequence[Image]) -> list[tuple[np.ndarray, np.ndarray]]:
        found = []
        for first in range(0, len(images), at_once):
            placed = [to_network(image, spec) for image in images[first : first + at_once]]
            maps = network_output(torch.stack([tensor for tensor, _ in placed]))
            found += [_read(from_network(maps[k : k + 1], where)) for k, (_, where) in enumerate(placed)]
        return found

    return predict


def _in_turn(pack: Pack, device: str, batch: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return both networks in turn and their vote: mean probabilities of a network input."""
    spec = pack.manifest.input
    networks = [deepcopy(branch.network).eval().to(device) for branch in pack.branches]

    def network_output(x: torch.Tensor) -> torch.Tensor:
        maps = []
        for network, temperature in zip(networks, pack.manifest.calibration.temperatures, strict=True):
            logits = sliding_window_inference(x, spec.size, batch, network, overlap=spec.overlaps, mode="gaussian")
            maps.append((logits / temperature).softmax(dim=1))
        return torch.stack(maps).mean(dim=0)

    return network_output


def _read(mean: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    # A plain argmax takes ten times as long as this; it is not what the engine should be measured by.
    return mean[0].max(dim=0).indices.cpu().numpy(), entropy(mean, checked=False)[0].cpu().numpy()


@contextmanager
def busy_computer() -> Iterator[None]:
    """Keep every core busy meanwhile, with as many other processes as there are cores."""
    command = [sys.executable, "-c", "while True: pass"]
    others = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def one_by_one(predict: Callable[[Image], Any]) -> Callable[[Sequence[Image]], list[Any]]:
    """Return what predicts several images, one after the other."""
    return lambda images: [predict(image) for image in images]


def compare(
    ways: Mapping[str, Callable[[Sequence[Image]], Any]], images: Sequence[Image], repeats: int
) -> dict[str, Any]:
    """Time ways of predicting in turn, repetition by repetition, after one that warms up.

    Args:
        ways: those whose name begins with ``plain`` are what the others are compared with, the fastest of them.
        images: what each repetition predicts, all of them in one call.
        repeats: how often.

    Returns:
        By way: median and spread of the seconds for an image, and of how many times as fast as the plain way.
    """
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way(images)
            if repeat:
                times[name].append((time.perf_counter() - started) / len(images))
    fastest = min((name for name in ways if name.startswith("plain")), key=lambda name: median(times[name]))
    ratios = {
        name: [a / b for a, b in zip(times[fastest], values, strict=True)]
        for name, values in times.items()
        if not name.startswith("plain")
    }
    return {
        "compared_with": fastest,
        "seconds": {name: median(values) for name, values in times.items()},
        "spread": {name: [min(values), max(values)] for name, values in times.items()},
        "speedup": {name: median(values) for name, values in ratios.items()},
        "speedup_spread": {name: [min(values), max(values)] for name, values in ratios.items()},
        "shape": list(images[0].spatial_shape), "repeats": repeats,
    }  # fmt: skip


def agreement(ours: Sequence[Any], wanted: Sequence[Any], tolerance: float) -> dict[str, float]:
    """Compare predictions voxel by voxel: shares with the same label, and with an uncertainty within the tolerance."""
    pairs = list(zip(ours, wanted, strict=True))
    labels = np.concatenate([(a.labels == b.labels).ravel() for a, b in pairs])
    gaps = np.concatenate([np.abs(a.uncertainty - b.uncertainty).ravel() for a, b in pairs])
    return {
        "labels_alike": float(labels.mean()), "uncertainty_alike": float((gaps <= tolerance).mean()),
        "largest_gap": float(gaps.max()),
    }  # fmt: skip


def where() -> dict[str, Any]:
    """Say on what is measured."""
    machine = {
        "processor": processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(),
        "system": platform.system(),
    }  # fmt: skip
    return {"machine": machine, "versions": {**versions(), "openvino": installed_version()}}


def processor() -> str:
    """Name the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
