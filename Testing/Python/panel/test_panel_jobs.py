"""What a run of the panel, or of a script, leaves in the scene; with the real worker and a trained model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from SlicerRig import application, scenes
from TrainingRig import cases

OBLIQUE = np.array(
    [[-0.48, 0.1, 0.35, 12.0], [0.12, -0.24, 1.9, -30.0], [0.05, 0.06, -2.2, 44.5], [0.0, 0.0, 0.0, 1.0]]
)
"""Oblique, flipped and anisotropic: left-handed, with spacings of about 0.50, 0.27 and 2.9 mm."""


@pytest.fixture(scope="module")
def logic() -> Iterator[Any]:
    """The module's logic without its panel, and its worker, which takes seconds to start."""
    from SlicerRig.scripted_modules import import_file

    made = import_file(application.REPOSITORY / "SemiSegCervical" / "SemiSegCervical.py").SemiSegCervicalLogic()
    yield made
    made.close()


@pytest.fixture
def script(logic: Any, blobs: Path) -> Any:
    """The same, with the trained model."""
    return logic


def stack(depth: int = 4, seed: int = 0) -> np.ndarray:
    """Return slices of blobs, ``(Z, Y, X)``."""
    return np.stack([cases.draw(seed + z)[0] for z in range(depth)])


def labels_in(segmentation: Any, volume: Any) -> np.ndarray:
    """Read a result back on the grid of a volume, ``(Z, Y, X)``."""
    from SemiSegCervicalLib.scene.segmentation import label_array

    count = segmentation.GetSegmentation().GetNumberOfSegments()
    return label_array(segmentation, {f"Segment_{value}": value for value in range(1, count + 1)}, volume)


def expected(pack: Path, frames: np.ndarray, rgb: bool = False) -> SimpleNamespace:
    """Segment frames with the engine itself."""
    from SemiSegCervicalLib.engine.image import Image, grey_from_rgb
    from SemiSegCervicalLib.engine.pack import load_pack
    from SemiSegCervicalLib.engine.predict import Predictor

    predictor = Predictor(load_pack(pack), "cpu", backend="auto")
    images = [Image((grey_from_rgb(f) if rgb else f.astype(np.float32))[None], None, np.eye(4), rgb) for f in frames]
    found = [predictor.predict(image) for image in images]
    doubt = [np.rint(100 * f.uncertainty).astype(np.uint8) for f in found]
    return SimpleNamespace(labels=np.stack([f.labels for f in found]), uncertainty=np.stack(doubt))


def test_an_oblique_flipped_stack_comes_back_on_its_own_grid(script: Any, blobs: Path) -> None:
    values = stack()
    volume = scenes.add_volume(values, "Oblique", OBLIQUE)
    record = script.process(volume, slicesAsFrames=True, device="cpu")
    wanted = expected(blobs, values)
    assert np.array_equal(labels_in(record.segmentation, volume), wanted.labels)
    assert np.array_equal(application_array(record.uncertainty), wanted.uncertainty)
    assert np.array_equal(matrix(record.uncertainty), matrix(volume))
    assert {1, 2} <= set(np.unique(wanted.labels)), "the model finds both"
    assert record.source is volume
    assert [f.number for f in frames_of(record)] == [0, 1, 2, 3]


def test_a_colour_cine_comes_back_and_its_browser_is_as_before(script: Any, blobs: Path, cine: Any) -> None:
    sequence, browser, shown = cine(5)
    browser.SetSelectedItemNumber(3)
    application.process_events()
    before = application_array(shown).copy()
    order: list[int] = []
    record = script.process(shown, device="cpu", onProgress=lambda job: order.append(job.kept))
    frames = np.stack([application_array(sequence.GetNthDataNode(i))[0] for i in range(5)])
    wanted = expected(blobs, frames, rgb=True)
    assert order == sorted(order), "frames arrive one after another"
    assert browser.GetSelectedItemNumber() == 3
    assert np.array_equal(application_array(shown), before)
    assert sequence.GetNumberOfDataNodes() == 5
    for number in range(5):
        value = sequence.GetNthIndexValue(number)
        item = sequence.GetNthDataNode(number)
        segmentation = record.segmentation.GetDataNodeAtValue(value, True)
        doubt = record.uncertainty.GetDataNodeAtValue(value, True)
        assert np.array_equal(labels_in(segmentation, item)[0], wanted.labels[number])
        assert np.array_equal(application_array(doubt)[0], wanted.uncertainty[number])
        assert np.array_equal(matrix(doubt), matrix(item))
    assert np.array_equal(application_array(record.shown_uncertainty)[0], wanted.uncertainty[3])
    assert record.run["complete"] is True


def test_of_two_browsers_of_a_cine_the_chosen_one_gets_the_result(script: Any, blobs: Path, cine: Any) -> None:
    import slicer

    sequence, first, _ = cine(3)
    second = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "beside")
    second.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    application.process_events()
    second.SetSelectedItemNumber(2)
    record = script.process(second.GetProxyNode(sequence), device="cpu", uncertainty=False)
    assert record.browser is second
    assert not first.IsSynchronizedSequenceNode(record.segmentation)
    assert np.any(labels_in(record.shown_segmentation, sequence.GetNthDataNode(2)))


def test_a_volume_of_a_3d_model_comes_back_on_its_own_grid(script: Any, models: Path) -> None:
    from SemiSegCervicalLib.engine.image import Image
    from SemiSegCervicalLib.engine.pack import load_pack, save_pack
    from SemiSegCervicalLib.engine.predict import Predictor
    from SemiSegCervicalLib.engine.schema import InputSpec
    from TrainingRig import parts

    spec = InputSpec(modalities=("CT",), spatial_dims=3, sampling="windows", size=(16, 16, 16), spacing=(2.0, 0.6, 0.6))
    pack = save_pack(models / "solid.semiseg", parts.pack(spec=spec))
    values = np.random.default_rng(0).normal(0, 300, (9, 24, 20)).astype(np.int16)
    volume = scenes.add_volume(values, "CT", OBLIQUE)
    record = script.process(volume, model="solid", device="cpu")
    spacing = tuple(reversed(volume.GetSpacing()))
    image = Image(values.astype(np.float32)[None], spacing, matrix(volume))
    found = Predictor(load_pack(pack), "cpu").predict(image)
    assert np.array_equal(labels_in(record.segmentation, volume), found.labels)
    assert len(np.unique(found.labels)) > 1, "or nothing was compared"
    assert np.array_equal(application_array(record.uncertainty), np.rint(100 * found.uncertainty).astype(np.uint8))
    assert np.array_equal(matrix(record.uncertainty), matrix(volume))


def predicted_dice(ui: Any) -> str:
    table = ui.segmentsTable
    return str(table.item(0, table.columnCount - 1).text())


def test_images_unlike_those_of_the_training_are_pointed_out(
    opened: Callable[..., Any], blobs: Path, cine: Any, picture: Any
) -> None:
    from SemiSegCervicalLib.engine.pack import load_pack, save_pack
    from SemiSegCervicalLib.scene.record_figures import ATYPICALITY
    from SemiSegCervicalLib.scene.tables import column_values
    from SemiSegTrainerLib.learning.typical import typical_images
    from TrainingRig import parts

    pack = load_pack(blobs)
    data = parts.load(cases.write_dataset(blobs.parent.parent / "more", labelled=1, unlabelled=40))
    pack.manifest = pack.manifest.model_copy(update={"typical": typical_images(data)})
    save_pack(blobs, pack, overwrite=True)
    sequence, _, shown = cine(6, rgb=False)
    for number in (2, 5):
        values = application_array(sequence.GetNthDataNode(number))
        values[:] = 255 - values
    module = opened()
    job = module.run(shown)
    (said,) = job.doubts
    assert said.startswith("2 of 6 frames, the first number 3, look unlike what the model has learned from")
    assert said in module.ui.messageLabel.text
    assert said in job.record.run["notes"], "it stays with the result"
    found = column_values(job.record.frames_table, ATYPICALITY)
    assert [value > 1 for value in found] == [False, False, True, False, False, True]
    usual = picture(3)
    job = module.run(usual)
    assert job.doubts == ()
    assert "?" not in predicted_dice(module.panel.results.ui)
    assert "unlike" not in module.panel.results.ui.resultInfoLabel.text
    values = application_array(usual)
    values[:] = 255 - values
    job = module.run(usual)
    assert job.doubts[0].startswith("The image looks unlike")
    assert job.doubts[0] in module.ui.messageLabel.text
    assert job.doubts[0] in job.record.run["notes"]
    unlike = column_values(job.record.table, ATYPICALITY)
    assert len(unlike) == len(job.record.classes)
    assert min(unlike) > 1
    assert "#fff3cd" in module.ui.messageFrame.styleSheet, "a warning, not good news"
    assert predicted_dice(module.panel.results.ui).endswith(" ?"), "a number that may be too good is not left alone"
    assert module.panel.results.ui.resultInfoLabel.text.endswith("The image looks unlike the images of the training.")
    assert module.ui.messageFrame.isVisible()
    module.choose(shown)
    assert not module.ui.messageFrame.isVisible(), "what was said of one image is no word on another"


def test_slicer_does_not_complain_while_frames_arrive(
    script: Any, cine: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    _, browser, shown = cine(3)
    script.process(shown, device="cpu")
    for number in range(3):
        browser.SetSelectedItemNumber(number)
    application.process_events()
    assert "ERR|" not in capfd.readouterr().err


def test_frames_that_were_asked_for_and_no_others(script: Any, cine: Any) -> None:
    sequence, _, shown = cine(6)
    record = script.process(sequence, frames=range(1, 6, 2), device="cpu", uncertainty=False)
    assert [f.number for f in frames_of(record)] == [1, 3, 5]
    values = [sequence.GetNthIndexValue(number) for number in range(6)]
    items = [record.segmentation.GetDataNodeAtValue(value, True) for value in values]
    assert [item.GetSegmentation().GetNumberOfSegments() if item else 0 for item in items] == [0, 2, 0, 2, 0, 2]
    assert record.uncertainty is None
    again = script.process(shown, frames=[4], device="cpu")
    assert [f.number for f in frames_of(again)] == [4]
    assert again != record


def test_names_colours_and_terminology_are_the_models(script: Any, models: Path, picture: Any) -> None:
    from SemiSegCervicalLib.engine.pack import save_pack
    from SemiSegCervicalLib.engine.schema import SegmentClass
    from TrainingRig import parts

    entry = (
        "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
        "~SCT^71252005^Cervix uteri~^^~Anatomic codes - DICOM master list~^^~^^"
    )
    classes = (
        SegmentClass(value=1, name="cervix", color=(0.8, 0.2, 0.1), terminology=entry),
        SegmentClass(value=2, name="rest", color=(0.0, 0.5, 1.0)),
    )
    save_pack(models / "coded.semiseg", parts.pack(classes=classes))
    segments = script.process(picture(), model="coded", device="cpu").segmentation.GetSegmentation()
    first, second = segments.GetNthSegment(0), segments.GetNthSegment(1)
    assert (first.GetName(), second.GetName()) == ("cervix", "rest")
    assert np.allclose(first.GetColor(), (0.8, 0.2, 0.1))
    assert "SCT^71252005^Cervix uteri" in first.GetTerminology()


def test_nothing_of_the_user_is_touched_unless_asked(script: Any, picture: Any, labels_of_the_user: Any) -> None:
    volume = picture()
    mine, before = labels_of_the_user(volume)
    record = script.process(volume, device="cpu")
    assert record.segmentation is not mine
    assert np.array_equal(labels_in(mine, volume), before)
    replaced = script.process(volume, device="cpu", replace=mine)
    assert replaced.segmentation is mine
    assert mine.GetName() == "Mine"
    assert np.array_equal(labels_in(mine, volume), labels_in(record.segmentation, volume))


def test_a_result_replaced_by_the_next_takes_its_figures_along(script: Any, picture: Any) -> None:
    import slicer
    from SemiSegCervicalLib.scene.records import find_records

    volume = picture()
    first = script.process(volume, device="cpu")
    count = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    second = script.process(volume, device="cpu", replace=first.segmentation)
    assert find_records(slicer.mrmlScene) == [second]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == count
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1


def test_a_stack_and_a_cine_can_be_replaced_too(script: Any, cine: Any) -> None:
    import slicer
    from SemiSegCervicalLib.scene.records import find_records

    volume = scenes.add_volume(stack(3), "Stack")
    first = script.process(volume, slicesAsFrames=True, device="cpu")
    second = script.process(volume, slicesAsFrames=True, device="cpu", replace=first.segmentation)
    assert find_records(slicer.mrmlScene) == [second]
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 1
    assert labels_in(second.segmentation, volume).any()
    _, browser, shown = cine(3)
    old = script.process(shown, device="cpu")
    new = script.process(shown, device="cpu", replace=old.shown_segmentation)
    assert find_records(slicer.mrmlScene) == [second, new]
    assert len(browser_sequences(browser)) == 3, "image, segmentation, uncertainty"


def test_areas_only_where_the_pixel_size_is_believed(script: Any, picture: Any, cine: Any) -> None:
    from SemiSegCervicalLib.scene import marks
    from SemiSegCervicalLib.scene.record_figures import segments_of

    volume = picture()
    assert [f.size_unit for f in segments_of(script.process(volume, device="cpu"))] == ["mm2", "mm2"]
    volume.SetAttribute(marks.CALIBRATED, "no")
    figures = segments_of(script.process(volume, device="cpu"))
    assert [(f.size, f.size_unit) for f in figures] == [(None, None)] * 2
    assert all(f.voxels for f in figures)


def test_frames_of_a_cine_keep_their_own_voxels_and_spacing(script: Any, blobs: Path) -> None:
    import slicer
    from SemiSegCervicalLib.scene.record_figures import frame_segments

    frames = stack(4)
    sequence, _ = scenes.add_cine(list(frames), "Cine", np.diag([-0.5, -0.5, 1.0, 1.0]))
    value = sequence.GetNthIndexValue(2)
    item = slicer.vtkMRMLScalarVolumeNode()
    slicer.util.updateVolumeFromArray(item, 100 * frames[2:3].astype(np.int32))
    item.SetSpacing(0.25, 0.25, 1.0)
    sequence.SetDataNodeAtValue(item, value)
    record = script.process(sequence, device="cpu")
    wanted = expected(blobs, frames)
    for number, area in enumerate((0.25, 0.25, 0.0625, 0.25)):
        item = sequence.GetNthDataNode(number)
        found = record.segmentation.GetDataNodeAtValue(sequence.GetNthIndexValue(number), True)
        assert np.array_equal(labels_in(found, item)[0], wanted.labels[number])
        for figure in frame_segments(record, number):
            assert figure.size == pytest.approx(figure.voxels * area)


def test_what_cannot_be_done_is_said_before_anything_is_started(script: Any, picture: Any, cine: Any) -> None:
    import slicer
    from SemiSegCervicalLib.errors import SemiSegError

    volume = scenes.add_volume(stack(3), "Stack")
    labelmap = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    _, _, shown = cine(2)
    drawn = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Mine")
    for code, arguments in {
        "no-input": (None,),
        "wrong-dimensions": (volume,),
        "unfit-input": (labelmap,),
        "empty-volume": (empty,),
        "missing-file": (volume, "nowhere"),
        "no-frame": (shown, None, "cpu", [7]),
        "cannot-replace": (shown, None, "cpu", None, False, drawn),
        "wrong-modalities": ([picture(), picture(4)],),
    }.items():
        with pytest.raises(SemiSegError) as caught:
            script.process(*arguments)
        assert caught.value.code == code
    assert not script.jobs.running, "no job was started"
    with pytest.raises(ValueError, match="device"):
        script.process(picture(), device="tpu")


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("dimensions", [2, 3])
def test_what_has_other_dimensions_than_the_model_is_refused(
    script: Any, models: Path, axis: int, dimensions: int
) -> None:
    """A picture is no volume; and one that is stored as a stack of lines is not read as its lines."""
    from SemiSegCervicalLib.engine.pack import save_pack
    from SemiSegCervicalLib.engine.schema import InputSpec
    from SemiSegCervicalLib.errors import SemiSegError
    from TrainingRig import parts

    spec = InputSpec(modalities=("CT",), spatial_dims=3, sampling="windows", size=(16, 16, 16))
    save_pack(models / "solid.semiseg", parts.pack(spec=spec))
    volume = scenes.add_volume(np.expand_dims(cases.draw(3)[0], axis), "One slice")
    if axis == 0 and dimensions == 2:
        assert script.process(volume, "blobs", "cpu").exists
        return
    for as_frames in (False, True):
        with pytest.raises(SemiSegError, match="single slice" if dimensions == 3 else "Orient Scalar Volume") as caught:
            script.process(volume, "blobs" if dimensions == 2 else "solid", "cpu", slicesAsFrames=as_frames)
        assert caught.value.code == "wrong-dimensions"


def test_a_damaged_frame_is_named(script: Any, cine: Any) -> None:
    import slicer
    from SemiSegCervicalLib.errors import SemiSegError

    sequence, _, shown = cine(4)
    sequence.SetDataNodeAtValue(slicer.vtkMRMLVectorVolumeNode(), sequence.GetNthIndexValue(2))
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(SemiSegError, match="Frame 3"):
        script.process(shown, device="cpu")
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes


@pytest.fixture
def labels_of_the_user() -> Callable[[Any], tuple[Any, np.ndarray]]:
    def draw(volume: Any) -> tuple[Any, np.ndarray]:
        from SemiSegCervicalLib.scene.classes import SegmentClass

        drawn = np.zeros((1, *cases.SIZE), dtype=np.uint8)
        drawn[0, 3:9, 4:30] = 1
        return scenes.add_segmentation(volume, drawn, [SegmentClass(1, "mine", (1, 0, 0))], name="Mine"), drawn

    return draw


def application_array(volume: Any) -> np.ndarray:
    import slicer

    return slicer.util.arrayFromVolume(volume)


def matrix(volume: Any) -> np.ndarray:
    from SemiSegCervicalLib.scene.geometry import ijk_to_ras

    return ijk_to_ras(volume)


def frames_of(record: Any) -> Any:
    from SemiSegCervicalLib.scene.record_figures import frames_of

    return frames_of(record)


def browser_sequences(browser: Any) -> list[Any]:
    from SemiSegCervicalLib.scene.cine import sequences_of

    return sequences_of(browser)


def test_voxels_without_a_number_are_taken_as_the_darkest(opened: Callable[..., Any], blobs: Path, logic: Any) -> None:
    image = cases.draw(3)[0].astype(np.float32)
    image[:5, 10:] = image.min()
    gaps = image.copy()
    gaps[:5, 10:] = np.nan
    module = opened()
    jobs = [module.run(scenes.add_volume(array[None], name)) for array, name in ((image, "whole"), (gaps, "gaps"))]
    notes = [job.record.run["notes"] for job in jobs]
    assert notes == [[], ["Voxels without a number (NaN or infinite) were taken as the image's darkest or brightest"]]
    assert module.ui.messageLabel.text == f"{notes[1][0]}."
    found = [labels_in(job.record.segmentation, job.record.source) for job in jobs]
    np.testing.assert_array_equal(*found)
    assert found[0].any()
