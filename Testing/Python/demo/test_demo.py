"""The demo from end to end at toy size: every file is there, and says what is true."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("slicer", reason="the demo runs on slicer-core: pip install slicer-core")

import SimpleITK as sitk
from demo import plan
from demo.__main__ import main
from demo.job import run_demo
from demo.measure import check_start
from demo.samples import read_samples
from PIL import Image
from SemiSegCervicalLib.engine.pack import load_pack, save_pack
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene.marks import ORIGIN, PREDICTION, segment_tag, segments_of
from SemiSegTrainerLib.learning.datalist import read_datalist
from SemiSegTrainerLib.scene.collect import collect_training_set
from SlicerRig import mrml

pytestmark = pytest.mark.torch
UNLABELLED = 3


@dataclasses.dataclass(frozen=True)
class Run:
    out: Path
    summary: dict[str, Any]
    said: str


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    out = tmp_path_factory.mktemp("demo") / "out"
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        summary = run_demo(plan.DemoOptions(out, iterations=3, size=(64, 96), unlabelled=UNLABELLED))
    yield Run(out, summary, said.getvalue())
    mrml.clear()


@pytest.fixture(scope="module")
def reopened(run: Run) -> Any:
    scene = mrml.clear()
    assert scene.ReadFromMRB(str(run.out / plan.SCENE), True)
    return scene


def nodes(scene: Any, kind: str) -> list[Any]:
    found = scene.GetNodesByClass(kind)
    found.UnRegister(None)
    return [found.GetItemAsObject(i) for i in range(found.GetNumberOfItems())]


def test_summary_is_complete_and_on_disk(run):
    assert json.loads((run.out / plan.SUMMARY).read_text()) == run.summary
    for key in ("dice_after", "dice_supervised", "dice_before", "seconds", "iterations", "seed", "versions"):
        assert key in run.summary
    assert run.summary["dice_before"] is None
    assert run.summary["iterations"] == 3
    assert run.summary["seconds"] > 0
    for path in run.summary["paths"].values():
        assert (run.out / path).exists()


def test_measured_dice_is_that_of_the_written_label_maps(run):
    samples = read_samples(plan.SAMPLES)
    for case in run.summary["held_out"]["cross_supervision"]["cases"]:
        path = run.out / plan.LABELS / f"{case['case']}_labels.nrrd"
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))[0]
        reference = samples.labels(case["case"])
        for entry in samples.classes:
            p, r = labels == entry.value, reference == entry.value
            expected = 2 * (p & r).sum() / (p.sum() + r.sum())
            assert case["segments"][entry.name]["dice"] == pytest.approx(expected)
    dices = [case["dice"] for case in run.summary["held_out"]["cross_supervision"]["cases"]]
    assert run.summary["dice_after"] == pytest.approx(np.mean(dices))


def test_held_out_images_are_nowhere_in_the_training_data(run):
    samples = read_samples(plan.SAMPLES)
    held_out = {samples.image(name).tobytes() for name in samples.held_out}
    datalist = read_datalist(run.out / plan.TRAINING_SET / "datalist.json")
    learned = [entry for name in ("training", "unlabeled", "validation", "test") for entry in datalist[name]]
    assert len(learned) == len(samples.labelled) + UNLABELLED
    for entry in learned:
        assert np.asarray(Image.open(entry.images[0])).tobytes() not in held_out
        assert not any(name in str(entry.images[0]) for name in samples.held_out)
    assert not set(samples.held_out) & {case["image"] for case in run.summary["training_set"]}


def test_training_set_is_what_the_person_left(run):
    uses = [case["use"] for case in run.summary["training_set"]]
    outlined = len(plan.OUTLINED) + len(plan.ACCEPTED_FRAMES)
    assert uses.count("labelled") == outlined
    assert uses.count("partly") == len(plan.HALF_OUTLINED) + len(plan.SCRIBBLED)
    datalist = read_datalist(run.out / plan.TRAINING_SET / "datalist.json")
    said = [entry.completeness for entry in datalist["training"]]
    assert sum(c.segments == (1,) for c in said) == len(plan.HALF_OUTLINED)
    assert sum(not c.complete and c.background is not None for c in said) == len(plan.SCRIBBLED)
    assert all(entry.spacing is None for name in ("training", "unlabeled") for entry in datalist[name])


def test_every_open_image_has_its_files(run):
    single = [name for name in run.summary["segmented"] if name not in plan.CINE]
    assert len(single) == UNLABELLED + len(plan.UNTOUCHED) + len(run.summary["held_out_images"])
    for name in single:
        assert (run.out / plan.SEGMENTATIONS / f"{name}.seg.nrrd").is_file()
        percent = sitk.GetArrayFromImage(sitk.ReadImage(str(run.out / plan.UNCERTAINTY / f"{name}_uncertainty.nrrd")))
        assert percent.shape == (1, 336, 544)
        assert 0 < percent.max() <= 100
    assert {path.name.partition(".")[2] for path in (run.out / plan.SEGMENTATIONS).iterdir()} == {"seg.nrrd", "seq.mrb"}
    assert len(list((run.out / plan.LABELS).glob("*.seq.nrrd"))) == 1


def test_saved_scene_opens_with_images_results_and_the_persons_word(run, reopened):
    names = {node.GetName() for node in nodes(reopened, "vtkMRMLScalarVolumeNode")}
    for name in run.summary["held_out_images"]:
        assert {name, f"{name} uncertainty (%)"} <= names
    drawn_by_model = [
        node
        for node in nodes(reopened, "vtkMRMLSegmentationNode")
        if any(segment_tag(segment, ORIGIN) == PREDICTION for _, segment in segments_of(node))
    ]
    assert len([n for n in drawn_by_model if not n.GetName().startswith(plan.CINE_NAME)]) == len(
        [name for name in run.summary["segmented"] if name not in plan.CINE]
    )
    again = collect_training_set(reopened, read_samples(plan.SAMPLES).classes)
    before = {case["image"]: case["use"] for case in run.summary["training_set"]}
    after = {case.name: case.use for case in again.cases}
    assert {name: after[name] for name in before} == before
    assert {after[name] for name in run.summary["held_out_images"]} == {"unlabelled"}


def test_scene_shows_one_image_and_not_all_outlines_at_once(run, reopened):
    visible = [
        node.GetName()
        for node in nodes(reopened, "vtkMRMLSegmentationNode")
        if node.GetDisplayNode() is not None and node.GetDisplayNode().GetVisibility()
    ]
    single = [name for name in visible if not name.startswith(plan.CINE_NAME)]
    assert single == [f"{run.summary['held_out_images'][0]} segmentation"]


def test_report_needs_nothing_else(run):
    text = (run.out / plan.REPORT).read_text(encoding="utf-8")
    assert len(text) < 6_000_000
    assert "<script" not in text
    assert "@import" not in text
    for target in re.findall(r'(?:href|src|xlink:href)\s*=\s*"([^"]*)"', text) + re.findall(r"url\(([^)]*)\)", text):
        if not target.startswith(("data:image/", "#")):
            assert (run.out / target).is_file(), target
    identifiers = re.findall(r'\bid="([^"]*)"', text)
    assert len(identifiers) == len(set(identifiers))
    for reference in re.findall(r'href="#([^"]*)"', text) + re.findall(r"url\(#([^)]*)\)", text):
        assert reference in identifiers


def test_report_says_the_figures_and_the_caveats(run):
    text = (run.out / plan.REPORT).read_text(encoding="utf-8")
    for case in run.summary["held_out"]["cross_supervision"]["cases"]:
        for segment in case["segments"].values():
            assert f"<b>{segment['dice']:.3f}</b>" in text
    for words in (
        "Not a medical device",
        "one seed",
        "same two examinations",
        "CC BY 4.0",
        "in pixels",
        "not calibrated",
    ):
        assert words in text
    assert text.count('class="reference"') == 2 * len(run.summary["held_out_images"])


def test_it_says_how_long_it_still_takes(run):
    assert re.search(r"Learning, with unlabelled images.*about .* left", run.said)


def test_used_folder_is_refused_in_one_line_and_stays_as_it_is(run, capsys):
    before = {path: path.stat().st_mtime_ns for path in run.out.rglob("*")}
    assert main(["--out", str(run.out), "--iterations", "1"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "already holds something" in said
    assert {path: path.stat().st_mtime_ns for path in run.out.rglob("*")} == before


def test_unknown_device_is_refused_before_anything_is_written(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "out"), "--device", "abacus"]) == 2
    assert "abacus" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_figure_before_is_that_of_the_starting_pack(run, tmp_path):
    start = run.out / run.summary["paths"]["model"]
    with contextlib.redirect_stdout(io.StringIO()):
        second = run_demo(plan.DemoOptions(tmp_path / "second", iterations=1, unlabelled=1, start=start))
    assert second["dice_before"] == pytest.approx(run.summary["dice_after"])
    assert second["started_from"] == load_pack(start).manifest.name
    assert f"{second['dice_before']:.2f}" in (tmp_path / "second" / plan.REPORT).read_text(encoding="utf-8")


def test_a_model_of_another_organ_is_refused(run, tmp_path):
    pack = load_pack(run.out / run.summary["paths"]["model"])
    classes = tuple(c.model_copy(update={"name": f"other {c.value}"}) for c in pack.manifest.classes)
    pack.manifest = pack.manifest.model_copy(update={"classes": classes})
    with pytest.raises(SemiSegError, match="other 1"):
        check_start(save_pack(tmp_path / "other.semiseg", pack), read_samples(plan.SAMPLES))
