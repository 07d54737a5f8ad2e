"""What to annotate next, as a job of the worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.pack import load_pack, save_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.worker.arrays import take_array
from SemiSegCervicalLib.worker.job import JobCancelled
from SemiSegTrainerLib.worker.protocol import Suggest
from TrainingRig import cases, parts

pytestmark = pytest.mark.torch


def changed(datalist: Path, **changes: Any) -> Path:
    """Write a copy of a datalist with other top keys beside it."""
    path = datalist.with_name("changed.json")
    path.write_text(json.dumps({**json.loads(datalist.read_text()), **changes}))
    return path


def test_suggestions_come_with_what_the_model_draws(client, trained: Path, tmp_path: Path) -> None:
    datalist = cases.write_dataset(tmp_path, labelled=2, unlabelled=5)
    seen: list[tuple[str, int, int]] = []
    message = Suggest(str(trained), str(datalist), 3, "cpu")
    job = client.submit(message, on_progress=lambda p: seen.append((p.stage, p.done, p.total)))
    items = client.wait(job).items
    assert len({item.case for item in items}) == 3
    assert all(item.case.startswith("unlabeled") and item.slice is None for item in items)
    assert [item.score for item in items] == sorted((item.score for item in items), reverse=True)
    assert all(item.reasons for item in items)
    assert ("looking", 7, 7) in seen
    predictor = Predictor(load_pack(trained), "cpu")
    for item in items:
        expected = predictor.predict(read_image([tmp_path / f"{item.case}.png"], (0.5, 0.25))).labels
        assert np.array_equal(take_array(item.labels), expected)
    client.release(job)


def test_labels_are_those_of_the_data_whatever_the_model_numbers_them(client, trained: Path, tmp_path: Path) -> None:
    datalist = cases.write_dataset(tmp_path, labelled=1, unlabelled=1)
    picture = np.asarray(Image.open(tmp_path / "training0_label.png"))
    Image.fromarray(np.array([0, 3, 1], np.uint8)[picture]).save(tmp_path / "training0_label.png")
    other = changed(datalist, labels={"0": "background", "1": "Dark", "2": "vessel", "3": "bright"}, test=[])
    job = client.submit(Suggest(str(trained), str(other), 1, "cpu"))
    (item,) = client.wait(job).items
    drawn = take_array(item.labels)
    client.release(job)
    _, truth = cases.draw(100)
    assert set(np.unique(drawn)) == {0, 1, 3}
    for theirs, ours in ((1, 3), (2, 1)):
        assert ((drawn == ours) & (truth == theirs)).sum() > 0.7 * (truth == theirs).sum()


def test_what_cannot_be_suggested_is_refused(client, trained: Path, tmp_path: Path) -> None:
    everything = cases.write_dataset(tmp_path, labelled=2, unlabelled=0)
    for message, said in (
        (Suggest(str(trained), str(everything), 3, "cpu"), "annotated already"),
        (Suggest(str(tmp_path / "none.semiseg"), str(everything), 3, "cpu"), "none.semiseg"),
        (Suggest(str(trained), str(tmp_path / "none.json"), 3, "cpu"), "no datalist"),
    ):
        job = client.submit(message)
        with pytest.raises(SemiSegError, match=said):
            client.wait(job)


def test_slices_come_with_what_the_model_draws_on_them(client, tmp_path: Path) -> None:
    spec = InputSpec(spatial_dims=3, modalities=("image",), sampling="windows", size=(16, 16, 16))
    pack = save_pack(tmp_path / "volumes", parts.pack(spec=spec))
    voxels = np.random.default_rng(0).normal(0, 1, (20, 24, 28)).astype(np.float32)
    labels = np.zeros(voxels.shape, dtype=np.uint8)
    labels[10, 5:12, 5:12] = 1
    for name, array in (("image", voxels), ("label", labels)):
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.nrrd"))
    entry = {"image": "image.nrrd", "label": "label.nrrd", "slices": [10]}
    datalist = cases.write_datalist(tmp_path, {"labels": cases.LABELS, "training": [entry]})
    job = client.submit(Suggest(str(pack), str(datalist), 3, "cpu"))
    items = client.wait(job).items
    assert len({item.slice for item in items}) == 3
    assert not {item.slice for item in items} & {9, 10, 11}
    expected = Predictor(load_pack(pack), "cpu").predict(read_image([tmp_path / "image.nrrd"])).labels
    assert all(np.array_equal(take_array(item.labels), expected[item.slice]) for item in items)
    client.release(job)


def test_it_can_be_cancelled_while_it_looks(client, trained: Path, tmp_path: Path) -> None:
    datalist = cases.write_dataset(tmp_path, labelled=1, unlabelled=60)
    job = client.submit(Suggest(str(trained), str(datalist), device="cpu"))
    client.wait_until(lambda: job.ended or (job.progress is not None and job.progress.stage == "looking"), 60)
    client.cancel(job)
    with pytest.raises(JobCancelled):
        client.wait(job)
