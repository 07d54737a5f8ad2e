"""What runs the networks: PyTorch and a real OpenVINO give the same, and whatever fails ends in PyTorch."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from SemiSegCervicalLib import atomic
from SemiSegCervicalLib.engine.backends import cache as cache_module
from SemiSegCervicalLib.engine.backends import convert, openvino_backend, selection
from SemiSegCervicalLib.engine.backends.agreement import Agreement, compare, pool, window_weights
from SemiSegCervicalLib.engine.backends.base import BackendError
from SemiSegCervicalLib.engine.backends.cache import BLOB, FACTS, Cache, cache_folder
from SemiSegCervicalLib.engine.backends.openvino_backend import CASES, OpenVINOBackend
from SemiSegCervicalLib.engine.backends.runtime import installed_version
from SemiSegCervicalLib.engine.backends.selection import open_backend
from SemiSegCervicalLib.engine.backends.torch_backend import TorchBackend
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import Pack, save_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import BranchSpec, InputSpec
from SemiSegCervicalLib.errors import SemiSegError
from TrainingRig import parts

ROOT = Path(__file__).resolve().parents[3]
needs_openvino = pytest.mark.skipif(
    installed_version() is None, reason="OpenVINO is not installed: pip install openvino"
)
GOOD = Agreement(1.0, 1.0, 1e-4, 0.2, 1000)


def two_modalities():
    """Two branches that read different modalities; the first ends on a transposed convolution, the second does not."""
    torch.manual_seed(1)
    reads = ((1,), (0, 1))
    branches = [Branch(n, a, len(m), parts.CLASSES, 2).eval() for (n, a), m in zip(parts.TINY, reads, strict=True)]
    specs = tuple(
        BranchSpec(file=f"branch-{i}.safetensors", architecture=name, arguments=arguments, modalities=m)
        for i, ((name, arguments), m) in enumerate(zip(parts.TINY, reads, strict=True), 1)
    )
    spec = InputSpec(modalities=("b-mode", "doppler"), size=parts.SPEC.size)
    return Pack(parts.pack(spec=spec, branches=specs, temperature=1.5).manifest, branches)


@pytest.fixture(scope="module")
def pack():
    return two_modalities()


@pytest.fixture
def batch():
    return torch.randn(3, 2, *parts.SPEC.size, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory, pack):
    """A cache that holds the pack, filled by a program that finds the libraries by sys.path alone, as Slicer's does."""
    folder = tmp_path_factory.mktemp("compile")
    save_pack(folder / "model.semiseg", pack)
    script = (
        "import sys; sys.path[:0] = sys.argv[3:]; import torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from SemiSegCervicalLib.engine.pack import load_pack\n"
        "from SemiSegCervicalLib.engine.backends.selection import open_backend\n"
        "backend = open_backend(load_pack(Path(sys.argv[1])), 'cpu', 'openvino', cache=Path(sys.argv[2]))\n"
        "backend(torch.randn(3, 2, 32, 48, generator=torch.Generator().manual_seed(0)))\n"
        "print(backend.name, backend.notes)\n"
    )
    home = folder / "home"
    home.mkdir()
    variables = {"HOME": str(home), "USERPROFILE": str(home), "LOCALAPPDATA": str(home), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-c", script, str(folder / "model.semiseg"), str(folder / "cache")]
    done = subprocess.run([*command, str(ROOT / "SemiSegCervical")], env=variables, capture_output=True, text=True)
    assert done.stdout == "openvino []\n", done.stderr
    return folder / "cache"


@pytest.fixture
def no_child(monkeypatch):
    def refuse(*_arguments, **_more):
        raise AssertionError("a model was compiled again")

    monkeypatch.setattr(openvino_backend, "convert", refuse)


def alike(a, b, tolerance):
    return all(torch.allclose(x, y, atol=tolerance) for x, y in zip(a, b, strict=True))


def test_pytorch_gives_every_branch_its_modalities(pack, batch):
    found = TorchBackend(pack, "cpu")(batch)
    with torch.inference_mode():
        wanted = [pack.branches[0](batch[:, [1]]).logits, pack.branches[1](batch).logits]
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))
    assert all(logits.dtype == torch.float32 for logits in found)


def test_pytorch_in_bfloat16_only_if_asked(pack, batch):
    exact, reduced = TorchBackend(pack, "cpu"), TorchBackend(pack, "cpu", "bfloat16")
    assert (exact.precision, reduced.precision) == ("float32", "bfloat16")
    a, b = exact(batch), reduced(batch)
    assert alike(a, b, 0.2)
    assert not alike(a, b, 1e-4)
    with pytest.raises(SemiSegError, match="float16"):
        TorchBackend(pack, "cpu", "float16")


def test_what_reduced_precision_cannot_hold_is_computed_in_float32(pack, batch, monkeypatch):
    """Else such voxels would become background of no uncertainty."""
    real = TorchBackend.__call__

    def overflowing(self, some):
        logits = [scores.clone() for scores in real(self, some)]
        if self.precision != "float32":
            logits[1][:, :, 3, 5] = torch.inf
        return logits

    monkeypatch.setattr(TorchBackend, "__call__", overflowing)
    backend = open_backend(pack, "cpu", "torch", "bfloat16")
    assert alike(backend(batch), TorchBackend(pack, "cpu", "float32")(batch), 0)
    assert (backend.precision, len(backend.notes)) == ("float32", 1)
    assert "too large for bfloat16" in backend.notes[0]
    backend(batch)
    assert len(backend.notes) == 1


def test_what_is_no_number_is_no_result(pack, batch):
    broken = copy.deepcopy(pack)
    with torch.no_grad():
        for weight in broken.branches[0].parameters():
            weight.mul_(1e30)
    with pytest.raises(SemiSegError, match="no numbers") as caught:
        open_backend(broken, "cpu", "torch")(batch)
    assert caught.value.remedy


@needs_openvino
def test_openvino_gives_what_pytorch_gives(pack, batch, compiled, no_child):
    backend = open_backend(pack, "cpu", precision="float32", cache=compiled)
    assert (backend.name, backend.precision, backend.notes) == ("openvino", "float32", [])
    reference = TorchBackend(pack, "cpu", "float32")
    for some in (batch, batch[:1], torch.cat([batch] * 3), batch.flip(1)):
        assert alike(backend(some), reference(some), 1e-4)


@needs_openvino
def test_results_stay_when_the_next_batch_comes(pack, batch, compiled, no_child):
    backend = open_backend(pack, "cpu", precision="float32", cache=compiled)
    first = backend(batch)
    kept = [logits.clone() for logits in first]
    backend(batch + 1)
    assert alike(first, kept, 0)


@needs_openvino
def test_reduced_precision_is_measured_and_remembered(pack, batch, compiled, no_child):
    backend = OpenVINOBackend(pack, cache=compiled)
    if not backend.evidence:
        pytest.skip("this processor has no bfloat16")
    exact, reduced = (OpenVINOBackend(pack, p, compiled)(batch) for p in ("float32", "bfloat16"))
    assert not alike(exact, reduced, 1e-4), "the whole network was reduced"
    again = compare(exact, reduced, pack.manifest.calibration.temperatures)
    stored = backend.agreement
    assert stored.voxels == again.voxels == 3 * 32 * 48
    assert stored.labels_alike == pytest.approx(again.labels_alike, abs=1e-3)
    assert stored.logit_error == pytest.approx(again.logit_error, rel=0.1)
    assert backend.precision == ("bfloat16" if stored.enough and stored.telling else "float32")


@needs_openvino
def test_a_branch_of_transposed_convolutions_is_reduced_too(pack, batch, compiled, no_child):
    exact, reduced = (OpenVINOBackend(pack, p, compiled) for p in ("float32", "bfloat16"))
    if not exact.evidence:
        pytest.skip("this processor has no bfloat16")
    reduced(batch)
    (network,) = reduced._networks.values()
    kinds = [
        (info.get_rt_info()["layerType"].astype(str), info.get_rt_info()["outputPrecisions"].astype(str))
        for info in network._request.get_compiled_model().get_runtime_model().get_ordered_ops()
    ]
    deconvolutions = [precision for kind, precision in kinds if kind == "Deconvolution"]
    assert deconvolutions
    assert set(deconvolutions) == {"bf16"}


@needs_openvino
def test_predictions_agree(pack, compiled, no_child):
    image = Image(np.random.default_rng(0).normal(size=(2, 50, 70)).astype(np.float32))
    ours = Predictor(pack, backend=open_backend(pack, "cpu", precision="float32", cache=compiled)).predict(image)
    theirs = Predictor(pack, "cpu", backend="torch").predict(image)
    assert np.allclose(ours.uncertainty, theirs.uncertainty, atol=1e-4)
    assert (ours.labels == theirs.labels).mean() > 0.999


@needs_openvino
def test_nothing_is_told_to_anybody(compiled):
    """OpenVINO's converter would report its use; its package first makes a folder for that in the user's home."""
    assert not [p for p in (compiled.parent / "home").rglob("*") if "intel" in p.name.lower()]


@needs_openvino
@pytest.mark.parametrize("damage", ["blob", "cut", "facts", "fields", "gone"])
def test_a_damaged_entry_is_made_anew(pack, batch, compiled, tmp_path, monkeypatch, damage):
    (entry,) = [folder for folder in compiled.iterdir() if (folder / BLOB).exists()]
    copied = tmp_path / "cache" / entry.name
    copied.mkdir(parents=True)
    blob, facts = (entry / BLOB).read_bytes(), (entry / FACTS).read_text()
    damaged = {
        "blob": (blob[:2000] + b"\xff" + blob[2001:], facts),
        "cut": (blob[: len(blob) // 2], facts),
        "facts": (blob, facts[:-20]),
        "fields": (blob, json.dumps({**json.loads(facts), "evidence": [{"labels": 1}]})),
        "gone": (b"", facts),
    }[damage]
    (copied / BLOB).write_bytes(damaged[0])
    (copied / FACTS).write_text(damaged[1])
    made = []

    def again(_pack, _samples, folder, _threads):
        made.append(folder)
        (folder / BLOB).write_bytes(blob)
        return {"float32": GOOD}

    monkeypatch.setattr(openvino_backend, "convert", again)
    backend = open_backend(pack, "cpu", "openvino", "float32", cache=tmp_path / "cache")
    assert alike(backend(batch), TorchBackend(pack, "cpu")(batch), 1e-4)
    assert len(made) == 1
    assert OpenVINOBackend(pack, cache=tmp_path / "cache").ready


@needs_openvino
@pytest.mark.skipif(sys.platform == "win32", reason="the stand-ins for a failing child are shell scripts")
@pytest.mark.parametrize(
    ("child", "reason"),
    [("kill -SEGV $$", "signal 11"), ("echo no such operation >&2; exit 3", "no such operation"), ("exit 0", "usable")],
)
def test_a_crash_while_compiling_ends_in_pytorch(pack, batch, tmp_path, monkeypatch, child, reason):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{child}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    backend = open_backend(pack, "cpu", "openvino", cache=tmp_path / "cache")
    assert alike(backend(batch), TorchBackend(pack, "cpu")(batch), 0)
    assert backend.name == "torch"
    assert reason in backend.notes[0]
    assert "PyTorch" in backend.notes[0]
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for a child that hangs is a shell script")
def test_a_child_that_hangs_is_given_up(pack, batch, tmp_path, monkeypatch):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 60\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(BackendError, match="longer"):
        convert.convert(pack, batch, tmp_path, 1, timeout=0.3)


@needs_openvino
@pytest.mark.parametrize("where", ["model", "samples", "folder"])
def test_a_full_disk_while_compiling_ends_in_pytorch(pack, batch, tmp_path, monkeypatch, where):
    """What would only be faster must not cost the result."""

    def full(*_arguments, **_more):
        raise OSError(28, "No space left on device")

    if where == "model":
        monkeypatch.setattr(atomic.os, "fsync", full)
    elif where == "samples":
        monkeypatch.setattr(convert.np, "save", full)
    else:
        monkeypatch.setattr(cache_module.tempfile, "mkdtemp", full)
    backend = open_backend(pack, "cpu", "openvino", cache=tmp_path / "cache")
    assert alike(backend(batch), TorchBackend(pack, "cpu")(batch), 0)
    assert "No space left on device" in backend.notes[0]
    assert not list((tmp_path / "cache").iterdir())


@needs_openvino
def test_a_compiled_model_that_disagrees_is_not_used(pack, batch, tmp_path, monkeypatch):
    wrong = Agreement(0.93, 0.9, 0.4, 0.2, 1000)
    monkeypatch.setattr(openvino_backend, "convert", lambda *_: {"float32": wrong, "bfloat16": wrong})
    backend = open_backend(pack, "cpu", "openvino", cache=tmp_path)
    assert alike(backend(batch), TorchBackend(pack, "cpu")(batch), 0)
    assert backend.name == "torch"
    assert "93.000%" in backend.notes[0]
    assert not OpenVINOBackend(pack, cache=tmp_path).ready


@needs_openvino
def test_cases_decide_the_precision(pack, batch, compiled, tmp_path, monkeypatch, no_child):
    """The first telling case opens bfloat16, every new one is compared, one that differs ends it for good."""
    found = []
    monkeypatch.setattr(openvino_backend, "compare", lambda *_: found[-1])
    monkeypatch.setattr(openvino_backend, "has_bfloat16", lambda: True)
    blob = next(compiled.glob(f"*/{BLOB}")).read_bytes()

    def fresh(name):
        backend = OpenVINOBackend(pack, cache=tmp_path / name)
        backend._entry = backend._cache.keep(backend._key, blob, {"evidence": [], "seen": []})
        return backend

    backend = fresh("good")
    assert backend.precision == "float32", "nothing was seen yet"
    found.append(Agreement(1.0, 1.0, 0.01, 0.0, 1000))
    backend.prepare(lambda: batch)
    assert backend.precision == "float32", "an image without any doubt tells nothing"
    found.append(GOOD)
    backend.prepare(lambda: batch)
    assert len(backend.evidence) == 1, "the same image again is no new case"
    for case in range(1, CASES + 3):
        backend.prepare(lambda case=case: batch + case)
        assert backend.precision == "bfloat16"
    assert sum(a.telling for a in backend.evidence) == CASES
    assert OpenVINOBackend(pack, cache=tmp_path / "good").precision == "bfloat16"

    backend = fresh("bad")
    backend.prepare(lambda: batch)
    found.append(Agreement(0.9985, 1.0, 0.02, 0.2, 1000))
    backend.prepare(lambda: batch + 1)
    assert backend.precision == "float32"
    found.append(GOOD)
    backend.prepare(lambda: batch + 2)
    assert OpenVINOBackend(pack, cache=tmp_path / "bad").precision == "float32"


def test_agreement_is_measured_in_what_a_user_sees():
    torch.manual_seed(0)
    logits = [2 * torch.randn(2, 3, 40, 40) for _ in range(2)]
    same = compare(logits, [s + 1e-6 for s in logits], (1.0, 2.0))
    assert (same.labels_alike, same.uncertainty_alike) == (1.0, 1.0)
    assert same.equal
    assert same.telling
    shifted = [s.clone() for s in logits]
    for s in shifted:
        s[:, :, :4] = s[:, :, :4].flip(1)  # a tenth of the image with other classes and the same uncertainty
    other = compare(logits, shifted, (1.0, 2.0))
    assert other.labels_alike == pytest.approx(1 - 0.1 * 2 / 3, abs=0.01)
    assert other.uncertainty_alike == 1.0
    assert not other.enough
    softer = compare(logits, [s * 0.9 for s in logits], (1.0, 2.0))
    assert softer.uncertainty_alike < 0.9
    assert not softer.enough
    assert not compare([torch.tensor([9.0, -9.0]).reshape(1, 2, 1, 1)], [torch.zeros(1, 2, 1, 1)], (1.0,)).telling


def test_windows_count_as_they_are_merged():
    """What differs at the edge of a window hardly shows in the merged image."""
    spec = InputSpec(modalities=("us",), sampling="windows", size=(32, 48))
    weights = window_weights(spec)
    assert weights.shape == (32, 48)
    assert window_weights(parts.SPEC) is None
    logits = torch.zeros(2, 2, 32, 48)
    logits[:, 0] = 2.0
    edge, middle = logits.clone(), logits.clone()
    edge[:, :, :2] = edge[:, :, :2].flip(1)
    middle[:, :, 15:17] = middle[:, :, 15:17].flip(1)
    plain, at_edge, inside = (
        compare([logits], [other], (1.0,), w) for other, w in ((edge, None), (edge, weights), (middle, weights))
    )
    assert plain.labels_alike == pytest.approx(1 - 2 / 32)
    assert at_edge.enough
    assert inside.labels_alike < plain.labels_alike


def test_pooling_weights_by_voxels():
    both = pool([Agreement(1.0, 1.0, 0.1, 0.5, 300), Agreement(0.8, 0.6, 0.2, 0.1, 100)])
    assert both.labels_alike == pytest.approx(0.95)
    assert both.uncertainty_alike == pytest.approx(0.9)
    assert (both.logit_error, both.voxels) == (0.2, 400)


def test_cache_is_bounded_and_forgets_the_least_recently_used(tmp_path):
    cache = Cache(tmp_path, limit=2500)
    for name in ("a", "b"):
        assert cache.keep(name, bytes(1000), {}).folder == tmp_path / name
    os.utime(tmp_path / "b", (1, 1))
    assert cache.find("a").blob == bytes(1000)
    cache.keep("c", bytes(1000), {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "c"]
    assert cache.find("b") is None


def test_cache_that_cannot_be_written_serves_this_process(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    cache = Cache(blocked / "cache")
    with cache.workspace() as folder:
        assert folder.is_dir()
    assert not folder.exists()
    entry = cache.keep("key", b"model", {"evidence": []})
    assert (entry.blob, entry.folder) == (b"model", None)
    entry.remember(evidence=[1])
    assert entry.facts["evidence"] == [1]
    assert cache.find("key") is None


def test_cache_folder_is_the_users_own(monkeypatch):
    for name in ("SEMISEG_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert Path.home() in cache_folder().parents
    assert cache_folder().parts[-2:] == ("SemiSeg", "compiled")


def test_key_follows_the_weights(pack):
    other = two_modalities()
    if installed_version() is None:
        pytest.skip("OpenVINO is not installed: pip install openvino")
    assert OpenVINOBackend(pack)._key == OpenVINOBackend(other)._key
    with torch.no_grad():
        next(other.branches[1].network.parameters()).view(-1)[0] += 1e-6
    assert OpenVINOBackend(pack)._key != OpenVINOBackend(other)._key


def test_what_cannot_be_had_is_said():
    pack = parts.pack()
    for arguments, code in [
        ({"backend": "tensorrt"}, "unknown-backend"),
        ({"precision": "int8"}, "unknown-precision"),
        ({"device": "cpu", "precision": "float16"}, "bad-precision"),
        ({"device": "tpu"}, "unknown-device"),
    ]:
        with pytest.raises(SemiSegError) as fault:
            open_backend(pack, **arguments)
        assert fault.value.code == code


def test_without_openvino(monkeypatch):
    monkeypatch.setattr(selection, "installed_version", lambda: None)
    with pytest.raises(SemiSegError) as fault:
        open_backend(parts.pack(), backend="openvino")
    assert fault.value.code == "missing-package"
    backend = open_backend(parts.pack(), "cpu")
    sample = torch.zeros(1, 1, *parts.SPEC.size)
    backend.prepare(1, lambda: sample)
    assert (backend.name, backend.notes) == ("torch", []), "for one image it makes no difference"
    for _ in range(2):
        backend.prepare(10**6, lambda: sample)
    assert len(backend.notes) == 1
    assert "openvino" in backend.notes[0]


@needs_openvino
def test_compiling_waits_until_it_pays(monkeypatch, tmp_path):
    asked = []

    def child(*_arguments):
        asked.append(1)
        raise BackendError("the child was asked")

    monkeypatch.setattr(openvino_backend, "convert", child)
    pack = parts.pack()
    batch = torch.zeros(1, 1, *parts.SPEC.size)
    backend = open_backend(pack, "cpu", cache=tmp_path)
    backend.prepare(1, lambda: batch)
    backend(batch)
    assert not asked
    monkeypatch.setattr(selection, "VOXELS_BEFORE_COMPILING", 2 * batch.numel())
    backend.prepare(1, lambda: batch)
    assert asked == [1], "one pass is done and one is coming"
    assert "the child was asked" in backend.notes[0]
    backend.prepare(10**6, lambda: batch)
    assert asked == [1], "what failed is not tried again"
