"""The samples in Slicer's Sample Data module: registered when Slicer has started, there, and segmented."""

from __future__ import annotations

import inspect
import types
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from house.trees import ROOT
from PIL import Image
from SemiSegCervicalLib import samples
from SlicerRig import application

ICONS = ROOT / "SemiSegCervical" / "Resources" / "Icons"


# The signature of Slicer 5.10 to 5.13; the module is not among what the headless Slicer has.
def register_as_slicer_does(
    category="Custom", sampleName=None, uris=None, fileNames=None, nodeNames=None, customDownloader=None,
    thumbnailFileName=None, loadFileType=None, loadFiles=None, loadFileProperties=None, checksums=None,
):  # fmt: skip
    return None


@pytest.fixture
def registered(monkeypatch) -> list[dict]:
    import sys

    made: list[dict] = []
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = types.SimpleNamespace(
        registerCustomSampleDataSource=lambda **told: made.append(
            inspect.signature(register_as_slicer_does).bind(**told).arguments
        )
    )
    monkeypatch.setitem(sys.modules, "SampleData", module)
    application.open_module("SemiSegCervical")
    application.start().startupCompleted.emit()
    # Slicer starts once; here every test that opened the module before has left a listener.
    yield list({source["sampleName"]: source for source in made}.values())
    application.close_module("SemiSegCervical")


def path_of(uri: str) -> Path:
    return Path(unquote(urlparse(uri).path))


def test_the_samples_are_registered_with_file_and_thumbnail(registered):
    assert [source["sampleName"] for source in registered] == [sample.title for sample in samples.SAMPLES]
    for source in registered:
        assert source["category"] == "SemiSeg"
        assert source["uris"].startswith("file:")
        assert path_of(source["uris"]).name == source["fileNames"]
        assert path_of(source["uris"]).is_file()
        with Image.open(source["thumbnailFileName"]) as picture:
            assert picture.size == (260, 280)
    picture, cine, head = registered
    assert picture["loadFileProperties"] == head["loadFileProperties"] == {"singleFile": True}
    assert cine["loadFileType"] == "SequenceFile"


def test_without_samples_nothing_is_registered(monkeypatch):
    monkeypatch.setattr(samples, "resource_folder", lambda kind: None)
    assert samples.sources(ICONS) == []


@pytest.mark.torch
def test_the_cine_sample_is_segmented_frame_by_frame(registered, monkeypatch, tmp_path):
    import slicer

    from SemiSegCervical import SemiSegCervicalLogic

    monkeypatch.setenv("SEMISEG_MODELS", str(tmp_path))
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "cine")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(str(path_of(registered[1]["uris"])))
    assert storage.ReadData(sequence)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "cine browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    logic = SemiSegCervicalLogic()
    try:
        record = logic.process(sequence, model="carotid", frames=[0, 7, 19])
    finally:
        logic.close()
    assert record.frames_table.GetNumberOfRows() == 3
    frame = sequence.GetNthIndexValue(7)
    assert frame == "571", "the number in the original video"
    assert (
        record.segmentation.GetDataNodeAtValue(frame).GetSegmentation().GetNthSegment(0).GetName()
        == "Common carotid artery"
    )


@pytest.mark.torch
def test_the_head_sample_is_measured_in_millimetres(registered, monkeypatch, tmp_path):
    import slicer
    from SemiSegCervicalLib.scene.record_figures import SIZES
    from SemiSegCervicalLib.scene.tables import cell

    from SemiSegCervical import SemiSegCervicalLogic

    monkeypatch.setenv("SEMISEG_MODELS", str(tmp_path))
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "head")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(path_of(registered[2]["uris"])))
    assert storage.ReadData(volume)
    logic = SemiSegCervicalLogic()
    try:
        record = logic.process(volume, model="fetal_head")
    finally:
        logic.close()
    # The published outline of this test image encloses 2520 square millimetres.
    assert cell(record.table, 0, SIZES["area"]) == pytest.approx(2520, rel=0.1)
