"""Lines and messages: whole, damaged, and of another version."""

from __future__ import annotations

import json
import math
import os

import pytest
from SemiSegCervicalLib.figures import FrameFigures, SegmentFigures
from SemiSegCervicalLib.worker import protocol
from SemiSegCervicalLib.worker.protocol import (
    FramesChunk,
    Hello,
    Load,
    Model,
    Predict,
    PredictFrames,
    Progress,
    Welcome,
)
from SemiSegCervicalLib.worker.validation import build, plain
from SemiSegCervicalLib.worker.wire import PREFIX, LineSplitter, decode, encode
from SemiSegTrainerLib.worker.protocol import Part, Train

FIGURES = SegmentFigures("cérvix", 1, 12, None, None, 0.25, None)
WHOLE = [
    Hello(modules=("SemiSegTrainerLib.worker.server_train",), spare_cores=1),
    Load(Model("a b/ü.semiseg", "cuda", "torch", 1.5)),
    Predict(Model("p"), ("a.npy", "b.npy"), (0, 2), spacing=(3.0, 0.5, 0.5), affine=((1.0, 0.0), (0.0, 1.0))),
    PredictFrames(Model("p"), ("a.npy",), indices=(4, 2), rgb=True),
    Train("d.json", "out", "semiseg", minutes=2.5, branches=(Part("unet", {"channels": [4, 8], "act": None}),)),
    Progress("reading", 1, 2, None, {"loss": 0.5, "dice": None}),
    FramesChunk((3, 4), "l.npy", "u.npy", (FrameFigures(3, 0.1, None, (FIGURES,)),)),
    Welcome("3.12", {"torch": None}, (protocol.Device("cpu", "x", True),), 2),
]


@pytest.mark.parametrize("content", WHOLE, ids=lambda c: type(c).__name__)
def test_everything_survives_the_line(content):
    (line,) = LineSplitter().feed(encode("kind", "7", content))
    envelope = decode(line)
    assert (envelope.kind, envelope.job) == ("kind", "7")
    assert build(type(content), envelope.body) == content


def test_numbers_that_json_lacks_become_null():
    (line,) = LineSplitter().feed(encode("progress", "1", Progress("a", 0, 1, math.nan, {"loss": math.inf})))
    assert build(Progress, decode(line).body) == Progress("a", 0, 1, None, {"loss": None})


def test_paths_that_are_no_unicode_survive():
    path = os.fsdecode(b"/data/\xff\xe9 name.npy")
    (line,) = LineSplitter().feed(encode("load", "1", Load(Model(path))))
    line.decode("ascii")
    assert build(Load, decode(line).body).model.pack == path


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"images": None}, "Predict.images"),
        ({"images": ["a.npy", 3]}, "Predict.images[1]"),
        ({"images": "a.npy"}, "Predict.images"),
        ({"rgb": 1}, "Predict.rgb"),
        ({"modalities": [True]}, "Predict.modalities[0]"),
        ({"modalities": [0.5]}, "Predict.modalities[0]"),
        ({"spacing": ["1"]}, "Predict.spacing[0]"),
        ({"affine": [1.0]}, "Predict.affine[0]"),
        ({"model": "pack"}, "Predict.model"),
        ({"model": {}}, "Model.pack|Predict.model.pack"),
        ({"model": {"pack": "p", "memory_gib": "much"}}, "Predict.model.memory_gib"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_wrong_field_is_named(change, named):
    whole = plain(Predict(Model("p"), ("a.npy",), affine=((1.0,),)))
    with pytest.raises(ValueError, match="|".join(n.replace("[", r"\[") for n in named.split("|"))):
        build(Predict, {**whole, **change})


def test_a_missing_field_is_named():
    with pytest.raises(ValueError, match=r"Load\.model is missing"):
        build(Load, {})
    with pytest.raises(ValueError, match="not an object"):
        build(Load, [])


def test_lines_come_together_from_any_pieces():
    events = b"".join(encode("progress", str(n), Progress("étape" * n, n, 9)) for n in range(1, 6))
    whole = LineSplitter().feed(events)
    for size in (1, 3, 7, 64):
        splitter = LineSplitter()
        found = [line for at in range(0, len(events), size) for line in splitter.feed(events[at : at + size])]
        assert found == whole
    assert len(whole) == 5


def test_what_others_print_is_no_event():
    splitter = LineSplitter()
    lines = splitter.feed(b"warning: no newline at the end" + encode("alive", "", None) + b"more\r\n")
    assert [decode(line) is not None for line in lines] == [False, True, False]


def test_endless_lines_do_not_fill_the_memory():
    splitter = LineSplitter(limit=1000)
    for _ in range(50):
        assert splitter.feed(b"x" * 100) == []
    assert splitter._length > 1000
    assert not splitter._parts
    assert decode(splitter.feed(encode("alive"))[-1]).kind == "alive"


@pytest.mark.parametrize(
    "rest", [b"", b"{", b"[]", b'{"kind": 1, "job": "", "body": {}}', b"\xff", b"[" * 10**5, b"NaN"]
)
def test_a_damaged_event_is_refused(rest):
    with pytest.raises(ValueError):  # noqa: PT011  (the words are those of whoever found it)
        decode(PREFIX + rest)


def test_kinds_are_distinct():
    kinds = [m.kind for m in (Hello, protocol.Describe, Load, Predict, PredictFrames, Train)]
    controls = [protocol.CANCEL, protocol.STOP, protocol.SHUTDOWN]
    assert len({*kinds, *controls}) == len(kinds) + len(controls)
    assert json.loads(encode("a").strip()[len(PREFIX) :])["body"] == {}
