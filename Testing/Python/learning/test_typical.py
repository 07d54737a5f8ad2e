"""What the images of a training look like, and what its model then says of others."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.typicality import Typicality, appearance, slices_of
from SemiSegTrainerLib.learning.data import TrainingData
from SemiSegTrainerLib.learning.run import RunOptions, train_model
from SemiSegTrainerLib.learning.training import Settings
from SemiSegTrainerLib.learning.typical import typical_images
from TrainingRig import cases, parts


@pytest.fixture(scope="module")
def datalist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cases.write_dataset(tmp_path_factory.mktemp("typical"), labelled=4, unlabelled=20, test=6)


@pytest.fixture(scope="module")
def data(datalist: Path) -> TrainingData:
    return parts.load(datalist)


def test_a_model_points_out_images_unlike_those_of_its_training(tmp_path: Path, datalist: Path) -> None:
    options = RunOptions(
        "supervised", settings=Settings(iterations=2), device="cpu", size=cases.SIZE, branches=parts.TINY,
        calibrate="none",
    )  # fmt: skip
    summary = train_model(datalist, tmp_path / "run", options)
    pack = load_pack(Path(summary["model"]))
    assert pack.manifest.typical is not None
    assert pack.manifest.typical.images == 24
    assert "yes, it knows 24" in pack.card
    predictor = Predictor(pack, "cpu", backend="torch")
    for number in range(6):
        image = read_image((datalist.parent / f"test{number}.png",), (0.5, 0.25))
        usual = predictor.predict(image).atypicality
        assert usual is not None
        assert usual < 1.0
        noise = np.random.default_rng(number).normal(0, 60, image.array.shape).astype(np.float32)
        for worse in (image.array + noise, ndimage.gaussian_filter(image.array, (0, 3, 3)), 255 - image.array):
            found = predictor.predict(dataclasses.replace(image, array=worse)).atypicality
            assert found is not None
            assert found > 1.5


def test_no_label_is_looked_at(data: TrainingData) -> None:
    other = dataclasses.replace(data, possible=tuple(map(torch.ones_like, data.possible)), annotated=(), open=())
    assert typical_images(other) == typical_images(data)


def test_too_few_images_or_patients_say_nothing(data: TrainingData) -> None:
    few = dataclasses.replace(data, images=data.images[:7], possible=data.possible[:7])
    assert typical_images(few) is None
    enough = dataclasses.replace(data, images=data.images[:8], possible=data.possible[:8])
    assert typical_images(enough) is not None
    assert typical_images(dataclasses.replace(data, groups=torch.arange(24) % 3)) is None
    assert typical_images(dataclasses.replace(data, groups=torch.arange(24) % 4)) is not None


def test_copies_of_one_image_are_described_too(data: TrainingData) -> None:
    """A training must not fail at its end, whatever its images are."""
    one = torch.stack(data.images)[:1]
    for images in (one.expand(24, -1, -1, -1), torch.zeros(24, *one.shape[1:])):
        known = typical_images(dataclasses.replace(data, images=tuple(images)))
        assert known is not None
        typicality = Typicality(known)
        assert typicality.atypicality(appearance(slices_of(images[3]))) < 1.0
        assert typicality.atypicality(appearance(slices_of(images[3] + torch.randn(one.shape[1:])))) > 1.0


def test_the_limit_follows_how_patients_differ(data: TrainingData) -> None:
    """Images of a patient are alike: what the next patient looks like, only other patients tell."""
    images, patients = torch.stack(data.images), torch.arange(24) // 3
    images[:3] += 0.5 * torch.randn(images[:3].shape, generator=torch.Generator().manual_seed(0))
    together, alone = (
        typical_images(dataclasses.replace(data, images=tuple(images), groups=groups)) for groups in (patients, None)
    )
    assert together is not None
    assert alone is not None
    assert together.mean == alone.mean
    assert together.limit > 1.2 * alone.limit


def test_cases_that_lack_a_modality_are_left_out(data: TrainingData) -> None:
    second = torch.cat([torch.stack(data.images), torch.stack(data.images).flip(-1)], dim=1)
    second[::2, 1] = 0.0
    present = torch.ones(24, 2, dtype=torch.bool)
    present[::2, 1] = False
    found = typical_images(dataclasses.replace(data, images=tuple(second), present=present))
    assert found is not None
    assert found.images == 12
    whole = typical_images(dataclasses.replace(data, images=tuple(second[1::2]), possible=data.possible[1::2]))
    assert found == whole


def test_what_is_held_out_is_not_looked_at(data: TrainingData) -> None:
    possible = torch.stack(data.possible)
    possible[:5] = 0
    found = typical_images(dataclasses.replace(data, possible=tuple(possible)))
    assert found == typical_images(dataclasses.replace(data, images=data.images[5:], possible=data.possible[5:]))


def test_volumes_and_odd_ones_out() -> None:
    data = parts.volumes(labelled=3, unlabelled=9)
    known = typical_images(data)
    assert known is not None
    typicality = Typicality(known)
    usual = [typicality.atypicality(appearance(slices_of(image))) for image in parts.volumes(unlabelled=9).images]
    assert max(usual) < 1.0
    assert typicality.atypicality(appearance(slices_of(data.images[0].round()))) > 1.0


def test_one_odd_image_among_many_does_not_decide_the_limit(data: TrainingData) -> None:
    """From a hundred images on a quantile is taken, and the odd one is pointed out itself."""
    generator = torch.Generator().manual_seed(0)
    images = torch.stack(data.images).repeat(5, 1, 1, 1)
    images = images + 0.2 * torch.randn(images.shape, generator=generator)
    possible = torch.stack(data.possible).repeat(5, 1, 1)
    usual = typical_images(dataclasses.replace(data, images=tuple(images), possible=tuple(possible)))
    images[7] = -images[7].abs()
    odd = typical_images(dataclasses.replace(data, images=tuple(images), possible=tuple(possible)))
    assert usual is not None
    assert odd is not None
    assert odd.limit < 1.5 * usual.limit
    assert Typicality(odd).atypicality(appearance(slices_of(images[7]))) > 1.0
