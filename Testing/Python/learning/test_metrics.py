"""Metrics tell failures from good results, and count only what the reference decides."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from PIL import Image
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import SegmentClass
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.learning.datalist import Entry, read_datalist
from SemiSegTrainerLib.learning.evaluation import compare_labels, evaluate_model, nan_mean, summarise
from SemiSegTrainerLib.learning.metrics import compare
from SemiSegTrainerLib.learning.targets import Completeness
from TrainingRig import cases, parts

CLASSES = tuple(SegmentClass(value=v, name=n, color=(1, 0, 0)) for v, n in ((1, "one"), (2, "two")))


def box(size, *corners):
    mask = np.zeros(size, dtype=bool)
    for low, high in corners:
        mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def test_perfect_and_shifted():
    a = box((20, 30), ((5, 5), (15, 15)))
    perfect = compare(a, a, (1.0, 1.0))
    assert (perfect.dice, perfect.hd95, perfect.assd, perfect.failed, perfect.voxels) == (1.0, 0.0, 0.0, False, 100)
    shifted = compare(np.roll(a, 3, axis=1), a, (1.0, 1.0))
    assert shifted.dice == pytest.approx(0.7)
    assert shifted.hd95 == pytest.approx(3.0)


def test_missed_island_costs_in_both_directions():
    """A one-sided distance from prediction to reference would be 0."""
    both = box((40, 40), ((2, 2), (10, 10)), ((30, 30), (38, 38)))
    one = box((40, 40), ((2, 2), (10, 10)))
    for prediction, reference in ((one, both), (both, one)):
        figures = compare(prediction, reference, None)
        assert figures.hd95 > 20
        assert figures.assd > 5
        assert figures.dice == pytest.approx(2 / 3)
        assert not figures.failed


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_volume_of_one_slice_is_measured_as_that_slice(axis):
    """Its outline is the surface: all of its voxels lie at the border of the volume."""
    one, other = box((40, 50), ((5, 5), (30, 35))), box((40, 50), ((9, 5), (34, 35)))
    spacing = (2.0, 0.5)
    picture = compare(one, other, spacing)
    assert picture.hd95 == 8
    thick = (*spacing[:axis], 30.0, *spacing[axis:])
    assert compare(np.expand_dims(one, axis), np.expand_dims(other, axis), thick) == picture
    assert compare(one[None], other[None], None) == compare(one, other, None)


@pytest.mark.parametrize("swap", [False, True])
def test_one_empty_mask_is_a_failure_without_a_distance(swap):
    some, none = box((20, 20), ((5, 5), (9, 9))), np.zeros((20, 20), dtype=bool)
    figures = compare(some, none, (1.0, 1.0)) if swap else compare(none, some, (1.0, 1.0))
    assert figures.failed
    assert figures.dice == 0.0
    assert math.isnan(figures.hd95)
    assert math.isnan(figures.assd)


def test_two_empty_masks_are_neither_good_nor_failed():
    none = np.zeros((20, 20), dtype=bool)
    figures = compare(none, none, None)
    assert not figures.failed
    assert all(map(math.isnan, (figures.dice, figures.hd95, figures.assd)))


@pytest.mark.parametrize("size", [(20, 40), (6, 20, 40)])
def test_distances_are_in_mm(size):
    """Shifts along axes of different spacing; in volumes the slices are thickest."""
    spacing = (4.0, 0.5, 2.0)[-len(size) :]
    low, high = (1, 5, 10)[-len(size) :], (4, 12, 20)[-len(size) :]
    a = box(size, (low, high))
    for axis, step in enumerate(spacing):
        shifted = compare(np.roll(a, 1, axis=axis), a, spacing)
        assert shifted.hd95 == pytest.approx(step)
        assert 0 < shifted.assd <= step
        assert compare(np.roll(a, 1, axis=axis), a, None).hd95 == pytest.approx(1.0)


@pytest.mark.parametrize("thick", [1, 6])
def test_distances_are_those_of_the_structures_box(thick):
    """In a volume many times as large they take neither the time nor the memory of it."""
    rng = np.random.default_rng(thick)
    small = [rng.random((thick, 14, 12)) < share for share in (0.1, 0.3)]
    volumes = [np.pad(mask, ((9, 20), (0, 90), (70, 0))) for mask in small]
    beside = [np.pad(mask, 1) for mask in small]
    with torch.profiler.profile(profile_memory=True) as torchs:
        figures = compare(*volumes, (3.0, 0.8, 0.9))
    assert figures == compare(*beside, (3.0, 0.8, 0.9))
    assert max(event.self_cpu_memory_usage for event in torchs.events()) < volumes[0].size


def test_only_decided_voxels_count():
    reference = box((20, 20), ((5, 5), (9, 9)))
    prediction = reference | box((20, 20), ((12, 12), (18, 18)))
    decided = ~box((20, 20), ((11, 11), (19, 19)))
    figures = compare(prediction, reference, None, decided)
    assert figures.dice == 1.0
    assert math.isnan(figures.hd95), "a surface cut off by the unknown has no distance"


def entry(tmp_path, labels, **told):
    Image.fromarray(labels.astype(np.uint8)).save(tmp_path / "reference.png")
    path = tmp_path / "reference.png"
    return Entry("case", (path,), path, "file", Completeness(**told), None)


def test_unfinished_segment_is_not_judged(tmp_path):
    labels = np.zeros((20, 20), dtype=int)
    labels[2:8, 2:8] = 1
    prediction = labels.copy()
    prediction[12:18, 12:18] = 2
    finished = compare_labels(prediction, entry(tmp_path, labels), CLASSES, None)
    assert finished.segments["two"].failed
    assert finished.dice == pytest.approx(0.5)
    unfinished = compare_labels(prediction, entry(tmp_path, labels, segments=(1,)), CLASSES, None)
    assert unfinished.segments["one"].dice == 1.0
    assert not math.isnan(unfinished.segments["one"].hd95)
    assert not unfinished.segments["two"].failed
    assert unfinished.dice == 1.0


def test_many_segments_of_a_large_volume_are_compared_one_by_one(tmp_path):
    labels = np.zeros((40, 100, 100), dtype=np.uint8)
    for value in range(1, 31):
        labels[:, 3 * value : 3 * value + 2] = value
    classes = [SegmentClass(value=c, name=f"part {c}", color=(1.0, 0.0, 0.0)) for c in range(1, 31)]
    sitk.WriteImage(sitk.GetImageFromArray(labels), str(tmp_path / "label.nrrd"))
    target = Entry("case", (tmp_path / "label.nrrd",), tmp_path / "label.nrrd", "file", Completeness(), None)
    tracemalloc.start()
    with torch.profiler.profile(profile_memory=True) as torchs:  # its memory is not traced
        figures = compare_labels(labels, target, classes, None, distances=False)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert figures.dice == 1.0
    most += sum(max(0, event.self_cpu_memory_usage) for event in torchs.events())
    assert most < 30 * labels.size, "bytes of a voxel: of the map as it is read and of its sets, not of every class"


def test_a_segment_that_nobody_has_outlined_has_no_figures(tmp_path):
    """That it is not where another one was painted is all that is known: any such voxel would make its Dice 0."""
    labels = np.zeros((20, 20), dtype=int)
    labels[2:8, 2:8] = 1
    prediction = labels.copy()
    prediction[2, 2:8] = 2
    unfinished = compare_labels(prediction, entry(tmp_path, labels, segments=(1,)), CLASSES, None)
    assert math.isnan(unfinished.segments["two"].dice)
    assert not unfinished.segments["two"].failed
    assert unfinished.dice == unfinished.segments["one"].dice == pytest.approx(2 * 30 / (30 + 36))
    for told in ({}, {"segments": (2,)}, {"complete": False, "background": 3}):
        labels[15, 15] = 3 * ("background" in told)  # somebody says that it is not there
        absent = compare_labels(prediction, entry(tmp_path, labels, **told), CLASSES, None)
        assert absent.segments["two"].dice == 0.0
        assert absent.segments["two"].failed


def test_labels_outside_the_class_list(tmp_path):
    labels = np.zeros((20, 20), dtype=int)
    with pytest.raises(SemiSegError) as caught:
        compare_labels(labels + 3, entry(tmp_path, labels), CLASSES, None)
    assert caught.value.code == "unknown-label"
    with pytest.raises(SemiSegError, match=r"reference\.png"):
        compare_labels(labels, entry(tmp_path, labels + 7), CLASSES, None)


def test_summary_counts_failures_and_holds_no_nan(tmp_path):
    labels = np.zeros((20, 20), dtype=int)
    labels[2:8, 2:8] = 1
    target = entry(tmp_path, labels)
    figures = [compare_labels(p, target, CLASSES, None) for p in (labels, np.zeros_like(labels))]
    nothing = entry(tmp_path, np.zeros_like(labels))
    figures.append(compare_labels(np.zeros_like(labels), nothing, CLASSES, None))
    summary = summarise(figures)
    assert summary["cases_count"] == 3
    assert summary["dice_cases"] == 2, "of nothing, in which nothing is found, there is no Dice"
    assert summary["failures"] == 1
    assert summary["dice"] == pytest.approx(0.5)
    assert summary["segments"]["one"]["dice"] == pytest.approx(0.5)
    assert summary["segments"]["one"]["hd95"] == 0.0
    assert summary["segments"]["two"]["dice"] is None
    assert "nan" not in repr(summary).lower()
    assert math.isnan(nan_mean([float("nan")]))


def test_model_is_evaluated_on_every_labelled_entry(tmp_path):
    datalist = read_datalist(cases.write_dataset(tmp_path, test=2))
    said = []
    entries = (*datalist["unlabeled"], *datalist["test"])
    figures = evaluate_model(Predictor(parts.pack(), "cpu"), entries, progress=lambda *a: said.append(a))
    assert [f.case for f in figures] == ["test0", "test1"]
    assert said == [(1, 2), (2, 2)]
