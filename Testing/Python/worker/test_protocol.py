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
from SemiSegTrainerLib.worker.protocol import (
    Compare,
    Compared,
    Measure,
    Measured,
    ModelMeasure,
    News,
    Part,
    Preview,
    Suggest,
    Suggested,
    Suggestion,
    Train,
    Validated,
    WorstCase,
)

FIGURES = SegmentFigures("cérvix", 1, 12, None, None, 0.25, None)
TRAINER = (Train, Measure, Compare, Suggest)
WORST = WorstCase("case 3", None, 0.25, "i.npy", "l.npy", "r.npy", "u.npy", 0.5)
FAULT = protocol.Failure("bad-pack", "reading", "It is damaged", "Choose another")
WHOLE = [
    Hello(modules=("SemiSegTrainerLib.worker.server_train",), spare_cores=1),
    Load(Model("a b/ü.semiseg", "cuda", "torch", 1.5)),
    Predict(Model("p"), ("a.npy", "b.npy"), (0, 2), spacing=(3.0, 0.5, 0.5), affine=((1.0, 0.0), (0.0, 1.0))),
    PredictFrames(Model("p"), ("a.npy",), indices=(4, 2), rgb=True),
    Train("d.json", "out", "semiseg", minutes=2.5, branches=(Part("unet", {"channels": [4, 8], "act": None}),)),
    News(7, 100, 3.5, {"supervised": 0.5, "cross": 0.0}, 0.25),
    News(
        8,
        100,
        4.5,
        {"supervised": 0.5},
        0.0,
        Validated(8, (0.75, None), 0.75, 900, 2),
        Preview("case 3", 4, "i.npy", "l.npy", "u.npy", None, 2.5),
        1.5,
        plateau=True,
        repeated=True,
    ),
    Measure("d.json", "supervised", size=(32, 48), branches=(Part("unet", {}),)),
    Measured(0.5, 1.25, "cpu", "32-true", 1, (32, 48), None, ("All pictures become 32 x 48",), 12.0, 0.5),
    Compare(("a.semiseg", "b.semiseg"), "d.json", "test", worst=2),
    Compared(
        ("bright", "dark"),
        (ModelMeasure("a", "A", (0.5, None), 0.5, 900, 2, (WORST,)), ModelMeasure("b", failure=FAULT)),
    ),
    Suggest("a.semiseg", "d.json"),
    Suggested((Suggestion("case 3", 4, 0.75, ("unsure along the outline",), "labels-0.npy"),)),
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


def test_a_measured_pace_says_what_fits_into_a_time():
    told = Measured(0.5, None, "cpu", "32-true", 1, (32, 48), None, (), 20.0, 0.6)
    iterations = told.iterations_in(2.0)
    assert told.seconds_of(iterations) <= 120.0 < told.seconds_of(iterations + 1)
    assert told.iterations_in(0.1) == 1, "what takes longer than the time still learns something"


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
    kinds = [m.kind for m in (Hello, protocol.Describe, Load, Predict, PredictFrames, *TRAINER)]
    controls = [protocol.CANCEL, protocol.STOP, protocol.FINISH, protocol.SHUTDOWN]
    assert len({*kinds, *controls}) == len(kinds) + len(controls)
    assert json.loads(encode("a").strip()[len(PREFIX) :])["body"] == {}
