"""What happens when memory runs out: fewer windows, smaller windows, then the CPU, and a sentence for the user."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from SemiSegCervicalLib.engine.backends.ladder import Ladder, is_out_of_memory
from SemiSegCervicalLib.engine.backends.selection import open_backend
from SemiSegCervicalLib.engine.backends.torch_backend import TorchBackend
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegCervicalLib.errors import SemiSegError
from TrainingRig import parts
from TrainingRig.card import CARD, Card

WINDOWS = InputSpec(modalities=("us",), sampling="windows", size=(32, 48))


class Small:
    """A graphics card of little memory: real networks, and PyTorch's own error above a number of voxels."""

    name, precision, notes = "torch", "float32", ()

    def __init__(self, pack, limit, device="cuda"):
        self.backend, self.limit, self.device = TorchBackend(pack, "cpu"), limit, torch.device(device)
        self.asked = []

    def __call__(self, batch):
        self.asked.append((len(batch), *batch.shape[2:]))
        if math.prod(self.asked[-1]) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return self.backend(batch)


def ladder(pack):
    return Ladder(pack.manifest.input.size, lambda size: all(b.takes(size) for b in pack.branches), 4)


def test_a_batch_is_halved_until_it_fits_and_the_result_stays_the_same():
    pack = parts.pack(spec=WINDOWS)
    card, steps = Small(pack, 2 * 32 * 48), ladder(pack)
    batch = torch.randn(7, 1, 32, 48)
    for ours, theirs in zip(steps.run(card, batch), TorchBackend(pack, "cpu")(batch), strict=True):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, atol=1e-4)
    assert steps.together == 1
    assert steps.size == (32, 48)
    tried = len(card.asked)
    steps.run(card, batch)
    assert [n for n, *_ in card.asked[tried:]] == [1] * 7, "what did not fit is not tried again"
    assert len(steps.notes()) == 1
    assert "same result" in steps.notes()[0]


def test_windows_shrink_when_one_alone_does_not_fit():
    pack = parts.pack(spec=WINDOWS)
    card, steps = Small(pack, 16 * 24), ladder(pack)
    # Smooth input: what a half window sees is much like what a whole one does.
    batch = torch.nn.functional.interpolate(torch.randn(2, 1, 4, 6), size=(32, 48), mode="bilinear")
    found = steps.run(card, batch)
    assert steps.size == (16, 24)
    assert card.asked[-1] == (1, 16, 24)
    for ours, theirs in zip(found, TorchBackend(pack, "cpu")(batch), strict=True):
        assert ours.shape == theirs.shape
        assert torch.corrcoef(torch.stack([ours.flatten(), theirs.flatten()]))[0, 1] > 0.8
    assert "16 x 24 instead of 32 x 48" in steps.notes()[-1]


def test_the_last_step_is_followed_by_none():
    pack = parts.pack(spec=WINDOWS)
    card, steps = Small(pack, 10), ladder(pack)
    with pytest.raises(MemoryError):
        steps.run(card, torch.randn(2, 1, 32, 48))
    assert all(b.takes(steps.size) for b in pack.branches)
    assert steps.size == (4, 8), "the smallest that the networks can halve"


def test_other_errors_pass():
    def broken(_batch):
        raise RuntimeError("size mismatch")

    with pytest.raises(RuntimeError, match="size mismatch"):
        ladder(parts.pack()).run(broken, torch.zeros(2, 1, 32, 48))


def test_what_counts_as_out_of_memory():
    with pytest.raises(RuntimeError) as real:
        torch.empty(2**55)
    assert is_out_of_memory(real.value)
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 17 GB)"))
    assert is_out_of_memory(RuntimeError("Invalid buffer size: 13.42 GiB")), "Metal, of one tensor"
    assert is_out_of_memory(RuntimeError("CUDNN_STATUS_ALLOC_FAILED"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("size mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(("limit", "said"), [(2 * 32 * 48, "at once"), (16 * 24, "smaller parts"), (10, "processor")])
def test_a_prediction_survives_and_says_so(limit, said):
    pack = parts.pack(spec=WINDOWS)
    image = Image(np.random.default_rng(0).normal(size=(1, 70, 90)).astype(np.float32))
    backend = open_backend(pack, "cpu", "torch")
    backend._active = Small(pack, limit)
    result = Predictor(pack, backend=backend).predict(image)
    whole = Predictor(pack, "cpu", backend="torch").predict(image)
    assert any(said in note for note in result.notes)
    assert whole.notes == ()
    assert result.labels.shape == (70, 90)
    if said != "smaller parts":
        assert np.allclose(result.uncertainty, whole.uncertainty, atol=1e-5)
    assert backend.device.type == ("cpu" if said == "processor" else "cuda")


def test_a_scaled_image_goes_straight_to_the_cpu():
    pack = parts.pack()
    backend = open_backend(pack, "cpu", "torch")
    backend._active = card = Small(pack, 10)
    image = Image(np.random.default_rng(0).normal(size=(1, 70, 90)).astype(np.float32))
    notes = Predictor(pack, backend=backend).predict(image).notes
    assert {asked[1:] for asked in card.asked} == {(32, 48)}, "it is never cut"
    assert [note for note in notes if "processor" in note]


def test_out_of_memory_outside_the_networks_leaves_the_device_too():
    pack = parts.pack(spec=WINDOWS)
    backend = open_backend(pack, "cpu", "torch")
    backend._active = Small(pack, 10**9)
    predictor = Predictor(pack, backend=backend)
    whole, fields = [], predictor._fields

    def full(batch):
        whole.append(len(batch))
        if backend.device.type == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return fields(batch)

    predictor._fields = full
    result = predictor.predict(Image(np.zeros((1, 70, 90), dtype=np.float32)))
    assert any("processor" in note for note in result.notes)
    assert len(whole) > 2, "the case began again"


def test_a_cpu_without_memory_is_the_users_to_solve():
    pack = parts.pack()
    backend = open_backend(pack, "cpu", "torch")
    backend._active = Small(pack, 10, "cpu")
    with pytest.raises(SemiSegError) as fault:
        Predictor(pack, backend=backend).predict(Image(np.zeros((1, 70, 90), dtype=np.float32)))
    assert fault.value.code == "out-of-memory"


def test_predictors_that_share_a_model_may_leave_a_device_one_by_one():
    pack = parts.pack()
    image = Image(np.zeros((1, 70, 90), dtype=np.float32))
    first, second = (Predictor(pack, "cpu", backend="torch") for _ in range(2))
    for predictor in (first, second):
        predictor.backend._active.device = CARD
    with Card():
        assert len(first.predict(image).segments) == 2
        second.backend.leave_device()
        assert second.predict(image).notes
        assert first.predict(image).notes == ()
    assert (first.device, second.device.type) == (CARD, "cpu")
    assert not any(weight.is_inference() for branch in pack.branches for weight in branch.parameters())
