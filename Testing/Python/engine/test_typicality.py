"""How an image looks, and how far that is from those that a model has learned from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from SemiSegCervicalLib.engine.grid import NetworkView, plan_grid
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.intensity import standardise
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.preprocess import to_network
from SemiSegCervicalLib.engine.schema import FEATURES, InputSpec, TypicalImages
from SemiSegCervicalLib.engine.typicality import (
    Typicality,
    appearance,
    of_modalities,
    slices_of,
    slices_to_look_at,
)
from SemiSegCervicalLib.figures import doubts, doubts_of_frames
from TrainingRig import cases, parts


def picture(seed: int = 0) -> torch.Tensor:
    """Return blobs as networks see them, ``(1, rows, columns)``."""
    return standardise(torch.from_numpy(cases.draw(seed)[0].astype(np.float32))[None], parts.SPEC)


def known(count: int = FEATURES, limit: float = 2.0, **more: object) -> TypicalImages:
    """Return images whose features are 0 in the mean, and 0.5 apart, each by itself."""
    identity = tuple(tuple(float(i == j) for j in range(count)) for i in range(count))
    said = {"images": 9, "mean": (0.0,) * count, "spread": (0.5,) * count, "correlation": identity, "limit": limit}
    return TypicalImages(**{**said, **more})


def test_detail_and_grey_values_are_told() -> None:
    sharp = picture()
    blurred = torch.from_numpy(ndimage.gaussian_filter(sharp.numpy(), (0, 2, 2)))
    looks, other = appearance(slices_of(sharp)), appearance(slices_of(blurred))
    assert looks.shape == (FEATURES,)
    assert np.isfinite(looks).all()
    fine, coarse = looks - other, FEATURES - 7
    assert fine[0] > 1.0, "blur takes the fine detail"
    assert fine[0] > fine[3] > fine[9], "and the less, the coarser it is"
    assert looks[coarse:] == pytest.approx(np.quantile(sharp, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]), abs=0.1)


def test_slices_count_alike_and_modalities_stay_apart() -> None:
    one, other = picture(0)[0], picture(1)[0] * 0.5
    both = appearance(torch.stack([torch.stack([one, one]), torch.stack([other, other])]))
    assert both[:FEATURES] == pytest.approx(appearance(one[None, None]), abs=1e-6)
    assert both[FEATURES:] == pytest.approx(appearance(other[None, None]), abs=1e-6)
    mixed = appearance(torch.stack([one, other])[None])
    assert mixed == pytest.approx((both[:FEATURES] + both[FEATURES:]) / 2, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 2), (3, 3), (5, 300)])
def test_the_smallest_images_have_an_appearance(shape: tuple[int, int]) -> None:
    looks = appearance(torch.randn(1, 1, *shape, generator=torch.Generator().manual_seed(0)))
    assert np.isfinite(looks).all()
    assert np.isfinite(appearance(torch.zeros(1, 1, *shape))).all()


def test_slices_of_a_volume_come_from_its_inside() -> None:
    assert slices_to_look_at(1) == [0]
    assert slices_to_look_at(3) == [0, 1, 2]
    chosen = slices_to_look_at(90)
    assert len(chosen) == 8
    assert chosen[0] == 10
    assert chosen[-1] == 79
    volume = torch.arange(90.0).view(1, 90, 1, 1).expand(2, 90, 4, 4)
    assert slices_of(volume)[1, :, 0, 0].tolist() == chosen


def test_distance_is_measured_in_spreads_and_limits() -> None:
    typicality = Typicality(known())
    assert typicality.atypicality(np.zeros(FEATURES)) == 0.0
    assert typicality.atypicality(np.full(FEATURES, 0.5)) == pytest.approx(0.5), "one spread of a limit of two"
    assert typicality.atypicality(np.full(FEATURES, -2.0)) == pytest.approx(2.0)
    # Two features that always go together are surprising only where they do not.
    pair = Typicality(known(2, correlation=((1.0, 0.96), (0.96, 1.0))))
    assert pair.atypicality(np.array([0.5, -0.5])) > 4 * pair.atypicality(np.array([0.5, 0.5]))


def test_what_a_stranger_says_of_its_images_breaks_nothing() -> None:
    flat = Typicality(known(2, correlation=((1.0, 1.0), (1.0, 1.0))))
    assert np.isfinite(flat.atypicality(np.array([1.0, -1.0])))
    for wrong in ({"mean": (0.0,) * 3}, {"spread": (0.5, 0.0)}, {"correlation": ((1.0, 0.0),)}, {"limit": 0.0}):
        with pytest.raises(ValueError, match=r"correlation|spread|limit|mean"):
            known(2, **wrong)
    with pytest.raises(ValueError, match="other modalities than the input"):
        parts.pack(typical=known(2 * FEATURES))


def test_some_modalities_of_several() -> None:
    both = known(2 * FEATURES, mean=tuple(float(i) for i in range(2 * FEATURES)))
    second = of_modalities(both, [1])
    assert second.mean == tuple(float(i) for i in range(FEATURES, 2 * FEATURES))
    assert len(second.correlation) == len(second.correlation[0]) == FEATURES
    assert of_modalities(both, [0, 1]) == both


def test_a_picture_is_looked_at_without_its_padding() -> None:
    predictor = Predictor(parts.pack(typical=known()), "cpu", backend="torch")
    wide = Image(cases.draw(5, (20, 90))[0].astype(np.float32)[None])
    network, where = to_network(wide, predictor.pack.manifest.input)
    assert where.content[0] < where.size[0]
    found = predictor.predict(wide)
    content = network[:, : where.content[0], : where.content[1]]
    assert found.atypicality == pytest.approx(Typicality(known()).atypicality(appearance(slices_of(content))))
    assert found.notes == ()
    turned = Image(wide.array[:, ::-1].copy())
    several = list(predictor.predict_frames([wide, Image(ndimage.gaussian_filter(wide.array, 3)), turned]))
    assert several[0].atypicality == pytest.approx(found.atypicality)
    assert several[1].atypicality != pytest.approx(found.atypicality, rel=0.01)
    assert several[2].atypicality == pytest.approx(found.atypicality, rel=0.01), "a mirror image looks the same"
    assert Predictor(parts.pack(), "cpu", backend="torch").predict(wide).atypicality is None


def test_a_volume_is_looked_at_on_the_grid_of_its_network() -> None:
    spec = InputSpec(spatial_dims=3, modalities=("mr",), sampling="windows", size=(16, 16, 16), spacing=(2.0, 1.0, 1.0))
    predictor = Predictor(parts.pack(spec=spec, typical=known()), "cpu", backend="torch")
    values = np.random.default_rng(0).normal(size=(1, 21, 30, 26)).astype(np.float32)
    turned = np.diag([1.5, -0.7, 2.5, 1.0])
    image = Image(values, (2.5, 0.7, 1.5), turned)
    view = NetworkView(image, plan_grid(image, spec), spec)
    wanted = Typicality(known()).atypicality(appearance(slices_of(view.whole())))
    assert predictor.predict(image).atypicality == pytest.approx(wanted, rel=1e-5)


def test_what_people_are_told() -> None:
    assert doubts(None) == doubts(0.4) == doubts(1.0) == []
    (said,) = doubts(1.01)
    assert said.startswith("The image looks unlike what the model has learned from")
    assert doubts_of_frames({0: None, 1: None}) == doubts_of_frames({0: 0.2, 1: 0.9}) == []
    assert doubts_of_frames({4: 0.5, 7: 3.0})[0].startswith("Frame 8 looks unlike")
    assert doubts_of_frames({9: 3.0, 4: 0.5, 7: 3.0})[0].startswith("2 of 3 frames, the first number 8, look unlike")
    assert doubts_of_frames({1: 3.0, 2: 1.5})[0].startswith("All 2 frames look unlike")
