"""Data sets as nnU-Net keeps them: folders in place of lists, and files that are numbered by channel."""

from __future__ import annotations

import json

import pytest
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.learning.datalist import read_datalist

LABELS = {"background": 0, "kidney": 1, "tumour": 2}
NAMED = {"0": "background", "1": "kidney", "2": "tumour"}


@pytest.fixture
def place(tmp_path):
    """Two annotated cases, one that is not, and a test case; the second lacks its other channel.

    Beside them lie files that are no images of a channel, and one as macOS adds to each.
    """
    for name in ("imagesTr/a.b_0000", "imagesTr/a.b_0001", "imagesTr/c_0000", "imagesTr/u_0000", "imagesTr/u_0001",
                 "imagesTs/t_0000", "imagesTs/t_0001", "labelsTr/a.b", "labelsTr/c", "labelsTs/t", "imagesTr/mean",
                 "imagesTr/c-0000", "imagesTr/c_00.1", "imagesTr/._c_0000", "labelsTr/._c"):  # fmt: skip
        path = tmp_path / f"{name}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def write(folder, **content):
    path = folder / "dataset.json"
    path.write_text(json.dumps(content))
    return path


def second_version(folder, labels=None, ending=".nii.gz"):
    channels = {"0": "T1", "1": "T2"}
    return write(folder, channel_names=channels, labels=labels or LABELS, numTraining=2, file_ending=ending)


def test_second_version_lists_what_lies_in_its_folders(place):
    found = read_datalist(second_version(place))
    assert found.modalities == ("T1", "T2")
    assert [(c.value, c.name) for c in found.classes] == [(1, "kidney"), (2, "tumour")]
    assert {name: [e.id for e in found[name]] for name in ("training", "unlabeled", "validation", "test")} == {
        "training": ["a.b", "c"], "unlabeled": ["u"], "validation": [], "test": ["t"],
    }  # fmt: skip
    whole, lacking = found["training"]
    assert [path.name for path in whole.images] == ["a.b_0000.nii.gz", "a.b_0001.nii.gz"]
    assert whole.label == place / "labelsTr" / "a.b.nii.gz"
    assert (lacking.modalities, whole.modalities) == ((0,), (0, 1))
    assert found["test"][0].label == place / "labelsTs" / "t.nii.gz"


def test_ignored_voxels_are_no_segment(place):
    found = read_datalist(second_version(place, {**LABELS, "ignore": 3}))
    assert [c.name for c in found.classes] == ["kidney", "tumour"]
    assert [e.completeness.ignore for e in found["training"]] == [3, 3]


@pytest.mark.parametrize(
    ("labels", "ending", "says"),
    [({"background": 0, "whole": [1, 2]}, ".nii.gz", "'whole' stands for"), (LABELS, ".png", "CASE_0000.png")],
)
def test_what_is_no_data_set_of_ours_is_refused(place, labels, ending, says):
    with pytest.raises(SemiSegError, match=says) as caught:
        read_datalist(second_version(place, labels, ending))
    assert caught.value.code == "bad-datalist"


def test_first_version_lists_cases_without_their_channels(place):
    path = write(
        place, modality={"0": "T1", "1": "T2"}, labels=NAMED, test=["./imagesTs/t.nii.gz"],
        training=[{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in ("a.b", "c")],
    )  # fmt: skip
    found = read_datalist(path)
    assert [e.id for e in found["training"]] == ["a.b", "c"]
    assert [e.modalities for e in found["training"]] == [(0, 1), (0,)]
    assert [p.name for p in found["test"][0].images] == ["t_0000.nii.gz", "t_0001.nii.gz"]
