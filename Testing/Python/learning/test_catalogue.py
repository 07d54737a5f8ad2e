"""What panels say of the methods, against the methods themselves."""

from __future__ import annotations

import itertools
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from house.environment import with_libraries
from SemiSegTrainerLib import catalogue
from SemiSegTrainerLib.learning.method import get_method, method_names
from SemiSegTrainerLib.learning.preparation import RunOptions, prepare
from SemiSegTrainerLib.learning.training import Settings
from TrainingRig import cases


def test_every_method_is_listed_once():
    assert sorted(m.name for m in catalogue.METHODS) == method_names()


@pytest.mark.parametrize("text", catalogue.METHODS, ids=lambda t: t.name)
def test_what_is_said_of_its_needs_is_true_of_the_method(text):
    method = get_method(text.name)
    assert (text.needs_unlabelled, text.needs_modalities) == (method.uses_unlabelled, method.by_modality)
    assert catalogue.describe(text.name) is text


def test_what_is_proposed_fits():
    every = itertools.product((2, 3), (True, False), (1, 2), (False, True), (1, 10, 60, None))
    for *data, modalities, incomplete, minutes in every:
        data += [modalities]
        if modalities > 1 or not incomplete:
            assert catalogue.proposed(*data, minutes, incomplete).fits(*data, incomplete)
    assert not catalogue.describe("semi_cml").fits(2, True, 1)
    assert not catalogue.describe("cps").fits(3, False, 2)
    assert not catalogue.describe("cps").fits(3, True, 2, incomplete=True)


def test_what_needs_time_is_proposed_where_there_is_time():
    for dimensions, modalities, baseline in (
        (2, 1, "supervised"),
        (3, 1, "supervised"),
        (2, 2, "supervised_modalities"),
    ):
        ample = catalogue.proposed(dimensions, True, modalities)
        assert ample.needs_unlabelled
        assert catalogue.proposed(dimensions, True, modalities, ample.minutes) is ample
        assert catalogue.proposed(dimensions, True, modalities, ample.minutes - 0.1).name == baseline


def volumes(folder):
    rng = np.random.default_rng(0)
    label = np.zeros((16, 24, 24), np.uint8)
    label[4:12, 6:18, 6:18] = 1
    for name, array in (("a", rng.normal(size=label.shape).astype(np.float32) + label), ("a_label", label)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / f"{name}.nrrd"))
    lists = {"training": [{"image": "a.nrrd", "label": "a_label.nrrd", "slices": [4, 8]}], "unlabeled": []}
    return cases.write_datalist(folder, {"labels": {"0": "background", "1": "box"}, **lists})


@pytest.mark.parametrize(
    ("data", "minutes", "method"),
    [
        (cases.write_dataset, None, "cross_supervision"),
        (cases.write_dataset, 2.0, "supervised"),
        (lambda folder: cases.write_dataset(folder, unlabelled=0), None, "supervised"),
        (cases.write_modalities, None, "semi_cml"),
        (volumes, None, "dual_uncertainty"),
    ],
    ids=["pictures", "two minutes", "all annotated", "two modalities", "volumes annotated in part"],
)
def test_the_method_that_is_proposed_is_prepared_by_its_name(tmp_path, data, minutes, method):
    settings = Settings(iterations=None if minutes else 8, minutes=minutes)
    chosen = RunOptions(catalogue.PROPOSED, settings=settings, device="cpu", calibrate="none")
    assert prepare(data(tmp_path), chosen).method.name == method


def test_the_catalogue_needs_no_package(tmp_path):
    code = "import sys; from SemiSegTrainerLib import catalogue; sys.exit(bool({'torch', 'numpy'} & {*sys.modules}))"
    subprocess.run([sys.executable, "-c", code], env=with_libraries(), cwd=tmp_path, check=True)
