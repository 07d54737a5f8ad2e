"""Sliding windows: what they merge, in how much memory, and that no one can tell the windows from the result."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from pydantic import ValidationError
from SemiSegCervicalLib.engine.grid import along, interpolation
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.engine.windows import plan_axes, plan_axis, slide
from TrainingRig import parts

pytestmark = pytest.mark.torch
SPEC = InputSpec(spatial_dims=3, modalities=("mr",), sampling="windows", size=(16, 16, 16))


def volume(shape, spacing=(1.0, 1.0, 1.0), seed=0):
    """A smooth random volume in Slicer's own orientation (LPS), so that no axis is turned."""
    coarse = np.random.default_rng(seed).normal(size=[-(-n // 4) for n in shape]).astype(np.float32)
    array = coarse.repeat(4, 0).repeat(4, 1).repeat(4, 2)[tuple(slice(n) for n in shape)]
    return Image(array[None], spacing, np.diag([-spacing[2], -spacing[1], spacing[0], 1.0]))


def cutter(array):
    """Return what reads blocks of ``(M, *shape)``, 0 beyond it."""

    def read(block):
        inside = [(max(0, a), min(n, b)) for (a, b), n in zip(block, array.shape[1:], strict=True)]
        margins = [m for (a, b), (c, d) in zip(block[::-1], inside[::-1], strict=True) for m in (c - a, b - d)]
        return torch.nn.functional.pad(array[(slice(None), *(slice(*rows) for rows in inside))], margins)

    return read


@pytest.mark.parametrize("n", [1, 15, 16, 17, 24, 40, 100])
@pytest.mark.parametrize("overlap", [0.0, 0.25, 0.5, 0.8])
def test_windows_cover_an_axis(n, overlap):
    axis = plan_axis(n, 16, overlap)
    share = torch.zeros(n)
    for start, profile in zip(axis.starts, axis.shares, strict=True):
        assert n < 16 or 0 <= start <= n - 16
        for row, value in zip(range(start, start + 16), profile, strict=True):
            if 0 <= row < n:
                share[row] += value
    assert torch.allclose(share, torch.ones(n), atol=1e-5)
    assert all(b - a <= max(1, int(16 * (1 - overlap))) for a, b in itertools.pairwise(axis.starts))


def test_the_strides_of_the_literature():
    """Windows of 80 x 112 x 112 every 4, 18 and 18 voxels, spread evenly."""
    size, strides = (80, 112, 112), (4, 18, 18)
    # A little less than the exact share, so that no rounding takes a row from the stride.
    overlap = tuple(1 - stride / n - 1e-9 for stride, n in zip(strides, size, strict=True))
    spec = InputSpec(spatial_dims=3, modalities=("mr",), sampling="windows", size=size, overlap=overlap)
    axes = plan_axes((88, 140, 183), spec.size, spec.overlaps)
    assert [axis.starts for axis in axes] == [(0, 4, 8), (0, 14, 28), (0, 18, 36, 53, 71)]
    assert InputSpec(modalities=("us",), size=(32, 32), overlap=0.25).overlaps == (0.25, 0.25)
    for bad in ((0.5, 0.5), (0.5, 0.5, 0.99), 0.96):
        with pytest.raises(ValidationError):
            InputSpec(spatial_dims=3, modalities=("mr",), sampling="windows", size=size, overlap=bad)


@pytest.mark.parametrize("shape", [(40,), (30, 7), (5, 8, 9), (16, 24, 16), (41, 57, 30)])
@pytest.mark.parametrize("batch", [1, 5])
def test_an_identity_comes_back(shape, batch):
    array = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    axes = plan_axes(shape, (16, 24, 16)[: len(shape)], (0.5,) * len(shape))
    for block in ([(0, n) for n in shape], [(0, shape[0]), *((n // 4, n // 2 + 1) for n in shape[1:])]):
        seen = []
        for rows, values in slide(axes, block, cutter(array), lambda x: torch.cat([x, 2 * x], dim=1), batch):
            seen.append((rows, values.clone()))
        assert [a for (a, _), _ in seen[1:]] == [b for (_, b), _ in seen[:-1]], "rows follow each other"
        expected = array[(slice(None), *(slice(*rows) for rows in block))]
        assert torch.allclose(torch.cat([v for _, v in seen], dim=1), torch.cat([expected, 2 * expected]), atol=1e-5)


def test_same_as_the_plain_way():
    """Where MONAI's windows fall on the same places, its weighted mean is ours.

    Its own weight map has a floor of a thousandth, which flattens it at the faces of a volume: it is given ours.
    """
    pack, image = parts.pack(spec=SPEC), volume((32, 24, 40))
    ours = Predictor(pack, "cpu").predict(image, probabilities=True)
    array = torch.from_numpy(image.array)[None]
    standard = ((array - array.mean()) / array.std(correction=0)).clamp(-4, 4)
    profile = torch.exp(-0.5 * ((torch.arange(16) - 7.5) / 2) ** 2)
    weights = profile[:, None, None] * profile[:, None] * profile
    with torch.inference_mode():
        maps = [
            sliding_window_inference(
                standard, SPEC.size, 2, lambda x, b=branch: b(x).logits.softmax(dim=1), 0.5, roi_weight_map=weights
            )
            for branch in pack.branches
        ]
    theirs = (maps[0] + maps[1])[0] / 2
    assert np.allclose(ours.probabilities, theirs.numpy(), atol=1e-4)
    assert (ours.labels == theirs.argmax(dim=0).numpy()).mean() > 0.999


@pytest.mark.parametrize("spacing", [None, (1.3, 0.8, 1.7)])
def test_the_result_does_not_depend_on_the_memory(spacing):
    spec = SPEC.model_copy(update={"spacing": spacing})
    image = volume((33, 37, 26))
    roomy = Predictor(parts.pack(spec=spec), "cpu", memory_gib=4.0)
    tight = Predictor(parts.pack(spec=spec), "cpu", memory_gib=2e-4)
    grid_blocks = []
    blocks = tight._blocks
    tight._blocks = lambda grid: grid_blocks.append(blocks(grid)) or grid_blocks[-1]
    a, b = roomy.predict(image, probabilities=True), tight.predict(image, probabilities=True)
    assert len(grid_blocks[0]) > 3, "the volume was cut into blocks"
    assert np.allclose(a.probabilities, b.probabilities, atol=1e-5)
    assert (a.labels == b.labels).mean() > 0.9999
    assert np.allclose(a.uncertainty, b.uncertainty, atol=1e-4)
    assert np.allclose(a.disagreement, b.disagreement, atol=1e-4)
    for one, other in zip(a.segments, b.segments, strict=True):
        assert one.predicted_dice == pytest.approx(other.predicted_dice, abs=1e-4)


def test_figures_of_a_volume():
    image = volume((20, 18, 22), (2.0, 0.5, 0.5))
    result = Predictor(parts.pack(spec=SPEC), "cpu").predict(image, probabilities=True)
    assert result.labels.shape == image.spatial_shape
    assert np.allclose(result.probabilities.sum(axis=0), 1, atol=1e-4)
    assert np.array_equal(result.labels, result.probabilities.argmax(axis=0))
    for array in (result.uncertainty, result.disagreement):
        assert array.min() >= 0
        assert array.max() <= 1
    assert (result.disagreement <= result.uncertainty + 1e-6).all()
    for segment in result.segments:
        assert segment.voxels == int((result.labels == segment.value).sum())
        assert segment.size == pytest.approx(segment.voxels * 0.5)
        assert segment.size_unit == "mm3"


def test_a_volume_of_one_slice():
    flat = Image(volume((1, 30, 40)).array[:, 0], (1.0, 1.0), np.diag([-1.0, -1.0, 3.0, 1.0]))
    result = Predictor(parts.pack(spec=SPEC.model_copy(update={"spacing": (1.0, 1.0, 1.0)})), "cpu").predict(flat)
    assert result.labels.shape == result.uncertainty.shape == (30, 40)


def test_progress_and_cancel():
    class CancelledError(Exception):
        pass

    said = []

    def stop(done, total):
        said.append((done, total))
        if done >= 3:
            raise CancelledError

    predictor = Predictor(parts.pack(spec=SPEC), "cpu")
    with pytest.raises(CancelledError):
        predictor.predict(volume((40, 40, 40)), on_progress=stop)
    assert said[-1] == (3, 64)
    said.clear()
    predictor.predict(volume((40, 20, 16)), on_progress=lambda *now: said.append(now))
    assert said[0][0] == 0
    assert said[-1] == (8, 8)


@pytest.mark.parametrize(("n", "m"), [(37, 80), (80, 37), (5, 1), (1, 5), (12, 12)])
def test_rows_are_the_same_in_parts(n, m):
    x = torch.randn(3, n, generator=torch.Generator().manual_seed(0))
    matrix, (a, b) = interpolation(n, m, (0, m))
    whole = along(x[:, a:b], matrix, 1)
    parts_of_it = []
    for first in range(0, m, 7):
        matrix, (a, b) = interpolation(n, m, (first, min(m, first + 7)))
        parts_of_it.append(along(x[:, a:b], matrix, 1))
    assert torch.allclose(torch.cat(parts_of_it, dim=1), whole, atol=1e-6)
    reference = torch.nn.functional.interpolate(
        x[None, :, None], (1, m), mode="bilinear", align_corners=False, antialias=True
    )[0, :, 0]
    assert torch.allclose(whole, reference, atol=1e-5), "the same as PyTorch's antialiased resampling"
