"""Frames of a cine side by side: as one after the other, in order, and whatever happens in a thread."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from SemiSegCervicalLib.engine.backends import selection
from SemiSegCervicalLib.engine.backends.base import BackendError
from SemiSegCervicalLib.engine.backends.runtime import Network, installed_version
from SemiSegCervicalLib.engine.backends.selection import open_backend
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.threads import side_by_side
from SemiSegCervicalLib.errors import SemiSegError
from TrainingRig import cases, parts

needs_openvino = pytest.mark.skipif(
    installed_version() is None, reason="OpenVINO is not installed: pip install openvino"
)
FRAMES = 40


@pytest.fixture(autouse=True)
def two_threads():
    """What lanes are made of; other tests have one."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def predictor(folder):
    """Tiny networks, compiled once."""
    pack = parts.pack(temperature=1.5)
    return Predictor(pack, backend=open_backend(pack, "cpu", "openvino", "float32", folder))


@pytest.fixture
def frames():
    return [Image(cases.draw(seed, (40, 60))[0][None].astype(np.float32)) for seed in range(FRAMES)]


@pytest.fixture
def computed(monkeypatch):
    """In which thread each frame was computed."""
    seen: list[str] = []
    real = Network.__call__

    def counted(self, batch):
        seen.append(threading.current_thread().name)
        return real(self, batch)

    monkeypatch.setattr(Network, "__call__", counted)
    return seen


def test_results_come_in_order_from_threads_of_their_own():
    at_once, most, lock = 0, 0, threading.Lock()
    used: dict[str, set[int]] = {"a": set(), "b": set()}

    def work(lane, item):
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.02 if item % 2 else 0.005)
        used[lane].add(item)
        with lock:
            at_once -= 1
        return item, torch.get_num_threads()

    assert list(side_by_side(work, range(9), ["a", "b"])) == [(item, 1) for item in range(9)]
    assert most == 2
    assert used["a"] | used["b"] == set(range(9))
    assert not used["a"] & used["b"]
    assert torch.get_num_threads() == 2
    later: list[int] = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2], "threads that are started later begin as before"


def test_what_one_raises_comes_in_its_place():
    done = []

    def work(_lane, item):
        if item == 3:
            raise ValueError("the third")
        return item

    with pytest.raises(ValueError, match="the third"):
        done.extend(side_by_side(work, range(100), [1, 2]))
    assert done == [0, 1, 2]


def test_who_needs_no_more_stops_it():
    begun = []

    def work(_lane, item):
        begun.append(item)
        return item

    results = side_by_side(work, range(1000), [1, 2])
    assert [next(results), next(results)] == [0, 1]
    results.close()
    assert len(begun) <= 6, "only a few are taken ahead"
    assert torch.get_num_threads() == 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lane")]


@needs_openvino
@pytest.mark.parametrize("tta", [0, 2])
def test_a_cine_is_segmented_by_lanes_as_frame_by_frame(predictor, frames, computed, tta):
    predictor.tta = tta
    expected = [predictor.predict(frame, probabilities=True) for frame in frames]
    del computed[:]
    found = list(predictor.predict_frames(frames, probabilities=True))
    assert len(computed) == FRAMES * (1 + tta)
    assert len(set(computed)) == 2
    assert all(name.startswith("lane") for name in computed)
    assert len(found) == FRAMES
    for one, other in zip(found, expected, strict=True):
        assert (one.labels == other.labels).mean() > 0.999
        np.testing.assert_allclose(one.uncertainty, other.uncertainty, atol=1e-4)
        np.testing.assert_allclose(one.disagreement, other.disagreement, atol=1e-4)
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-4)
        assert one.notes == other.notes
        assert one.seconds > 0
    again = list(predictor.predict_frames(frames))
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.uncertainty, other.uncertainty, "equal calls give equal results")


@needs_openvino
def test_few_frames_one_thread_and_large_frames_go_one_after_the_other(predictor, frames, computed, monkeypatch):
    list(predictor.predict_frames(frames[:8]))
    torch.set_num_threads(1)
    list(predictor.predict_frames(frames))
    torch.set_num_threads(2)
    monkeypatch.setattr(selection, "_LANES_BYTES", 10**6)
    list(predictor.predict_frames(frames))
    assert not any(name.startswith("lane") for name in computed)


@needs_openvino
@pytest.mark.parametrize("fault", [BackendError("gone"), RuntimeError("bad allocation"), MemoryError(), "no numbers"])
def test_what_a_lane_cannot_do_the_backend_does(predictor, frames, monkeypatch, fault):
    expected = [predictor.predict(frame) for frame in frames]
    real, seen = Network.__call__, []

    def failing(self, batch):
        if not threading.current_thread().name.startswith("lane"):
            return real(self, batch)
        seen.append(batch)
        if len(seen) <= 12:
            return real(self, batch)
        if isinstance(fault, Exception):
            raise fault
        return [torch.full_like(logits, torch.nan) for logits in real(self, batch)]

    monkeypatch.setattr(Network, "__call__", failing)
    found = list(predictor.predict_frames(frames))
    assert len(found) == FRAMES
    assert 12 < len(seen) < FRAMES
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.uncertainty, other.uncertainty, atol=1e-4)


@needs_openvino
def test_a_frame_that_does_not_fit_is_told_as_it_is(predictor, frames):
    frames[18] = Image(np.zeros((2, 40, 60), dtype=np.float32))
    done = []
    with pytest.raises(SemiSegError, match="1 modality"):
        done.extend(predictor.predict_frames(frames))
    assert len(done) == 18, "what comes before it is there"
