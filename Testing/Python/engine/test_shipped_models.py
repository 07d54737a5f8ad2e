"""The models that ship with SemiSeg load, say what they are, and segment what they were not trained on."""

from __future__ import annotations

import importlib.util
import re
import sys

import numpy as np
import pytest
from demo.samples import read_samples
from house.trees import ROOT
from SemiSegCervicalLib.engine.files import read_image
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.packs import find_packs
from SemiSegCervicalLib.scene.classes import terminology_key

MODELS = ROOT / "Resources" / "models"
SHIPPED = sorted(MODELS.glob("*.semiseg"))
# Slicer's own terminology has these codes; another would be shown as it is and match nothing.
KNOWN_CODES = {("SCT", "71252005"), ("SCT", "32062004"), ("SCT", "69536005"), ("", "")}


def dice(labels: np.ndarray, reference: np.ndarray, value: int) -> float:
    a, b = labels == value, reference == value
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_there_are_models_and_they_are_found(monkeypatch, tmp_path):
    monkeypatch.setenv("SEMISEG_MODELS", str(tmp_path))
    assert "cervix" in find_packs()
    assert {path.stem for path in SHIPPED} == set(find_packs())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_model_says_what_it_is(path):
    pack = load_pack(path)
    manifest = pack.manifest
    assert path.stat().st_size < 10_000_000
    assert "CC" in manifest.licence
    assert re.search(r"doi|10\.\d{4}", manifest.attribution)
    assert manifest.calibration.fitted_on
    assert [q for q in manifest.quality if q.metric == "Dice" and 0.8 < q.value < 1 and q.cases > 5]
    for wanted in ("Intended use", "Limits", "Not a medical device", "semiseg train", "float16"):
        assert wanted in pack.card
    for segment in manifest.classes:
        key = terminology_key(segment.terminology)
        assert key is None or set(key) <= KNOWN_CODES
    assert f"`{path.stem}`" in (MODELS / "README.md").read_text(encoding="utf-8")


def test_recipes_are_those_of_the_models():
    spec = importlib.util.spec_from_file_location("ship_models", ROOT / "Testing" / "Benchmarks" / "ship_models.py")
    assert spec is not None
    script = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up.
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ship_models", script)
        patch.syspath_prepend(ROOT / "Testing" / "Benchmarks")
        spec.loader.exec_module(script)
    by_file = {recipe.file: recipe for recipe in script.RECIPES.values()}
    for path in SHIPPED:
        pack, recipe = load_pack(path), by_file[path.stem]
        assert pack.manifest.name == recipe.title
        assert [(c.name, c.color, c.terminology) for c in pack.manifest.classes] == list(recipe.classes)
        assert recipe.training in pack.card
        assert f"--iterations {pack.manifest.provenance.iterations} " in recipe.training
        assert f"--seed {pack.manifest.provenance.seed} " in recipe.training


def test_the_cervix_model_segments_samples_that_it_never_saw():
    """Five of its ten test images ship as samples (as JPEG): it must do on them about what it claims."""
    pack = load_pack(MODELS / "cervix.semiseg")
    claimed = next(q.value for q in pack.manifest.quality if q.metric == "Dice")
    predictor = Predictor(pack, "cpu", backend="torch")
    samples = read_samples(ROOT / "Resources" / "samples" / "cervix")
    found = []
    for name in samples.held_out:
        labels = predictor.predict(Image(samples.image(name)[None].astype(np.float32))).labels
        found += [dice(labels, samples.labels(name), value) for value in (1, 2)]
    assert np.mean(found) > claimed - 0.03
    assert min(found) > 0.8


def test_models_know_their_own_images_and_point_out_the_others():
    packs = [load_pack(MODELS / f"{name}.semiseg") for name in ("cervix", "carotid", "fetal_head")]
    cervix, carotid, head = (Predictor(pack, "cpu", backend="torch") for pack in packs)
    samples = read_samples(ROOT / "Resources" / "samples" / "cervix")
    lips = [Image(samples.image(name)[None].astype(np.float32)) for name in samples.held_out]
    cine = read_image([ROOT / "Resources" / "samples" / "carotid" / "carotid_v08.seq.nrrd"], frames=True)
    arteries = [Image(np.ascontiguousarray(cine.array[:, number])) for number in (0, 9, 19)]
    heads = [read_image([ROOT / "Resources" / "samples" / "fetal_head" / "hc18_270.nrrd"])]
    for model, own, foreign in (
        (cervix, lips, [*arteries, *heads]),
        (carotid, arteries, [*lips, *heads]),
        (head, heads, arteries),  # its own differ so much that the lips are within
    ):
        assert max(result.atypicality for result in model.predict_batch(own)) < 0.8
        assert min(result.atypicality for result in model.predict_batch(foreign)) > 1.0
