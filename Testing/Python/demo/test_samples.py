"""The shipped samples: small, attributed, and what the demo says of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("slicer", reason="the demo runs on slicer-core: pip install slicer-core")

from demo import plan
from demo.samples import read_samples
from demo.scene import strokes
from PIL import Image


def test_folder_is_small_and_holds_what_its_index_names():
    samples = read_samples(plan.SAMPLES)
    files = {path.name for path in plan.SAMPLES.iterdir()}
    images = (*samples.labelled, *samples.unlabelled, *samples.held_out)
    assert len(set(images)) == len(images) == len(samples.labelled) + len(samples.unlabelled) + len(samples.held_out)
    expected = {f"{name}.jpg" for name in images}
    expected |= {f"{name}_label.png" for name in (*samples.labelled, *samples.held_out)}
    assert files == expected | {"README.md", "samples.json"}
    assert sum(path.stat().st_size for path in plan.SAMPLES.iterdir()) < 4_000_000


def test_readme_gives_source_licence_changes_and_the_held_out_rule():
    text = (plan.SAMPLES / "README.md").read_text(encoding="utf-8")
    for words in ("10.5281/zenodo.16893174", "CC BY 4.0", "arXiv:2601.15572", "JPEG", "none may be"):
        assert words in text
    for name in json.loads((plan.SAMPLES / "samples.json").read_text(encoding="utf-8"))["held_out"]:
        assert f"`{name}`" in text


def test_every_image_is_grey_and_every_label_map_fits_it():
    samples = read_samples(plan.SAMPLES)
    for name in (*samples.labelled, *samples.held_out):
        with Image.open(samples.image_path(name)) as picture:
            assert picture.mode == "L"
            shape = (picture.height, picture.width)
        labels = samples.labels(name)
        assert labels.shape == shape
        assert set(np.unique(labels)) == {0, 1, 2}


def test_roles_cover_the_labelled_samples_once_and_no_held_out_one():
    roles = [*plan.OUTLINED, *plan.HALF_OUTLINED, *plan.SCRIBBLED, *plan.UNTOUCHED, *plan.CINE]
    assert sorted(roles) == sorted(read_samples(plan.SAMPLES).labelled)


def test_fewer_unlabelled_samples_are_spread_over_all():
    everything = read_samples(plan.SAMPLES).unlabelled
    some = read_samples(plan.SAMPLES, 4).unlabelled
    assert some == tuple(everything[i] for i in (0, 12, 24, 36))


@pytest.mark.parametrize("name", plan.SCRIBBLED)
def test_strokes_are_few_and_true(name):
    samples = read_samples(plan.SAMPLES)
    reference = samples.labels(name)
    painted = strokes(reference, samples.classes)
    outside = len(samples.classes) + 1
    assert set(np.unique(painted)) == {0, 1, 2, outside}
    for entry in samples.classes:
        assert (reference[painted == entry.value] == entry.value).all()
    assert (reference[painted == outside] == 0).all()
    assert (painted > 0).mean() < 0.12
