"""The script in the README runs as it stands there, on a shipped sample and with a shipped model."""

from __future__ import annotations

import re

import numpy as np
import pytest
from demo.samples import read_samples
from house.trees import ROOT


@pytest.mark.torch
def test_the_script_of_the_readme_segments_a_sample(capsys, monkeypatch, tmp_path):
    import slicer

    monkeypatch.setenv("SEMISEG_MODELS", str(tmp_path))
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    samples = read_samples(ROOT / "Resources" / "samples" / "cervix")
    name = next(name for name in samples.held_out if f'"{name}"' in code.group(1))
    slicer.util.addVolumeFromArray(samples.image(name)[None], name=name)
    names: dict = {"slicer": slicer}
    exec(code.group(1), names)
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
