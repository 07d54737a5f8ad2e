"""The grid of a new model follows the images' proportions and the size of what is annotated."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegTrainerLib.learning.datalist import read_datalist
from SemiSegTrainerLib.learning.planning import (
    PIXELS_CPU,
    PIXELS_LEAST,
    between_planes,
    network_size,
    plan_branches,
    plan_input,
    structure_size,
)
from TrainingRig import dicom


@pytest.mark.parametrize(("shape", "pixels"), [((336, 544), 41_000), ((20, 2000), 41_000), ((90, 80, 70), 300_000)])
def test_network_size_keeps_proportions(shape, pixels):
    size = network_size(shape, pixels)
    assert all(n % 32 == 0 for n in size)
    for n, s in zip(size, shape, strict=True):
        scale = (pixels / torch.tensor(shape).prod()) ** (1 / len(shape))
        assert abs(n - max(32, s * min(1, scale))) <= 16


def squares(side, count, size=(400, 640)):
    """Label map with `count` squares of class 1 and one larger of class 2."""
    labels = np.zeros(size, dtype=np.uint8)
    for i in range(count):
        labels[5 : 5 + side, 5 + i * (side + 3) : 5 + i * (side + 3) + side] = 1
    labels[-side - 10 :, -side - 10 :] = 2
    return labels


def test_structure_size_is_that_of_the_smaller_class():
    assert structure_size([squares(20, 3), squares(30, 2)], (1, 2)) == pytest.approx(20.0)
    assert structure_size([np.zeros((8, 8), dtype=int)], (1, 2)) is None
    other = np.array([[-1, 0, 255], [3, 3, 1], [2**40, 0, 0]])  # values of nobody's classes
    assert structure_size([other], (1, 2)) == 1.0
    assert structure_size([other], (2,)) is None


@pytest.mark.parametrize(("side", "pixels"), [(12, PIXELS_CPU), (100, 400 * 640 * 0.32**2), (140, PIXELS_LEAST)])
def test_small_structures_get_a_finer_grid(tmp_path, side, pixels):
    datalist = write(tmp_path, squares(side, 2))
    assert plan_input(datalist, None, None, gpu=False).size == network_size((400, 640), pixels)


@pytest.mark.parametrize(
    ("shape", "size"), [((28, 28), (64, 64)), ((47, 40), (64, 64)), ((20, 47), (32, 64)), ((60, 16), (64, 32))]
)
def test_thumbnails_get_a_grid_that_the_networks_can_halve(tmp_path, shape, size):
    labels = np.zeros(shape, dtype=np.uint8)
    labels[4:12, 4:12] = 1
    spec = plan_input(write(tmp_path, labels), None, None, gpu=False)
    parts, reads = plan_branches(spec, False, None)
    assert spec.size == size
    assert all(
        Branch(name, args, len(mine), 2).takes(spec.size) for (name, args), mine in zip(parts, reads, strict=True)
    )


def test_strokes_do_not_count(tmp_path):
    datalist = write(tmp_path, squares(140, 2), squares(3, 8))
    assert plan_input(datalist, None, None, gpu=False).size == network_size((400, 640), PIXELS_LEAST)


@pytest.mark.parametrize("planes", [range(64), range(2, 64, 4), range(1, 64, 8)])
@pytest.mark.parametrize("painted", ["everything", "planes", "planes, cropped"])
def test_annotated_planes_are_planned_for_as_the_whole_structure(tmp_path, planes, painted):
    """As flat things of their own they would be small, and ask for the finest voxels."""
    z, y, x = np.ogrid[:64, :96, :96]
    labels = ((z - 32) ** 2 + (y - 48) ** 2 + (x - 48) ** 2 < 28**2).astype(np.uint8)
    for name, array in (("image", labels.astype(np.float32)), ("label", labels), ("some", labels.copy())):
        if name == "some":
            array[np.setdiff1d(np.arange(64), planes)] = 0
        image = sitk.GetImageFromArray(array)
        if name == "some" and painted.endswith("cropped"):  # the planes are those of the image all the same
            image = image[20:76, 20:76, 5:60]
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))

    def plan(label, **more):
        entry = {"image": "image.nrrd", "label": f"{label}.nrrd", **more}
        (tmp_path / "datalist.json").write_text(json.dumps({"labels": {"1": "a"}, "training": [entry]}))
        return plan_input(read_datalist(tmp_path / "datalist.json"), None, None, gpu=False)

    whole = plan("label")
    assert whole.spacing == (1.375, 1.375, 1.375)
    part = plan("label" if painted == "everything" else "some", slices=list(planes))
    assert part.spacing == pytest.approx(whole.spacing, abs=0.13)


@pytest.mark.parametrize("kind", ["nrrd", "nii.gz", "dicom"])
def test_voxels_are_those_of_most_volumes(tmp_path, kind):
    """Whichever comes first; what lies otherwise counts along the body's axes, and what has no spacing not at all."""
    entries = []
    for number, lengths in enumerate([(5.0, 0.5, 0.5), (1.0, 0.75, 0.75), (1.0, 0.75, 0.75), (1.0, 0.75, 0.75)]):
        volume = np.arange(12 * 20 * 24, dtype=np.int16).reshape(12, 20, 24)
        path = tmp_path / f"{number}.{kind}"
        if kind == "dicom":
            path.mkdir()
            dicom.write_slices(path, volume, np.diag([*lengths[::-1], 1.0]))
        else:
            image = sitk.GetImageFromArray(volume)
            image.SetSpacing(lengths[::-1])
            sitk.WriteImage(sitk.PermuteAxes(image, [2, 0, 1]) if number == 1 else image, str(path))
        entries.append({"image": path.name})
    labels = sitk.GetImageFromArray(np.ones((12, 20, 24), dtype=np.uint8))
    sitk.WriteImage(labels, str(tmp_path / "label.nrrd"))
    entries[0]["label"] = "label.nrrd"
    entries[3]["spacing"] = None

    def spacing():
        (tmp_path / "datalist.json").write_text(json.dumps({"labels": {"1": "a"}, "training": entries}))
        return plan_input(read_datalist(tmp_path / "datalist.json"), None, None, gpu=False).spacing

    assert spacing() == pytest.approx((1.0, 0.75, 0.75))
    entries[1:] = [{"image": f"missing.{kind}"}]  # whoever reads it will say so
    assert spacing() == pytest.approx((5.0, 0.5, 0.5))


def test_between_planes_structures_go_on():
    labels = np.zeros((12, 2, 2), dtype=int)
    labels[3], labels[7] = 1, 2
    filled = between_planes(labels, (7, 3, 99))
    assert filled[:, 0, 0].tolist() == [0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0]
    assert np.array_equal(between_planes(labels, (3,)), labels[3])
    assert between_planes(labels, ()) is labels


@pytest.mark.parametrize("axes", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("calibrated", [True, False])
def test_voxels_and_window_follow_the_body_however_a_volume_is_stored(tmp_path, axes, calibrated):
    """Of sagittal and coronal slices, too, what is thick stays thick, and nothing else becomes so."""
    labels = np.zeros((64, 72, 20), dtype=np.uint8)  # from below, from the front, from right to left
    labels[20:40, 20:40, 5:15] = 1
    place = np.zeros((3, 3))
    for stored, axis in enumerate(axes):
        place[2 - axis, 2 - stored] = 1
    for name, array in (("image", labels.astype(np.float32)), ("label", labels)):
        image = sitk.GetImageFromArray(np.ascontiguousarray(array.transpose(axes)))
        image.SetSpacing([(1.0, 1.25, 4.0)[axis] for axis in reversed(axes)])
        image.SetDirection(place.ravel().tolist())
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
    entry = {"image": "image.nrrd", "label": "label.nrrd", **({} if calibrated else {"spacing": None})}
    (tmp_path / "datalist.json").write_text(json.dumps({"labels": {"1": "a"}, "training": [entry]}))
    spec = plan_input(read_datalist(tmp_path / "datalist.json"), None, None, gpu=False)
    assert spec.spacing == ((1.0, 1.25, 4.0) if calibrated else None)
    assert spec.size == (64, 72, 16)


def write(folder, outlined, strokes=None):
    training = []
    for name, labels in (("outlined", outlined), ("strokes", strokes)):
        if labels is not None:
            Image.fromarray(labels).save(folder / f"{name}_label.png")
            Image.fromarray(labels * 90).save(folder / f"{name}.png")
            training.append({"image": f"{name}.png", "label": f"{name}_label.png", "complete": name == "outlined"})
    content = {"modality": {"0": "us"}, "labels": {"0": "background", "1": "a", "2": "b"}, "training": training}
    (folder / "datalist.json").write_text(json.dumps(content))
    return read_datalist(folder / "datalist.json")
