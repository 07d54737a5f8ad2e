"""The scripts in the README run as they stand there, on shipped samples and with a shipped model."""

from __future__ import annotations

import re

import numpy as np
import pytest
from demo.samples import read_samples
from house.trees import ROOT


def script(number: int) -> str:
    """Return a script of the README."""
    found: list[str] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return found[number]


@pytest.mark.torch
def test_the_script_of_the_readme_segments_a_sample(capsys, monkeypatch, tmp_path):
    import slicer

    monkeypatch.setenv("SEMISEG_MODELS", str(tmp_path))
    code = script(0)
    samples = read_samples(ROOT / "Resources" / "samples" / "cervix")
    name = next(name for name in samples.held_out if f'"{name}"' in code)
    slicer.util.addVolumeFromArray(samples.image(name)[None], name=name)
    names: dict = {"slicer": slicer}
    exec(code, names)
    assert f"{name} segmentation 2" in capsys.readouterr().out
    record = names["record"]
    segment = record.segmentation.GetSegmentation().GetNthSegment(0)
    assert segment.GetName() == "Anterior cervical lip"
    assert "71252005" in segment.GetTerminology()
    found = slicer.util.arrayFromSegmentBinaryLabelmap(
        record.segmentation, record.segmentation.GetSegmentation().GetNthSegmentID(0), record.source
    )[0]
    wanted = samples.labels(name) == 1
    assert 2 * np.logical_and(found, wanted).sum() / (found.sum() + wanted.sum()) > 0.9


@pytest.mark.torch
def test_the_script_of_the_readme_says_what_to_annotate_next(capsys, monkeypatch, tmp_path):
    from SlicerRig import scenes

    monkeypatch.setenv("SEMISEG_MODELS", str(tmp_path))
    samples = read_samples(ROOT / "Resources" / "samples" / "cervix")
    drawn, others = samples.labelled[:1], samples.unlabelled[:2]
    scenes.partly_segmented_scene(
        [samples.image(name) for name in (*drawn, *others)], {0: samples.labels(drawn[0])}, samples.classes,
        names=[*drawn, *others],
    )  # fmt: skip
    exec(script(1), {})
    said = capsys.readouterr().out.strip().splitlines()
    assert said[0] == f"{drawn[0]} labelled every outline is finished"
    assert [line.split()[:2] for line in said[1:3]] == [[name, "unlabelled"] for name in others]
    assert len(said) == 5
    assert all(line.startswith("vtkMRMLScalarVolumeNode") and "None" in line for line in said[3:])
