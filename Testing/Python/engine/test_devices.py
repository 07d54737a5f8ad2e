"""Which device is chosen, and what is said of one that cannot be used."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from house.environment import with_libraries
from SemiSegCervicalLib.engine import selftest
from SemiSegCervicalLib.engine.backends import selection, torch_backend
from SemiSegCervicalLib.engine.backends.ladder import refusal
from SemiSegCervicalLib.engine.backends.selection import open_backend
from SemiSegCervicalLib.engine.backends.torch_backend import TorchBackend
from SemiSegCervicalLib.engine.device import resolve_device
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.errors import SemiSegError
from TrainingRig import parts
from TrainingRig.card import CARD, Card


@pytest.fixture
def card(monkeypatch):
    """A card that PyTorch calls available and that fails at the first kernel."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Old card")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=2**31))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (3, 5))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80", "sm_90"])
    errors = []

    def kernel(*_arguments, **_more):
        raise errors[0]

    monkeypatch.setattr(torch.Tensor, "to", kernel)
    selftest.examine_devices.cache_clear()
    yield errors
    selftest.examine_devices.cache_clear()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("CUDA error: no kernel image is available for execution on the device\nmore", "compute capability 3.5"),
        ("CUDA error: out of memory", "out of memory"),
        ("CUDA driver version is insufficient for CUDA runtime version", "driver version is insufficient"),
    ],
)
def test_a_failure_is_told_by_its_own_reason(card, error, said):
    card.append(RuntimeError(error))
    broken, cpu = selftest.examine_devices()
    assert (broken.name, broken.label, broken.works, cpu.works) == ("cuda", "Old card", False, True)
    assert said in broken.reason
    assert "\n" not in broken.reason


def test_a_broken_card_is_not_chosen_and_when_asked_for_is_an_error_with_a_remedy(card):
    card.append(RuntimeError("CUDA error: no kernel image is available for execution on the device"))
    assert resolve_device("auto").type == "cpu"
    card.clear()  # it would fail otherwise if it were tried again
    with pytest.raises(SemiSegError, match="Old card") as caught:
        resolve_device("cuda")
    assert caught.value.code == "device-error"
    assert "cpu" in caught.value.remedy


def test_a_broken_card_is_not_used_and_said(card, monkeypatch):
    card.append(RuntimeError("CUDA error: no kernel image is available for execution on the device"))
    selftest.examine_devices()
    monkeypatch.undo()
    (note,) = open_backend(parts.pack(), backend="torch").notes
    assert "Old card" in note
    assert "compute capability 3.5" in note
    assert open_backend(parts.pack(), "cpu", "torch").notes == []


@pytest.mark.parametrize("dims", [2, 3])
def test_a_card_that_lacks_an_operation_is_not_chosen_for_the_models_that_need_it(dims, monkeypatch):
    for module in (selection, torch_backend):
        monkeypatch.setattr(module, "resolve_device", lambda name: torch.device("cpu" if name == "cpu" else CARD))
    volumes = InputSpec(spatial_dims=3, modalities=("mri",), sampling="windows", size=(16, 16, 16))
    pack = parts.pack(spec=parts.SPEC if dims == 2 else volumes)
    image = Image(np.zeros((1, 20, 20, 20)[: dims + 1], dtype=np.float32))
    with Card(volumes=False):
        predictor = Predictor(pack, "auto", backend="torch")
        notes = predictor.predict(image).notes
        assert (predictor.device == CARD) == (dims == 2)
        assert [note for note in notes if "not supported on MPS" in note and "processor" in note] == list(notes)
        assert len(notes) == dims - 2
        if dims == 3:
            with pytest.raises(SemiSegError, match="not supported on MPS") as caught:
                Predictor(pack, "mps", backend="torch")
            assert caught.value.code == "device-error"
            assert "cpu" in caught.value.remedy


@pytest.mark.parametrize("unsure", [True, False])
def test_a_card_that_gives_other_numbers_than_the_processor_is_not_used_without_a_word(monkeypatch, unsure):
    for module in (selection, torch_backend):
        monkeypatch.setattr(module, "resolve_device", lambda name: torch.device("cpu" if name == "cpu" else CARD))
    monkeypatch.setattr(torch_backend, "UNSURE_DEVICES", (CARD.type,) if unsure else ("mps",))
    with Card(wrong=1.0):
        predictor = Predictor(parts.pack(), "auto", backend="torch")
        assert predictor.device.type == ("cpu" if unsure else CARD.type)
        assert any("wrong numbers" in note and "processor" in note for note in predictor.backend.notes) == unsure
        if unsure:
            with pytest.raises(SemiSegError, match="wrong numbers"):
                Predictor(parts.pack(), "mps", backend="torch")


def test_rounding_is_no_wrong_number():
    first, second = (TorchBackend(parts.pack(), "cpu", precision) for precision in ("float32", "bfloat16"))
    shape = (1, len(parts.SPEC.modalities), *parts.SPEC.size)
    selftest.compare_with_processor(second, first, shape)
    with pytest.raises(RuntimeError, match="wrong numbers"):
        selftest.compare_with_processor(lambda x: [y * float("nan") for y in first(x)], first, shape)


def test_a_card_of_little_memory_is_not_refused():
    assert refusal(lambda: torch.empty(2**55)) == ""
    assert refusal(lambda: None) == ""


@pytest.mark.parametrize(
    ("told", "found"),
    [({}, "20000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_the_threads_of_pytorch_wait_briefly_unless_the_user_says_otherwise(told, found):
    """Set before PyTorch is loaded, which reads it once."""
    asking = (
        "import os, sys, SemiSegCervicalLib.engine; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"
    )
    left = {k: v for k, v in with_libraries().items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    child = subprocess.run([sys.executable, "-c", asking], env={**left, **told}, capture_output=True, text=True)
    assert child.stdout.split() == [found, "False"], child.stderr
