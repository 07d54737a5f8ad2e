"""Ranking: doubt at the outline, diversity, gaps, and what is never suggested; with a trained model and real files."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.learning.datalist import read_datalist
from SemiSegTrainerLib.learning.ranking import (
    CELLS,
    NEW_GROUP,
    NOTHING_FOUND,
    NOVEL,
    UNSURE,
    Sight,
    choose,
    coarse,
    doubt_at_outline,
    look_at,
    rank,
)
from TrainingRig import cases, parts


def sight(case: str, doubt: float, look: tuple[float, float] = (0.0, 0.0), **more) -> Sight:
    """A picture of its own; pictures with equal `look` are copies."""
    maps = np.zeros((2, CELLS * CELLS), dtype=np.float32)
    maps[:, 0] = look
    fields = {"slice": None, "group": None, "line": None, "position": 0.0, "annotated": False, "drawn": True}
    fields |= {"open": not more.get("annotated", False)}
    return Sight(case=case, doubt=doubt, look=maps, **{**fields, **more})


def test_doubt_is_the_mean_in_the_band_around_the_outline():
    labels = np.zeros((40, 40), dtype=np.uint8)
    labels[10:30, 10:30] = 1
    uncertainty = np.zeros((40, 40), dtype=np.float32)
    uncertainty[5:35, 5:35] = 0.5
    uncertainty[15:25, 15:25] = 0.0  # five pixels and more from the outline: no matter how sure
    assert doubt_at_outline(labels, uncertainty) == pytest.approx(0.5)
    far_away = uncertainty.copy()
    far_away[0, 0] = 1.0
    assert doubt_at_outline(labels, far_away) == doubt_at_outline(labels, uncertainty)


def test_doubt_of_a_picture_without_outline_is_that_of_its_most_uncertain_pixels():
    uncertainty = np.zeros((40, 50), dtype=np.float32)
    uncertainty[3, 5:25] = 0.8
    assert doubt_at_outline(np.zeros((40, 50), dtype=np.uint8), uncertainty) == pytest.approx(0.8)
    assert doubt_at_outline(np.zeros((40, 50), dtype=np.uint8), 0 * uncertainty) == 0.0


def test_coarse_maps_say_where_things_are():
    labels = np.zeros((64, 48), dtype=np.uint8)
    labels[:32, :24] = 2
    maps = coarse(np.full((64, 48), 0.25, dtype=np.float32), labels, 3)
    assert maps.shape == (3, CELLS * CELLS)
    assert np.allclose(maps[0], 0.25)
    assert not maps[1].any()
    assert maps[2].reshape(CELLS, CELLS)[:4, :4].min() == 1.0
    assert maps[2].sum() == pytest.approx(CELLS * CELLS / 4)


def test_near_copies_are_not_suggested_together():
    """Three copies are the most doubtful; after one of them what looks different is worth more."""
    seen = [
        sight("known", 0.1, (0, 0), annotated=True),
        *(sight(f"copy {i}", 0.9 - 0.01 * i, (1, 0)) for i in range(3)),
        sight("other", 0.5, (0, 1)),
        sight("near", 0.6, (0.05, 0)),
    ]
    ranked = choose(seen, 3)
    assert [r.case for r in ranked[:2]] == ["copy 0", "other"]
    assert ranked[2].case == "near", "a copy of what is chosen brings nothing"
    scores = [r.score for r in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(0.0 <= s <= 1.0 for s in scores)


def test_doubt_decides_between_equally_new_ones():
    seen = [sight("known", 0.5, (0, 0), annotated=True), sight("sure", 0.1, (1, 0)), sight("unsure", 0.7, (1, 0))]
    (first,) = choose(seen, 1)
    assert (first.case, first.reasons[0]) == ("unsure", UNSURE)


def test_neighbours_of_a_line_come_last():
    line = [
        sight("volume", 1.0 - abs(k - 50) / 100, (k / 100, 0), slice=k, line="volume", position=k) for k in range(100)
    ]
    line[20] = dataclasses.replace(line[20], annotated=True, open=False)
    chosen = [r.slice for r in choose(line, 8)]
    assert all(abs(a - b) >= 4 for i, a in enumerate(chosen) for b in [*chosen[:i], 20])
    assert len(chosen) == 8


def test_where_only_neighbours_are_left_they_are_suggested():
    seen = [
        sight(f"frame {k}", 0.5, (k, 0), line="cine", position=0.04 * k, group="p", annotated=k == 1) for k in range(3)
    ]
    assert {r.case for r in choose(seen, 5)} == {"frame 0", "frame 2"}


def test_reasons_are_those_of_the_case():
    seen = [
        sight("known", 0.3, (0, 0), annotated=True, group="a"),
        sight("same patient", 0.2, (0.1, 0), group="a"),
        sight("nothing", 0.3, (1, 0), group="a", drawn=False),
        sight("new patient", 0.9, (1, 1), group="b"),
    ]
    reasons = {r.case: r.reasons for r in choose(seen, 3)}
    assert reasons["new patient"] == (UNSURE, NEW_GROUP)
    assert reasons["nothing"] == (NOTHING_FOUND, NOVEL)
    assert all(reasons.values())


def test_equal_pictures_and_no_annotation_at_all_still_give_an_order():
    ranked = choose([sight("b", 0.2), sight("a", 0.4)], 5)
    assert [r.case for r in ranked] == ["a", "b"]
    assert all(np.isfinite(r.score) for r in ranked)
    assert [r.case for r in choose([sight("sure", 0.0)], 1)] == ["sure"]


def test_a_trained_model_suggests_what_it_cannot_read(trained, tmp_path):
    """Among pictures like those it has learned from, a washed-out one and a shifted one."""
    datalist = cases.write_dataset(tmp_path, labelled=3, unlabelled=6)
    content = json.loads(datalist.read_text())
    strange = content["unlabeled"][4]
    file = tmp_path / strange["image"]
    picture = np.asarray(Image.open(file)).astype(float)
    washed = 110 + 0.15 * (picture - 110) + np.random.default_rng(0).normal(0, 12, picture.shape)
    Image.fromarray(np.roll(washed.clip(0, 255), 12, axis=1).astype(np.uint8)).save(file)
    for number, entry in enumerate(content["training"] + content["unlabeled"]):
        entry |= {"sequence": "cine", "frame": str(10 * number)}
    datalist.write_text(json.dumps(content))

    said = []
    data = read_datalist(datalist)
    assert [e.frame for e in data["training"]] == [0.0, 10.0, 20.0]
    ranked = rank(Predictor(load_pack(trained), "cpu"), data, 3, lambda done, total: said.append((done, total)))
    assert ranked[0].case == "unlabeled4"
    assert not {r.case for r in ranked} & {e.id for e in data["training"]}
    assert len({r.case for r in ranked}) == 3
    assert (said[0], said[-1]) == ((0, 9), (9, 9))


def test_cines_of_two_patients_may_be_called_alike(trained, tmp_path):
    datalist = cases.write_dataset(tmp_path, labelled=1, unlabelled=2)
    content = json.loads(datalist.read_text())
    told = [("a", "0"), ("a", "1"), ("b", "0")]
    for entry, (patient, frame) in zip(content["training"] + content["unlabeled"], told, strict=True):
        entry |= {"group": patient, "sequence": "US", "frame": frame}
    datalist.write_text(json.dumps(content))
    predictor, data = Predictor(load_pack(trained), "cpu"), read_datalist(datalist)
    lines = [next(look_at(predictor, e, 3)).line for e in (*data["training"], *data["unlabeled"])]
    assert lines[0] == lines[1] != lines[2]
    ranked = rank(predictor, data, 2)
    assert [r.case for r in ranked] == ["unlabeled1", "unlabeled0"], "what lies beside an annotated frame comes last"


def test_slices_of_volumes_are_suggested_one_by_one(tmp_path):
    """Annotated slices, scribbled ones too, are left alone, and what lies beside them."""
    rng = np.random.default_rng(0)

    def write(name: str, array: np.ndarray) -> str:
        sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{name}.nrrd"))
        return f"{name}.nrrd"

    labels = np.zeros((32, 24, 24), dtype=np.uint8)
    labels[8, 5:12, 5:12] = 1
    scribble = np.zeros_like(labels)
    scribble[16, 5, 5:9] = 2
    images = [write(f"image{i}", rng.normal(0, 1, labels.shape).astype(np.float32)) for i in range(3)]
    entries = [
        {"image": images[0], "label": write("slices", labels), "slices": [8, 24], "held_out": [0, 1, 2, 3]},
        {"image": images[1], "label": write("scribble", scribble), "complete": False},
    ]
    content = {"labels": cases.LABELS, "training": entries, "unlabeled": [{"image": images[2]}]}
    data = read_datalist(cases.write_datalist(tmp_path, content))
    spec = InputSpec(spatial_dims=3, modalities=("image",), sampling="windows", size=(16, 16, 16))
    ranked = rank(Predictor(parts.pack(spec=spec), "cpu"), data, 24)
    assert len(ranked) == 24
    assert len({r.case for r in ranked}) == 3
    assert all(r.slice > 3 for r in ranked if r.case == "image0"), "what validates is no suggestion"
    for case, known in (("image0", [8, 24]), ("image1", [16]), ("image2", [])):
        mine = [r.slice for r in ranked if r.case == case]
        assert all(abs(a - b) >= 2 for i, a in enumerate(mine) for b in [*mine[:i], *known])


def test_nothing_left_is_said(trained, tmp_path):
    data = read_datalist(cases.write_dataset(tmp_path, unlabelled=0))
    with pytest.raises(SemiSegError) as raised:
        rank(Predictor(load_pack(trained), "cpu"), data)
    assert raised.value.code == "nothing-left"
