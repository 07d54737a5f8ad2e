"""Which device is chosen, and what is said of one that cannot be used."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from SemiSegCervicalLib.engine import selftest
from SemiSegCervicalLib.engine.backends.selection import open_backend
from SemiSegCervicalLib.engine.device import resolve_device
from SemiSegCervicalLib.errors import SemiSegError
from TrainingRig import parts


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
