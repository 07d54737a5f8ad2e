"""Several patients at once, each with an image in two modalities."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
from SemiSegCervicalLib.scene.pairs import pair, set_modality
from SemiSegCervicalLib.scene.records import find_records
from SlicerRig import application, scenes
from TrainingRig import cases

NAME, RESULT, DICE = range(3)


@pytest.fixture
def both(opened: Callable[..., Any], trained: Path, models: Path, picture: Any) -> Callable[..., SimpleNamespace]:
    """Return what opens the panel with a model of two modalities, a branch for each, and images of these names."""
    with zipfile.ZipFile(trained) as archive, zipfile.ZipFile(models / "both.semiseg", "w") as copy:
        for name in archive.namelist():
            data = archive.read(name)
            if name == "model.json":
                description = json.loads(data)
                description["input"]["modalities"] = ["FLAIR", "T1"]
                description["branches"][1]["modalities"] = [1]
                data = json.dumps(description).encode()
            copy.writestr(name, data)

    def make(*names: str) -> SimpleNamespace:
        volumes = {name: picture(seed, name) for seed, name in enumerate(names)}
        module = opened()
        module.ui.batchButton.collapsed = False
        application.process_events(0.1)
        (second,) = module.panel.inputs._selectors

        def choose(flair: Any, t1: Any) -> None:
            module.choose(flair)
            second.setCurrentNode(t1)
            application.process_events(0.1)

        return SimpleNamespace(module=module, ui=module.ui, panel=module.panel, volumes=volumes, choose=choose)

    return make


def rows(ui: Any) -> list[tuple[str, str]]:
    table = ui.batchTable
    return [tuple(table.item(row, column).text() for column in (NAME, RESULT)) for row in range(table.rowCount)]


def segment_all(on: SimpleNamespace) -> None:
    assert on.ui.batchStartButton.enabled, on.ui.batchStartButton.toolTip
    application.click(on.ui.batchStartButton)
    on.module.until(lambda: not on.panel.state().busy)
    application.process_events(0.1)


def voxels(segmentation: Any) -> np.ndarray:
    ids = segmentation.GetSegmentation().GetSegmentIDs()
    return np.stack([slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, name) for name in ids])


def test_the_images_of_one_patient_tell_those_of_the_others(both: Any, pictures: Path) -> None:
    on = both("Ann FLAIR", "Ann T1", "Bob T1", "Bob FLAIR", "Cy FLAIR")
    ui, volumes = on.ui, on.volumes
    assert ui.batchButton.isVisible()
    assert rows(ui) == []
    assert not ui.batchStartButton.enabled
    assert "Not listed: 5 images. Choose the images of one patient above" in ui.batchInfoLabel.text
    on.choose(volumes["Ann FLAIR"], volumes["Ann T1"])
    assert rows(ui) == [("Ann FLAIR + Ann T1", "none"), ("Bob FLAIR + Bob T1", "none")]
    assert ui.batchStartButton.text == "Segment 2 cases"
    assert "Not listed: 1 image." in ui.batchInfoLabel.text
    application.screenshot(on.module.widget.parent, pictures / "batch-modalities.png")
    segment_all(on)
    assert rows(ui) == [("Ann FLAIR + Ann T1", "done"), ("Bob FLAIR + Bob T1", "done")]
    assert "All 2 images are segmented." in ui.messageLabel.text
    ann, bob = find_records(slicer.mrmlScene)
    assert [record.source for record in (ann, bob)] == [volumes["Ann FLAIR"], volumes["Bob FLAIR"]]
    # A double click chooses both images of a patient, and Apply then gives the same.
    ui.batchTable.cellActivated(1, NAME)
    application.process_events(0.2)
    assert on.panel.inputs.nodes() == {0: volumes["Bob FLAIR"], 1: volumes["Bob T1"]}
    assert [name for name, _ in rows(ui)] == ["Ann FLAIR + Ann T1", "Bob FLAIR + Bob T1"]
    alone = on.module.run().record
    assert np.array_equal(voxels(alone.segmentation), voxels(bob.segmentation))
    on.choose(volumes["Bob FLAIR"], None)
    one = on.module.run().record
    assert not np.array_equal(voxels(one.segmentation), voxels(bob.segmentation)), "the second image counts"


def test_what_was_paired_for_a_training_is_known(both: Any) -> None:
    on = both("a", "b", "c", "d", "e", "f")
    made = list(on.volumes.values())
    pair(made[1], made[0], ("t1", "Flair"))
    pair(made[2], made[3], ("FLAIR", "T1"))
    set_modality(made[4], "T1")
    on.panel.changed()  # as when the module is opened again
    application.process_events(0.1)
    assert [name for name, _ in rows(on.ui)] == ["a + b", "c + d", "e"]
    on.choose(made[2], None)
    assert [name for name, _ in rows(on.ui)] == ["a + b", "c + d", "e"], "its partner may be chosen next"
    on.choose(made[5], None)
    assert [name for name, _ in rows(on.ui)] == ["a + b", "c + d", "e", "f"]
    on.choose(made[2], made[5])
    assert [name for name, _ in rows(on.ui)] == ["a + b", "c + f", "e"], "what is chosen counts"
    on.choose(None, None)
    segment_all(on)
    assert [record.source for record in find_records(slicer.mrmlScene)] == [made[0], made[2], made[4]]


def test_who_lacks_an_image_in_the_end_is_passed_over(both: Any) -> None:
    on = both("Ann FLAIR", "Ann T1", "Bob FLAIR", "Bob T1", "Cy FLAIR", "Cy T1")
    on.choose(on.volumes["Ann FLAIR"], on.volumes["Ann T1"])
    application.click(on.ui.batchStartButton)
    slicer.mrmlScene.RemoveNode(on.volumes["Bob T1"])
    on.module.until(lambda: not on.panel.state().busy)
    assert [record.source.GetName() for record in find_records(slicer.mrmlScene)] == ["Ann FLAIR", "Cy FLAIR"]


def test_cines_are_paired_too(both: Any) -> None:
    on = both()
    for name in ("Ann FLAIR", "Ann T1", "Bob FLAIR", "Bob T1"):
        drawn = [cases.draw(seed) for seed in range(3)]
        scenes.add_cine([frame for frame, _ in drawn], name, np.diag([-0.5, -0.5, 1.0, 1.0]))
    shown = {node.GetName(): node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")}
    assert len(shown) == 4
    on.choose(shown["Ann FLAIR"], shown["Ann T1"])
    assert [name for name, _ in rows(on.ui)] == ["Ann FLAIR + Ann T1", "Bob FLAIR + Bob T1"]
    segment_all(on)
    records = find_records(slicer.mrmlScene)
    assert [record.shown_source for record in records] == [shown["Ann FLAIR"], shown["Bob FLAIR"]]
    assert [record.segmentation.GetNumberOfDataNodes() for record in records] == [3, 3]
