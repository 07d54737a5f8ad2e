"""The section Export: every format is written and read again, and nothing is replaced without asking."""

from __future__ import annotations

import csv
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import slicer
from SemiSegCervicalLib.pieces import whole
from SemiSegCervicalLib.scene import stored
from SemiSegCervicalLib.scene.export import table_files_in_pieces
from SemiSegCervicalLib.scene.record_figures import atypicality_of, segments_of, set_segments
from SlicerRig import application, scenes
from SlicerRig.dicom_database import DICOMDatabase
from SlicerRig.records import cine_record, labels_of, stack_record, volume_record
from TrainingRig import dicom

SHAPE = (6, 30, 40)


class Asked:
    """Answers in the place of a person, and remembers what was asked."""

    def __init__(self, section: Any) -> None:
        self.target, self.replace = "", False
        self.folder = ""
        self.proposals: list[str] = []
        self.filters: list[str] = []
        self.files: list[list[Path]] = []
        section.choose, section.confirm = self._choose, self._confirm
        section.choose_folder = lambda title, proposal: self.folder

    def _choose(self, title: str, proposal: str, files: str) -> str:
        self.proposals.append(proposal)
        self.filters.append(files)
        return self.target

    def _confirm(self, files: list[Path]) -> bool:
        self.files.append(files)
        return self.replace


@pytest.fixture
def asked(panel) -> Asked:
    return Asked(panel.export)


def save(ui: Any, part: str, ending: str = "") -> None:
    """Save a part in the format with this ending, and wait until it is written."""
    begin(ui, part, ending)
    assert application.wait_until(lambda: not writing(ui), 60), "it is written for ever"


def writing(ui: Any) -> bool:
    """Whether the panel says that a file is being written."""
    return "Wait until the file is written" in ui.tableExportButton.toolTip


def begin(ui: Any, part: str, ending: str = "") -> None:
    combo = getattr(ui, f"{part}FormatComboBox")
    choices = [combo.itemText(i) for i in range(combo.count)]
    combo.setCurrentIndex(next(i for i, text in enumerate(choices) if f"({ending}" in text))
    application.click(getattr(ui, f"{part}ExportButton"))


def array(path: Path) -> np.ndarray:
    node = slicer.vtkMRMLScalarVolumeNode()
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return slicer.util.arrayFromVolume(node)


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nrrd", ".nii.gz"])
def test_the_segmentation_of_a_volume(panel, ui, asked, tmp_path, ending):
    volume_record(SHAPE)
    application.process_events(0.1)
    asked.target = str(tmp_path / f"result{ending}")
    save(ui, "segmentation", ending)
    assert asked.filters[0].endswith(f"(*{ending})")
    path = tmp_path / f"result{ending}"
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert str(path) in ui_message(panel)
    if ending == ".seg.nrrd":
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
        storage = slicer.vtkMRMLSegmentationStorageNode()
        storage.SetFileName(str(path))
        assert storage.ReadData(node)
        content = node.GetSegmentation()
        assert [content.GetNthSegment(i).GetName() for i in range(2)] == ["anterior lip", "posterior lip"]
    else:
        found = array(path)
        assert sorted(np.bincount(found.ravel())) == sorted(np.bincount(labels_of(SHAPE).ravel()))


def add_segment(segmentation: Any, name: str) -> None:
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segmentation.GetSegmentation().AddSegment(segment)


@pytest.mark.parametrize("ending", [".seg.nrrd", ".nrrd", ".nii.gz"])
def test_segments_that_a_label_map_cannot_hold_are_named(panel, ui, asked, tmp_path, ending):
    record = volume_record(SHAPE)
    add_segment(record.segmentation, "cyst")
    application.process_events(0.1)
    path = tmp_path / f"result{ending}"
    asked.target = str(path)
    save(ui, "segmentation", ending)
    if ending == ".seg.nrrd":
        assert ui_message(panel) == f"Saved: {path}."
        return
    assert ui_message(panel) == (
        f"Saved: {path}. Left out, as the model has no such class: cyst. Rename it, or save as .seg.nrrd."
    )
    assert "#fff3cd" in panel.ui.messageFrame.styleSheet  # amber, as other warnings
    segment = record.segmentation.GetSegmentation().GetNthSegment(0)
    segment.SetTerminology("")
    segment.SetName("corrected lip")
    asked.replace = True
    save(ui, "segmentation", ending)
    assert "class: corrected lip, cyst. Rename them, or" in ui_message(panel)


def test_segments_that_the_label_maps_of_a_cine_cannot_hold_are_named(panel, ui, asked, tmp_path):
    record, _ = cine_record({1: 0.1, 2: 0.3}, 5)
    for number in range(2):
        add_segment(record.segmentation.GetNthDataNode(number), "cyst")
    application.process_events(0.1)
    asked.target = str(tmp_path / "s.seq.nrrd")
    save(ui, "segmentation", ".seq.nrrd")
    assert ui_message(panel).endswith("no such class: cyst. Rename it, or save as .seq.mrb.")
    asked.target = str(tmp_path / "s.seq.mrb")
    save(ui, "segmentation", ".seq.mrb")
    assert ui_message(panel) == f"Saved: {tmp_path / 's.seq.mrb'}."


def dicom_volume(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Add a volume as Slicer loads it from DICOM files, which its database knows."""
    affine = np.diag([0.5, 0.5, 2.0, 1.0])
    series = dicom.write_slices(folder, np.zeros(SHAPE, np.uint16), affine, frame_of_reference="1.2.9")
    files = {str(pydicom.dcmread(path).SOPInstanceUID): path for path in series.iterdir()}
    monkeypatch.setattr(slicer, "dicomDatabase", DICOMDatabase(files), raising=False)
    volume = scenes.add_volume(np.full(SHAPE, 90, np.uint8), "CT", np.diag([-0.5, -0.5, 2.0, 1.0]))
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(files))
    return volume


def test_the_segmentation_of_a_volume_from_dicom_is_offered_as_dicom_seg(panel, ui, asked, tmp_path, monkeypatch):
    volume = dicom_volume(tmp_path / "ct", monkeypatch)
    application.process_events(0.1)
    plain = volume_record(SHAPE, "MR")
    application.process_events(0.1)
    offered = [ui.segmentationFormatComboBox.itemText(i) for i in range(ui.segmentationFormatComboBox.count)]
    assert not any("DICOM" in title for title in offered), "its image is not from DICOM"
    record = volume_record(SHAPE, "CT", source=volume)
    add_segment(record.segmentation, "cyst")
    application.process_events(0.1)
    asked.target = str(tmp_path / "result")
    save(ui, "segmentation", ".dcm")
    assert asked.filters[-1] == "DICOM SEG (*.dcm)"
    assert ui_message(panel) == f"Saved: {tmp_path / 'result.dcm'}."  # it holds segments of other classes too
    found = pydicom.dcmread(tmp_path / "result.dcm")
    assert [item.SegmentLabel for item in found.SegmentSequence] == ["anterior lip", "posterior lip", "cyst"]
    labels = np.zeros(SHAPE, np.uint8)
    for number, place, mask, _ in dicom.read_segmentation(tmp_path / "result.dcm"):
        labels[round(place[2] / 2)][mask] = number
    np.testing.assert_array_equal(labels, labels_of(SHAPE))
    monkeypatch.setattr(slicer, "dicomDatabase", DICOMDatabase({}))
    asked.target = str(tmp_path / "again.dcm")
    save(ui, "segmentation", ".dcm")
    assert "not in the DICOM database any more" in ui_message(panel)
    assert "Import them again" in ui_message(panel)
    assert not (tmp_path / "again.dcm").exists()
    assert plain.exists


def ui_message(panel: Any) -> str:
    return str(panel.ui.messageLabel.text)


def test_uncertainty_and_table_of_a_volume(panel, ui, asked, tmp_path):
    volume_record(SHAPE)
    application.process_events(0.1)
    asked.target = str(tmp_path / "doubt.nii.gz")
    save(ui, "uncertainty", ".nii.gz")
    np.testing.assert_array_equal(array(tmp_path / "doubt.nii.gz"), np.full(SHAPE, 60))
    asked.target = str(tmp_path / "numbers.csv")
    save(ui, "table", ".csv")
    with open(tmp_path / "numbers.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["Segment", "Voxels", "Volume (mm3)", "Mean uncertainty (%)", "Predicted Dice"],
        ["anterior lip", "12345", "1200.5", "12.0", "0.934"],
        ["posterior lip", "80", "20.0", "31.0", ""],
    ]


def test_the_table_of_an_image_unlike_the_training_says_so(panel, ui, asked, tmp_path):
    record = volume_record(SHAPE)
    set_segments(record, segments_of(record), "volume", atypicality=1.25)
    application.process_events(0.1)
    asked.target = str(tmp_path / "numbers.csv")
    save(ui, "table", ".csv")
    with open(tmp_path / "numbers.csv", encoding="utf-8-sig", newline="") as file:
        titles, *rows = csv.reader(file)
    assert titles[-1] == "Atypicality (beyond 1 unlike the training)"
    assert [row[-1] for row in rows] == ["1.25"] * 2
    assert atypicality_of(record) == 1.25


def test_formats_are_not_cut(panel, ui):
    cine_record({1: 0.1}, 2)
    ui.exportButton.collapsed = False
    application.process_events(0.1)
    for part in ("segmentation", "uncertainty", "table"):
        combo = getattr(ui, f"{part}FormatComboBox")
        longest = max(combo.fontMetrics().horizontalAdvance(combo.itemText(i)) for i in range(combo.count))
        assert combo.width > longest + 25, combo.currentText


def test_every_file_of_a_cine(panel, ui, asked, tmp_path):
    record, _ = cine_record({1: 0.1, 2: 0.3}, 5)
    application.process_events(0.1)
    for part, ending in (
        ("segmentation", ".seq.nrrd"),
        ("segmentation", ".seq.mrb"),
        ("uncertainty", ".seq.nrrd"),
        ("table", ".csv"),
    ):
        asked.target = str(tmp_path / f"{part}{ending}")
        save(ui, part, ending)
        assert (tmp_path / f"{part}{ending}").is_file(), ui_message(panel)
    storage = slicer.vtkMRMLVolumeSequenceStorageNode()
    storage.SetFileName(str(tmp_path / "segmentation.seq.nrrd"))
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode")
    assert storage.ReadData(sequence)
    assert sequence.GetNumberOfDataNodes() == 5
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(sequence.GetNthDataNode(2))[0], labels_of((30, 40)))
    assert not slicer.util.arrayFromVolume(sequence.GetNthDataNode(0)).any()
    with open(tmp_path / "table-frames.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["Frame"] for row in rows] == ["2", "3"]
    assert [row["Index value"] for row in rows] == ["0.04", "0.08"]
    assert float(rows[1]["anterior lip (mm2)"]) == 6.0
    assert record.exists


def table(path: Path) -> list[list[str]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("kind", ["volume", "stack", "cine"])
def test_tables_tell_which_figures_were_made_before_a_correction(panel, ui, asked, tmp_path, kind):
    """Of slices that were segmented as frames nobody knows which: they share their segments."""
    record = {
        "volume": lambda: volume_record(SHAPE),
        "stack": lambda: stack_record([0.1, 0.3]),
        "cine": lambda: cine_record({1: 0.1, 2: 0.3}, 5)[0],
    }[kind]()
    application.process_events(0.1)
    asked.target, asked.replace = str(tmp_path / "t.csv"), True
    save(ui, "table", ".csv")
    written = [path for path in (tmp_path / "t.csv", tmp_path / "t-frames.csv") if path.exists()]
    assert len(written) == (1 if kind == "volume" else 2)
    assert not any("Corrected since" in table(path)[0] for path in written)
    status = slicer.vtkSlicerSegmentationsModuleLogic
    item = record.segmentation.GetNthDataNode(1) if kind == "cine" else record.segmentation
    status.SetSegmentStatus(item.GetSegmentation().GetSegment("Segment_1"), status.InProgress)
    save(ui, "table", ".csv")
    assert [row[-1] for row in table(written[0])] == ["Corrected since", "yes", "yes"]
    if kind != "volume":
        assert [row[-1] for row in table(written[1])] == ["Corrected since", "no" if kind == "cine" else "yes", "yes"]


def test_an_existing_file_is_replaced_only_when_that_was_confirmed(panel, ui, asked, tmp_path):
    cine_record({1: 0.1}, 3)
    application.process_events(0.1)
    target = tmp_path / "numbers.csv"
    (tmp_path / "numbers-frames.csv").write_text("mine")
    asked.target = str(target)
    save(ui, "table", ".csv")
    assert asked.files == [[tmp_path / "numbers-frames.csv"]]
    assert (tmp_path / "numbers-frames.csv").read_text() == "mine"
    assert not target.exists()  # neither of the two
    asked.replace = True
    save(ui, "table", ".csv")
    assert "Frame" in (tmp_path / "numbers-frames.csv").read_text(encoding="utf-8-sig")
    assert target.exists()


def test_a_name_without_its_ending_gets_one_before_it_is_asked_about(panel, ui, asked, tmp_path):
    volume_record(SHAPE)
    application.process_events(0.1)
    (tmp_path / "mine.nii.gz").write_text("mine")
    asked.target = str(tmp_path / "mine")
    save(ui, "segmentation", ".nii.gz")
    assert asked.files == [[tmp_path / "mine.nii.gz"]]
    assert (tmp_path / "mine.nii.gz").read_text() == "mine"


def test_slicer_s_own_choosers_are_asked(app):
    from SemiSegCervicalLib.panel.export import choose_target
    from SemiSegCervicalLib.panel.widget import choose_file
    from SemiSegTrainerLib.panel.outside import choose_folder

    application.answer_dialogs("/a.nrrd", "/b.semiseg", "/folder")
    assert choose_target("Save", "/a", "Volume (*.nrrd)") == "/a.nrrd"
    assert choose_file("Add", "Models (*.semiseg)") == "/b.semiseg"
    assert choose_folder("Add") == "/folder"


def test_closing_the_chooser_writes_nothing(panel, ui, asked, tmp_path):
    volume_record(SHAPE)
    application.process_events(0.1)
    save(ui, "segmentation", ".nrrd")
    assert asked.files == []
    assert ui_message(panel) == ""


def test_names_and_folder_are_proposed(panel, ui, asked, tmp_path):
    volume_record(SHAPE, name="CT: head/neck")
    application.process_events(0.1)
    folder = tmp_path / "kept"
    folder.mkdir()
    asked.target = str(folder / "x.nrrd")
    save(ui, "segmentation", ".nrrd")
    asked.target = ""
    save(ui, "uncertainty", ".nrrd")
    assert asked.proposals[-1] == str(folder / "CT_ head_neck-uncertainty.nrrd")


def test_what_cannot_be_written_is_said(panel, ui, asked, tmp_path):
    volume_record(SHAPE)
    application.process_events(0.1)
    asked.target = str(tmp_path / "missing" / "x.nrrd")
    save(ui, "segmentation", ".nrrd")
    assert "does not exist" in ui_message(panel)
    assert panel.ui.messageFrame.isVisibleTo(panel.widget)


@pytest.mark.parametrize(("name", "file"), [(" ..T1 ", "T1"), ("...", "result"), ("a/b:c", "a_b_c"), ("µ T1", "µ T1")])
def test_proposed_names_are_seen_everywhere(app, name, file):
    """A leading point hides a file; Windows takes no point or blank at the end of a folder's name."""
    from SemiSegCervicalLib.panel.export_files import safe_name

    assert safe_name(name) == file


@pytest.mark.parametrize("part", ["segmentation", "table"])
def test_a_name_that_is_too_long_is_said_and_not_proposed(panel, ui, asked, tmp_path, part):
    volume_record(SHAPE, name="\N{GREEK SMALL LETTER MU}" * 200)
    application.process_events(0.1)
    asked.target = str(tmp_path / ("x" * 300))
    save(ui, part)
    assert len(Path(asked.proposals[-1]).name.encode()) < 143
    assert "name" in ui_message(panel)
    assert "Choose another name or folder" in ui_message(panel)
    asked.target = str(tmp_path / Path(asked.proposals[-1]).name)
    save(ui, part)
    assert Path(asked.target).is_file()


def test_a_folder_that_cannot_be_looked_into_is_said_and_not_proposed(panel, ui, asked, tmp_path, monkeypatch):
    real, gone = os.stat, tmp_path / "gone"
    gone.mkdir()

    def stat(path: Any, *arguments: Any, **options: Any) -> Any:
        if isinstance(path, (str, Path)) and Path(path).is_relative_to(gone):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *arguments, **options)

    record = volume_record(SHAPE)
    record.source.AddDefaultStorageNode()
    record.source.GetStorageNode().SetFileName(str(gone / "image.nrrd"))
    application.process_events(0.1)
    asked.target = str(gone / "x.nrrd")
    monkeypatch.setattr(os, "stat", stat)
    save(ui, "uncertainty", ".nrrd")
    assert not Path(asked.proposals[-1]).is_relative_to(gone)
    assert "Permission denied" in ui_message(panel)


def test_a_table_that_cannot_be_written_leaves_the_old_one(scene_table, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("old")
    with pytest.raises(Exception, match="exists already"):
        whole(table_files_in_pieces({"": scene_table}, path))
    assert path.read_text() == "old"


@pytest.fixture
def scene_table() -> Any:
    return volume_record(SHAPE).table


@pytest.fixture
def under_way(panel, ui, asked, tmp_path, monkeypatch) -> Iterator[Any]:
    """The label maps of a cine, of which some frames are written and others not."""
    written = stored._Packer.add

    def add(packer: Any, voxels: np.ndarray) -> Iterator[int]:
        yield from written(packer, voxels)
        frames.append(voxels)
        while len(frames) > 30:  # and then the disk is as slow as can be
            yield 0

    frames: list[np.ndarray] = []
    monkeypatch.setattr(stored._Packer, "add", add)
    record, _ = cine_record({number: 0.1 for number in range(60)}, 60)
    ui.exportButton.collapsed = False
    application.process_events(0.1)
    path = tmp_path / "s.seq.nrrd"
    path.write_text("mine")
    asked.target, asked.replace = str(path), True
    begin(ui, "segmentation", ".seq.nrrd")
    assert application.wait_until(lambda: (ui.exportProgressBar.maximum, ui.exportProgressBar.value) == (100, 50))
    assert writing(ui)
    assert ui.exportProgressHost.isVisibleTo(panel.widget)
    yield record
    assert not writing(ui)
    assert not ui.exportProgressHost.isVisibleTo(panel.widget)
    assert [file.name for file in tmp_path.iterdir()] == ["s.seq.nrrd"], "nothing half-written stays"
    assert path.read_text() == "mine"


def test_saving_can_be_cancelled(panel, ui, under_way):
    for part in ("segmentation", "uncertainty", "table"):
        assert not getattr(ui, f"{part}ExportButton").enabled, "one after the other"
    application.click(ui.cancelExportButton)
    assert ui_message(panel) == "Cancelled: nothing is written."
    assert ui.segmentationExportButton.enabled


def test_saving_ends_when_the_scene_is_closed(panel, ui, under_way):
    slicer.mrmlScene.Clear(0)
    application.process_events(0.1)
    assert not ui.exportButton.isVisibleTo(panel.widget)


@pytest.mark.parametrize("part", ["segmentation", "source", "table"])
def test_saving_ends_when_what_is_saved_is_deleted(panel, ui, under_way, part):
    node = getattr(under_way, part)
    name = node.GetName()
    slicer.mrmlScene.RemoveNode(node)
    application.process_events(0.1)
    assert ui_message(panel).startswith(f'"{name}" was deleted while the result was saved, and nothing is written.')


def test_saving_ends_with_the_panel(panel, ui, under_way):
    panel.export.close()


def test_browsing_does_not_disturb_what_is_written(panel, ui, asked, tmp_path):
    record, _ = cine_record({1: 0.1, 2: 0.3}, 30)
    application.process_events(0.1)
    asked.target = str(tmp_path / "s.seq.nrrd")
    begin(ui, "segmentation", ".seq.nrrd")
    for number in range(30):
        record.browser.SetSelectedItemNumber(number)
        application.process_events()
    assert application.wait_until(lambda: not writing(ui))
    header = (tmp_path / "s.seq.nrrd").read_bytes().partition(b"\n\n")[0].decode()
    assert re.findall(r"axis 3 item 00(\d\d) computed:=1", header) == ["01", "02"]
    assert application.slot_errors() == []


@pytest.mark.torch
def test_dicom_seg_that_the_worker_writes_can_be_cancelled(opened, tmp_path, monkeypatch):
    module = opened()
    panel, ui = module.panel, module.panel.results.ui
    asked = Asked(panel.export)
    volume_record(SHAPE, "CT", source=dicom_volume(tmp_path / "ct", monkeypatch))
    application.process_events(0.1)
    asked.target = str(tmp_path / "s.dcm")
    before = {path.name for path in tmp_path.iterdir()}
    begin(ui, "segmentation", ".dcm")
    client = module.widget.logic.jobs.client
    module.until(lambda: client.state != "off")
    application.click(ui.cancelExportButton)
    assert ui_message(panel) == "Cancelled: nothing is written."
    assert {path.name for path in tmp_path.iterdir()} - before <= {"worker.log"}
    save(ui, "segmentation", ".dcm")
    assert ui_message(panel) == f"Saved: {tmp_path / 's.dcm'}."
    module.until(lambda: not list(module.temporary.rglob("*.npy")))


@pytest.fixture
def all_of_them(panel, ui, asked, tmp_path) -> list[Any]:
    """Results of three volumes, two of which are called alike on disk, and of a cine; all are to be saved."""
    made = [volume_record(SHAPE, name) for name in ("CT: a", "CT/ a", "MR")]
    made.append(cine_record({0: 0.1, 1: 0.3}, 2)[0])
    ui.exportButton.collapsed = False
    application.process_events(0.1)
    assert ui.allResultsCheckBox.isVisibleTo(panel.widget)
    assert ui.allResultsCheckBox.text.startswith("All 4 results")
    application.click(ui.allResultsCheckBox)
    panel.results.ui.resultComboBox.setCurrentIndex(0)
    asked.folder = str(tmp_path)
    return made


def show(panel: Any, record: Any) -> None:
    panel._choose(record)
    application.process_events(0.1)


def test_all_results_go_into_a_folder(panel, ui, asked, tmp_path, all_of_them):
    show(panel, all_of_them[2])
    save(ui, "segmentation", ".nii.gz")
    cine = f"{all_of_them[3].name}-segmentation.seq.nrrd"
    names = ["CT_ a-segmentation.nii.gz", "CT_ a_2-segmentation.nii.gz", "MR-segmentation.nii.gz", cine]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(names)
    assert ui_message(panel) == f"Saved: 4 files in {tmp_path}."
    for name in names[:3]:
        assert sorted(np.bincount(array(tmp_path / name).ravel())) == sorted(np.bincount(labels_of(SHAPE).ravel()))
    save(ui, "table", ".csv")
    assert len(list(tmp_path.glob("*.csv"))) == 5, "a cine has two"
    slicer.mrmlScene.RemoveNode(all_of_them[0].uncertainty)
    application.process_events(0.1)
    save(ui, "uncertainty", ".nrrd")
    assert len(list(tmp_path.glob("*-uncertainty*"))) == 3, "what has none is passed over"


def test_all_results_replace_nothing_unasked(panel, ui, asked, tmp_path, all_of_them):
    show(panel, all_of_them[2])
    mine = tmp_path / "MR-segmentation.nrrd"
    mine.write_text("mine")
    save(ui, "segmentation", ".nrrd")
    assert asked.files == [[mine]]
    assert [file.name for file in tmp_path.iterdir()] == [mine.name]
    asked.replace = True
    save(ui, "segmentation", ".nrrd")
    assert len(list(tmp_path.iterdir())) == 4
    assert array(mine).any()
    asked.folder = ""
    save(ui, "segmentation", ".seg.nrrd")
    assert len(list(tmp_path.iterdir())) == 4, "no folder was chosen"


@pytest.mark.parametrize("how", ["cancel", "delete", "close", "full", "defect"])
def test_what_ends_saving_all_results(panel, ui, asked, tmp_path, all_of_them, how, monkeypatch):
    show(panel, all_of_them[2])
    written = stored._Packer.add
    volumes: list[int] = []

    def add(packer: Any, voxels: np.ndarray) -> Iterator[int]:
        if packer not in volumes:
            volumes.append(packer)
        yield from written(packer, voxels)
        if len(volumes) == 2:
            if how == "full":
                raise OSError(errno.ENOSPC, "No space left on device")
            if how == "defect":
                raise ZeroDivisionError("by zero")
            while not over:
                yield 0

    over: list[bool] = []
    monkeypatch.setattr(stored._Packer, "add", add)
    begin(ui, "segmentation", ".nrrd")
    first = tmp_path / "CT_ a-segmentation.nrrd"
    assert application.wait_until(lambda: len(volumes) == 2)
    if how == "cancel":
        application.click(ui.cancelExportButton)
    elif how == "delete":
        slicer.mrmlScene.RemoveNode(all_of_them[1].segmentation)
        over.append(True)
    elif how == "close":
        slicer.mrmlScene.Clear(0)
    assert application.wait_until(lambda: not panel.export.active)
    application.process_events(0.1)
    found = sorted(file.name for file in tmp_path.iterdir())
    if how == "delete":
        assert found == sorted([first.name, "MR-segmentation.nrrd", f"{all_of_them[3].name}-segmentation.seq.nrrd"]), (
            "the others are wanted still"
        )
        assert "was deleted while the result was saved" in ui_message(panel)
        assert ui_message(panel).endswith(f"Saved: 3 files in {tmp_path}.")
    else:
        assert found == [first.name]
    if how == "cancel":
        assert ui_message(panel) == f"Cancelled. Saved: 1 file in {tmp_path}."
    if how == "full":
        assert ui_message(panel).endswith(f"the disk is not full. Saved: 1 file in {tmp_path}.")
    if how == "defect":
        said = "Something went wrong that should not have (ZeroDivisionError: by zero). Report it with the log."
        assert ui_message(panel) == f"{said} Saved: 1 file in {tmp_path}."
    assert application.slot_errors() == []
