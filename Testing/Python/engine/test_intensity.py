"""Intensities by the image itself, and by a range where they mean the same in every image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from SemiSegCervicalLib.engine.grid import NetworkView, plan_grid
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.intensity import Standards, other_units, standardise
from SemiSegCervicalLib.engine.pack import load_pack, save_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.preprocess import to_network
from SemiSegCervicalLib.engine.schema import BranchSpec, InputSpec, IntensityRange
from TrainingRig import parts

# The rows of an array run towards the back of the body, as networks take them.
POSTERIOR = np.diag([-1.0, -1.0, 1.0, 1.0])
CT = IntensityRange(low=-160.0, high=240.0, mean=60.0, deviation=50.0)


def scan(air: int, shape=(24, 40, 40)):
    """Hounsfield units: soft tissue with an organ in it, and as many rows of air above as wanted."""
    rng = np.random.default_rng(0)
    body = 40 + rng.normal(0, 10, shape)
    body[8:16, 10:30, 10:30] += 60
    body[20:, :, :5] = 1500
    return np.concatenate([np.full((shape[0], air, shape[2]), -1000.0), body], axis=1).astype(np.float32)


def test_standardise():
    ramp = torch.arange(12.0).view(1, 3, 4)
    for scale in (1e-6, 1.0, 1e6):
        result = standardise(ramp * scale + 5 * scale, parts.SPEC)
        assert float(result.mean()) == pytest.approx(0, abs=1e-5)
        assert float(result.std(correction=0)) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("level", [200.1, -200.1])
def test_rounding_noise_of_an_even_image_is_no_image(level):
    array = np.full((1, 30, 40), level, dtype=np.float32)
    array[:, ::2] = np.nextafter(array[:, ::2], np.float32(0))
    image = torch.from_numpy(array)
    for result in (standardise(image, parts.SPEC), Standards(array, parts.SPEC).apply(image)):
        assert float(result.abs().max()) < 0.1


@pytest.mark.parametrize("sampling", ["fit", "windows"])
def test_each_modality_is_standardised_as_its_own(sampling):
    array = np.stack([scan(10), np.abs(scan(10)) * 7 + 3])
    image = Image(array, affine=POSTERIOR)
    size = array.shape[1:] if sampling == "fit" else (16, 16, 16)
    spec = InputSpec(spatial_dims=3, modalities=("CT", "PET"), sampling=sampling, size=size, ranges=(CT, None))
    if sampling == "fit":
        found, _ = to_network(image, spec)
    else:
        grid = plan_grid(image, spec)
        found = NetworkView(image, grid, spec).whole()
        array = grid.turn(array)
    expected = np.clip((np.clip(array[0], CT.low, CT.high) - CT.mean) / CT.deviation, -4, 4)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-5)
    assert found[0].min() == pytest.approx(-4.0), "air, which would lie at -4.4"
    np.testing.assert_allclose(found[1], standardise(torch.from_numpy(array), spec.of([0, 1]))[1], atol=1e-4)
    assert float(found[1].mean()) == pytest.approx(0, abs=0.05)


def test_what_else_was_scanned_changes_nothing():
    """The same body with and without the air above: by the image itself, its tissues would be others."""
    by = {}
    for ranges in ((), (CT,)):
        spec = InputSpec(spatial_dims=3, modalities=("CT",), sampling="windows", size=(16, 16, 16), ranges=ranges)
        images = [Image(scan(air)[None], affine=POSTERIOR) for air in (0, 60)]
        cut, whole = (NetworkView(image, plan_grid(image, spec), spec).whole()[0] for image in images)
        by[bool(ranges)] = float((cut - whole[:, 60:]).abs().max())
    assert by[True] == 0
    assert by[False] > 0.3


def test_only_what_a_model_knows_in_hounsfield_units_can_be_in_others():
    """Nothing is as dark as fat but what is in these units; a range that was asked for may be of anything."""
    known = CT.model_copy(update={"hounsfield": True})
    spec = InputSpec(modalities=("CT", "late CT", "MR", "PET"), size=(16, 16), ranges=(known, known, CT, None))
    array = np.full((4, 16, 16), 40.0, dtype=np.float32)
    array[0, 0, 0], array[1, 0, 0] = -60, -40
    (told,) = other_units(array, spec)
    assert told.startswith("late CT ")


def test_a_model_keeps_its_ranges(tmp_path):
    spec = InputSpec(modalities=("PET", "CT"), size=(32, 48), ranges=(None, CT))
    reads = [(1,), (0,)]
    specs = tuple(
        BranchSpec(file=f"branch-{i}.safetensors", architecture=name, arguments=arguments, modalities=mine)
        for i, ((name, arguments), mine) in enumerate(zip(parts.TINY, reads, strict=True), 1)
    )
    model = load_pack(save_pack(tmp_path / "m", parts.pack(spec=spec, branches=specs)))
    assert model.manifest.input == spec
    alone = model.reading([1])
    assert alone.manifest.input.modalities == ("CT",)
    assert alone.manifest.input.ranges == (CT,)
    assert model.reading([0]).manifest.input.fixed == (None,)
    # What lies beyond the range is nothing to it.
    image = scan(4)[12]
    results = [Predictor(alone, "cpu", backend="torch").predict(Image(np.clip(image, *ends)[None])) for ends in
               ((-2000, 3000), (CT.low, CT.high))]  # fmt: skip
    np.testing.assert_array_equal(results[0].uncertainty, results[1].uncertainty)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"low": 240.0}, "low must be less"),
        ({"mean": 300.0}, "mean between"),
        ({"deviation": 0.0}, "greater than 0"),
        ({"high": float("inf")}, "finite"),
    ],
)
def test_ranges_that_are_none_are_refused(wrong, says):
    with pytest.raises(ValidationError, match=says):
        IntensityRange(**{**CT.model_dump(), **wrong})
    with pytest.raises(ValidationError, match="one per modality"):
        InputSpec(modalities=("CT",), size=(32, 32), ranges=(CT, None))
