"""Model packs: exact round trips, and what a stranger's pack cannot do."""

from __future__ import annotations

import json
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import save
from SemiSegCervicalLib.engine import pack as pack_module
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import load_pack, read_manifest, save_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import BranchSpec, InputSpec
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packs import find_packs, fingerprint
from SemiSegCervicalLib.worker.server_models import describe
from TrainingRig import parts


@pytest.fixture
def written(tmp_path):
    return save_pack(tmp_path / "tiny", parts.pack())


@pytest.fixture
def content(written):
    with zipfile.ZipFile(written) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path, content, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def write_folder(path, content):
    path.mkdir()
    for name, data in content.items():
        (path / name).write_bytes(data)
    return path


def changed(content, **fields):
    return {**content, "model.json": json.dumps({**json.loads(content["model.json"]), **fields}).encode()}


def refused(path, code="corrupt-pack"):
    with pytest.raises(SemiSegError) as caught:
        load_pack(path)
    assert caught.value.code == code
    assert str(path) in caught.value.cause or code != "corrupt-pack"
    return caught.value.cause


def image():
    return Image(np.random.default_rng(0).normal(size=(1, 41, 37)).astype(np.float32))


def test_hidden_files_are_no_models_and_no_part_of_one(tmp_path, monkeypatch, content):
    monkeypatch.setenv("SEMISEG_MODELS", str(tmp_path))
    path = write_folder(tmp_path / "own.semiseg", content)
    before = fingerprint(path)
    for hidden in (tmp_path / "._own.semiseg", path / ".DS_Store"):
        hidden.write_bytes(b"\0\5\x16\7")
    assert load_pack(path).manifest == load_pack(find_packs()["own"]).manifest
    assert (fingerprint(path), "._own" in find_packs()) == (before, False)


@pytest.mark.parametrize("as_folder", [False, True])
def test_round_trip_predicts_the_same_bits(tmp_path, content, written, as_folder):
    before = Predictor(parts.pack(), "cpu").predict(image(), probabilities=True)
    path = write_folder(tmp_path / "folder.semiseg", content) if as_folder else written
    loaded = load_pack(path)
    after = Predictor(loaded, "cpu").predict(image(), probabilities=True)
    assert np.array_equal(before.probabilities, after.probabilities)
    assert np.array_equal(before.uncertainty, after.uncertainty)
    assert loaded.manifest.model_dump(mode="json") == parts.pack().manifest.model_dump(mode="json")
    assert loaded.card == "# tiny\n"


def test_equal_models_are_equal_files_and_nothing_is_written_over(tmp_path, written):
    again = save_pack(tmp_path / "again.semiseg", parts.pack())
    assert again.read_bytes() == written.read_bytes()
    with pytest.raises(SemiSegError) as caught:
        save_pack(written, parts.pack())
    assert caught.value.code == "exists"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.semiseg", "tiny.semiseg"]


def test_projector_is_left_out(tmp_path):
    pack = parts.pack()
    pack.branches = parts.branches(embedding_size=8, voxel_embedding=4)
    loaded = load_pack(save_pack(tmp_path / "a", pack))
    assert all(b.projector is None and b.voxel_projector is None for b in loaded.branches)


def test_single_branch_has_no_disagreement(tmp_path):
    loaded = load_pack(save_pack(tmp_path / "single", parts.pack(1)))
    result = Predictor(loaded, "cpu").predict(image())
    assert result.disagreement is None
    assert Predictor(parts.pack(2), "cpu").predict(image()).disagreement is not None


def test_missing_and_foreign_files(tmp_path, content):
    refused(tmp_path / "nowhere.semiseg", "missing-file")
    text = tmp_path / "text.semiseg"
    text.write_text("hello")
    assert "not a .semiseg" in refused(text)
    assert "model.json" in refused(write(tmp_path / "foreign.semiseg", {"word/document.xml": b"<a/>"}))
    empty = tmp_path / "empty.semiseg"
    empty.mkdir()
    assert "model.json" in refused(empty)
    without = {k: v for k, v in content.items() if k != "branch-2.safetensors"}
    assert "branch-2" in refused(write(tmp_path / "without.semiseg", without))


def test_truncated_and_flipped_bytes(tmp_path, written, content):
    whole = written.read_bytes()
    for share in (0.2, 0.6, 0.99):
        path = tmp_path / f"cut{share}.semiseg"
        path.write_bytes(whole[: int(share * len(whole))])
        refused(path)
    deflated = bytearray(write(tmp_path / "deflated.zip", content, zipfile.ZIP_DEFLATED).read_bytes())
    for kind, data in (("stored", bytearray(whole)), ("deflated", deflated)):
        for position in range(2000, len(data) - 2000, len(data) // 7):
            broken = data.copy()
            broken[position] ^= 0xFF
            path = tmp_path / f"{kind}{position}.semiseg"
            path.write_bytes(broken)
            refused(path)
    short = write_folder(tmp_path / "short.semiseg", {**content, "branch-1.safetensors": whole[:100]})
    assert "branch-1" in refused(short)


@pytest.mark.parametrize(("find", "head", "flags"), [("index", 30, 6), ("rindex", 46, 8)])
def test_a_name_that_is_no_text_any_more(tmp_path, written, find, head, flags):
    """Damaged bytes in a file's own head, and in the list of contents: a fault of this model, not of all models."""
    broken = bytearray(written.read_bytes())
    at = getattr(broken, find)(b"model.json")
    broken[at - head + flags + 1] |= 0x08  # says that the name is UTF-8
    broken[at + 3] = 0xF8
    path = tmp_path / "name.semiseg"
    path.write_bytes(broken)
    refused(path)
    assert describe(path).failure is not None


@pytest.mark.parametrize("tensors", [{}, {"model.0.conv.weight": torch.zeros(1)}])
def test_weights_of_another_network(tmp_path, content, tensors):
    path = write(tmp_path / "other.semiseg", {**content, "branch-1.safetensors": save(tensors)})
    assert "does not fit" in refused(path)


def test_weights_that_are_not_numbers(tmp_path):
    pack = parts.pack()
    next(pack.branches[0].parameters()).data.fill_(torch.nan)
    assert "NaN" in refused(save_pack(tmp_path / "nan", pack))


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("as_folder", [False, True])
def test_pickle_is_not_executed(tmp_path, monkeypatch, content, as_folder):
    monkeypatch.chdir(tmp_path)
    build = write_folder if as_folder else write
    refused(build(tmp_path / "a.semiseg", {**content, "branch-1.safetensors": pickle.dumps(Bomb())}))
    assert "data.pkl" in refused(build(tmp_path / "b.semiseg", {**content, "data.pkl": pickle.dumps(Bomb())}))
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["../evil.safetensors", "/evil", "a/../../evil", "..\\evil", "C:\\evil", "sub/b"])
def test_member_names_that_leave_the_folder(tmp_path, content, name):
    inside = tmp_path / "inside"
    inside.mkdir()
    refused(write(inside / "a.semiseg", {**content, name: b"evil"}))
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.semiseg", "inside", "tiny.semiseg"]


@pytest.mark.parametrize(
    "file", ["../branch-1.safetensors", "/branch-1.safetensors", "sub/branch-1.safetensors", "branch-1.pt"]
)
def test_manifest_cannot_name_files_elsewhere(tmp_path, content, file):
    specs = json.loads(content["model.json"])["branches"]
    specs[0]["file"] = file
    assert "branches.0.file" in refused(write(tmp_path / "a.semiseg", changed(content, branches=specs)))


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
@pytest.mark.parametrize("name", ["model.json", "branch-1.safetensors", "card.md"])
def test_symbolic_links_are_not_followed(tmp_path, content, name):
    path = write_folder(tmp_path / "a.semiseg", content)
    (path / name).rename(tmp_path / "elsewhere")
    (path / name).symlink_to(tmp_path / "elsewhere")
    assert name in refused(path)


@pytest.mark.parametrize("as_folder", [False, True])
@pytest.mark.parametrize("name", ["model.json", "branch-1.safetensors"])
def test_oversized_members_are_not_read(tmp_path, monkeypatch, content, name, as_folder):
    limit = {"model.json": "_MANIFEST_LIMIT", "branch-1.safetensors": "_WEIGHTS_LIMIT"}[name]
    monkeypatch.setattr(pack_module, limit, 5 * 2**20)
    swollen = {**content, name: content[name] + b" " * (6 * 2**20)}
    path = tmp_path / "bomb.semiseg"
    if as_folder:
        write_folder(path, swollen)
    else:
        write(path, swollen, zipfile.ZIP_DEFLATED)
        assert path.stat().st_size < 2**20
    assert "larger" in refused(path)


def test_newer_and_unknown_contents(tmp_path, content):
    assert "newer" in refused(write(tmp_path / "a.semiseg", changed(content, format_version=2)), "newer-pack")
    assert "_target_" in refused(write(tmp_path / "b.semiseg", changed(content, _target_="os.system")))
    specs = json.loads(content["model.json"])["branches"]
    strange = [{**specs[0], "architecture": "transformer9000"}, specs[1]]
    refused(write(tmp_path / "c.semiseg", changed(content, branches=strange)), "unknown-architecture")
    large = [{**specs[0], "arguments": {"channels": [4, 8, 9999]}}, specs[1]]
    refused(write(tmp_path / "d.semiseg", changed(content, branches=large)), "bad-architecture")
    spec = {**json.loads(content["model.json"])["input"], "size": [30, 46]}
    assert "size" in refused(write(tmp_path / "e.semiseg", changed(content, input=spec)))


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'"a"', b"\xff\xfe", b"[" * 100_000, b'{"format_version": "1"}'])
def test_manifest_that_is_none(tmp_path, content, text):
    refused(write(tmp_path / "a.semiseg", {**content, "model.json": text}))


@pytest.mark.parametrize("name", ["", "a\x1b[31mred", "a\nb", "x" * 300])
def test_names_hold_nothing_that_a_terminal_obeys(name):
    with pytest.raises(ValidationError):
        parts.pack(name=name)


def test_manifest_parts_must_agree():
    with pytest.raises(ValidationError, match="one temperature per branch"):
        parts.pack(branches=parts.pack(1).manifest.branches)
    reads = BranchSpec(file="branch-1.safetensors", architecture="unet", arguments={}, modalities=(1,))
    with pytest.raises(ValidationError, match="does not have"):
        parts.pack(1, branches=(reads,))
    with pytest.raises(ValidationError, match="voxels"):
        InputSpec(spatial_dims=3, modalities=("a",), size=(2048, 2048, 2048))


def test_manifest_can_be_read_alone(written):
    assert read_manifest(written) == load_pack(written).manifest


def test_half_the_size_reads_as_float32_again(tmp_path, written):
    pack = load_pack(written)
    half = save_pack(tmp_path / "half", pack, half=True)
    assert half.stat().st_size < 0.75 * written.stat().st_size
    again = load_pack(half)
    for before, after in zip(pack.branches, again.branches, strict=True):
        for name, weight in after.network.state_dict().items():
            wanted = before.network.state_dict()[name]
            assert weight.dtype == wanted.dtype
            assert torch.allclose(weight.float(), wanted.float(), atol=1e-4, rtol=1e-3)
    predictions = [Predictor(p, "cpu", backend="torch").predict(image()) for p in (pack, again)]
    assert np.abs(predictions[0].uncertainty - predictions[1].uncertainty).max() < 0.01
    assert save_pack(tmp_path / "again", again, half=True).read_bytes() == half.read_bytes()
