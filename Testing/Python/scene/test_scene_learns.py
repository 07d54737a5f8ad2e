"""What is said of a scene before a training is what the training then reads from its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer

pytest.importorskip("torch", reason="the learning layer runs on PyTorch")

from SemiSegCervicalLib.scene import pairs
from SemiSegCervicalLib.scene.classes import SegmentClass
from SemiSegCervicalLib.scene.nodes import nodes_of
from SemiSegTrainerLib.learning.data import read_sets
from SemiSegTrainerLib.learning.datalist import Entry, read_datalist
from SemiSegTrainerLib.scene import choices, marks
from SemiSegTrainerLib.scene.collect import collect_training_set
from SemiSegTrainerLib.scene.datalist import write_datalist
from SemiSegTrainerLib.scene.facts import Facts, gather_facts
from SemiSegTrainerLib.scene.modes import MODES, set_mode
from SemiSegTrainerLib.scene.split import Split, propose_split
from SlicerRig import scenes

Status = slicer.vtkSlicerSegmentationsModuleLogic
CLASSES = [SegmentClass(k, name, (1, 0, 0)) for k, name in ((1, "one"), (2, "two"), (3, "three"))]


def read(folder: Path) -> tuple[Facts, Split, dict[str, list[tuple[Entry, np.ndarray]]]]:
    """Write the open scene, and read it as a training does."""
    found = collect_training_set()
    split = propose_split(found)
    datalist = read_datalist(write_datalist(found, folder, split))
    shapes = {case.id: case.shape if case.shape[0] > 1 else case.shape[1:] for case in found.cases}
    sets = {
        name: [(entry, read_sets(entry, len(CLASSES) + 1, shapes[entry.id])) for entry in datalist[name]]
        for name in ("training", "unlabeled", "validation")
    }
    return gather_facts(found, split), split, sets


def check(facts: Facts, sets: dict[str, list[tuple[Entry, np.ndarray]]]) -> None:
    def voxels(name: str, value: int) -> int:
        return sum(int((known == 1 << value).sum()) for _, known in sets[name])

    for entry in facts.classes:
        assert entry.training_voxels == voxels("training", entry.value)
        assert entry.validation_voxels == voxels("validation", entry.value)
        assert entry.training_voxels
    assert facts.background_voxels == voxels("training", 0)
    read_by_training = [known for name in ("training", "unlabeled") for _, known in sets[name]]
    assert facts.open_voxels == sum(int(((known & (known - 1)) != 0).sum()) for known in read_by_training)
    assert (facts.training, facts.validation) == (len(sets["training"]), len(sets["validation"]))


def painted(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    made = np.zeros(shape, np.uint8)
    for value in (1, 2, 3):
        y, x = rng.integers(0, 10, 2)
        made[..., y : y + 6, x : x + 6] = value
    return made


@pytest.mark.parametrize("seed", range(4))
def test_volumes_in_every_mode(scene, tmp_path, seed):
    rng = np.random.default_rng(seed)
    count = int(rng.choice([1, 2, 5]))
    for number in range(count):
        shape = (int(rng.integers(20, 40)), 18, 18)
        volume = scenes.add_volume(rng.normal(size=shape).astype(np.float32), f"v{number}", np.diag([0.5, 0.5, 2, 1]))
        segmentation = scenes.add_segmentation(volume, painted(rng, shape), CLASSES)
        mode = str(rng.choice(MODES)) if number else "chosen"
        set_mode(segmentation, mode, sorted(int(k) for k in rng.choice(shape[0], 8, replace=False)))
        if number % 3 == 2:
            Status.SetSegmentStatus(segmentation.GetSegmentation().GetSegment("Segment_2"), Status.Flagged)
    scenes.add_volume(rng.normal(size=(20, 18, 18)).astype(np.float32), "plain", np.diag([0.5, 0.5, 2, 1]))
    facts, split, sets = read(tmp_path / "d")
    check(facts, sets)
    for entry, known in sets["training"]:
        held = split.held_out(entry.id)
        assert not known[list(held)].any(), "no voxel of what validates is any class's"
    for entry, known in sets["validation"]:
        slices = split.validation[entry.id]
        if slices is not None:
            elsewhere = np.setdiff1d(np.arange(len(known)), slices)
            assert (known[elsewhere] == 0b1111).all(), "nothing else is measured"


@pytest.mark.parametrize("cines", [1, 2, 4])
def test_frames_and_pictures(scene, tmp_path, cines):
    rng = np.random.default_rng(cines)
    for number in range(cines):
        length = int(rng.integers(20, 30))
        sequence, browser = scenes.add_cine(
            [rng.integers(0, 256, (18, 18), dtype=np.uint8) for _ in range(length)], f"cine {number}"
        )
        drawn = scenes.add_drawn_sequence(sequence, browser, f"drawn {number}")
        for frame in rng.choice(length, 6, replace=False):
            value = sequence.GetNthIndexValue(int(frame))
            scenes.draw_frame(drawn, sequence, value, painted(rng, (18, 18)), CLASSES)
            marks.accept_frame(drawn, value, ["Segment_1", "Segment_2"] if frame % 3 == 0 else None)
    facts, split, sets = read(tmp_path / "d")
    check(facts, sets)
    assert facts.dropped == len(split.dropped)
    assert {e.id for name in ("training", "unlabeled") for e, _ in sets[name]}.isdisjoint(split.validation)


def test_folders_and_pairs(scene, tmp_path):
    rng = np.random.default_rng(0)
    for number in range(4):
        first, second = (
            scenes.add_volume(rng.normal(size=(12, 18, 18)).astype(np.float32), f"{name} {number}")
            for name in ("a", "b")
        )
        pairs.pair(first, second, ("T1", "FLAIR"))
        if number:
            scenes.add_segmentation(first, painted(rng, (12, 18, 18)), CLASSES)
    write_datalist(collect_training_set(), tmp_path / "outside")
    for node in nodes_of(scene, "vtkMRMLSegmentationNode")[1:]:
        scene.RemoveNode(node)
    choices.add_folder(str(tmp_path / "outside"))
    facts, _, sets = read(tmp_path / "d")
    check(facts, sets)
    assert facts.modalities == 2
    every: list[Any] = [entry for name in sets for entry, _ in sets[name]]
    assert {len(entry.images) for entry in every} == {2}
    assert any(entry.images[0].is_relative_to(tmp_path / "outside") for entry in every)
