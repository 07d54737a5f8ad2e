"""Runs: resumed after any end, timed, recorded, and packed."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import random
import shutil

import pytest
import torch
from PIL import Image
from SemiSegCervicalLib.engine.pack import load_pack, read_manifest
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegTrainerLib.learning.checkpoint import load_checkpoint, save_checkpoint
from SemiSegTrainerLib.learning.history import History
from SemiSegTrainerLib.learning.method import get_method
from SemiSegTrainerLib.learning.patches import remember
from SemiSegTrainerLib.learning.preparation import RunOptions
from SemiSegTrainerLib.learning.run import check_output, train_model
from SemiSegTrainerLib.learning.schedules import Constant, SigmoidRamp, polynomial_decay
from SemiSegTrainerLib.learning.training import Settings, choose_precision
from TrainingRig import cases, kill, killable, parts


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return cases.write_dataset(tmp_path_factory.mktemp("data"), validation=1)


@pytest.fixture(scope="module")
def data(datalist):
    return parts.load(datalist)


def options(**more):
    settings = {"iterations": 4, "precision": "32-true", "log_every": 2}
    settings.update({k: more.pop(k) for k in list(more) if k in Settings.__dataclass_fields__})
    return RunOptions(settings=Settings(**settings), device="cpu", size=cases.SIZE, branches=parts.TINY, **more)


def rows(path):
    with path.open(newline="") as stream:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(stream)]


def test_a_run_leaves_model_history_and_summary(tmp_path, datalist):
    stages = []
    out = tmp_path / "out"
    summary = train_model(datalist, out, options(name="blobs"), lambda stage, *_: stages.append(stage))
    assert sorted(p.name for p in out.iterdir()) == ["checkpoints", "history.csv", "model.semiseg", "summary.json"]
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["last.ckpt"]
    assert list(dict.fromkeys(stages)) == ["reading", "training", "calibrating", "validating", "saving"]
    assert summary["finished"]
    assert (summary["labelled"], summary["unlabelled"], summary["not_learned_from"]) == (3, 4, 0)
    assert summary["validation"]["cases_count"] == 1
    manifest = load_pack(out / "model.semiseg").manifest
    assert manifest.name == "blobs"
    assert manifest.provenance.iterations == 4
    assert [c.name for c in manifest.classes] == ["bright", "dark"]
    assert manifest.quality[0].value == summary["validation"]["dice"]
    assert [r["iteration"] for r in rows(out / "history.csv")] == ["2", "4"]


def test_validation_without_any_segment_has_no_figure(tmp_path, datalist):
    folder = tmp_path / "data"
    shutil.copytree(datalist.parent, folder)
    content = json.loads(datalist.read_text())
    content["validation"][0]["complete"] = False
    content["validation"][0]["label"] = "nothing.png"
    Image.new("L", cases.SIZE[::-1]).save(folder / "nothing.png")
    summary = train_model(cases.write_datalist(folder, content), tmp_path / "out", options(iterations=1))
    assert summary["validation"]["dice"] is None
    assert load_pack(tmp_path / "out" / "model.semiseg").manifest.quality == ()


def test_faulty_validation_file_is_found_before_the_training(tmp_path, datalist):
    content = json.loads(datalist.read_text())
    for entries in content.values():
        if isinstance(entries, list):
            for entry in entries:
                for key in ("image", "label"):
                    if key in entry:
                        entry[key] = str(datalist.parent / entry[key])
    content["validation"][0]["label"] = "missing.png"
    with pytest.raises(SemiSegError) as caught:
        train_model(cases.write_datalist(tmp_path, content), tmp_path / "out", options())
    assert caught.value.code == "missing-file"
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_killed_run_ends_as_the_uninterrupted_one(tmp_path):
    """Killed twice in the training and once in a fold of its calibration."""
    datalist = cases.write_dataset(tmp_path / "data")

    def arguments(out):
        return [str(datalist), str(tmp_path / out), "24", "cross_supervision", "5"]

    moment = random.Random(5)
    assert 0 < kill.train_until(arguments("killed"), moment) < 24
    assert kill.train_until(arguments("killed"), moment) < 24
    kill.train_until(arguments("killed"), moment, stage="calibrating")
    assert not (tmp_path / "killed" / "model.semiseg").exists()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes that were killed
    try:
        for out in ("killed", "whole"):
            killable.main(*arguments(out))
    finally:
        torch.set_num_threads(threads)
    assert parts.same(parts.model_weights(tmp_path / "killed"), parts.model_weights(tmp_path / "whole"))
    killed, whole = (rows(tmp_path / out / "history.csv") for out in ("killed", "whole"))
    assert killed == whole
    assert [int(r["iteration"]) for r in whole] == list(range(3, 25, 3))
    fitted = [read_manifest(tmp_path / out / "model.semiseg").calibration for out in ("killed", "whole")]
    assert fitted[0] == fitted[1]
    assert fitted[0].fitted_on
    assert not list((tmp_path / "killed").rglob("*.part"))


def test_stopped_run_is_resumed_through_its_folder(tmp_path, datalist):
    out = tmp_path / "out"
    said = []
    first = train_model(datalist, out, options(), lambda s, *_: said.append(s), lambda: said.count("training") >= 2)
    assert not first["finished"]
    assert first["iterations"] == 2
    assert not (out / "model.semiseg").exists()
    with pytest.raises(SemiSegError) as caught:
        train_model(datalist, out, options())
    assert caught.value.code == "exists"
    assert train_model(datalist, out, options(resume=True))["finished"]
    train_model(datalist, tmp_path / "whole", options())
    assert parts.same(parts.model_weights(out), parts.model_weights(tmp_path / "whole"))
    assert rows(out / "history.csv") == rows(tmp_path / "whole" / "history.csv")


def test_checkpoint_of_a_run_with_other_windows_is_refused(tmp_path):
    """Volumes are the same whatever window the networks see of them."""
    data = parts.volumes((16, 24, 32))
    places = tuple(remember(sets, parts.CLASSES, row) for row, sets in enumerate(data.possible))
    one, other = (dataclasses.replace(data, patch=patch, places=places) for patch in ((8, 16, 16), (16, 16, 16)))
    stop = iter([False, True])
    parts.training("supervised", one, tmp_path).run(should_stop=lambda: next(stop))
    with pytest.raises(SemiSegError) as caught:
        parts.training("supervised", other, tmp_path).run()
    assert caught.value.code == "other-run"
    assert "input size" in str(caught.value)
    assert parts.training("supervised", one, tmp_path).run().iterations == 6


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"method": "supervised"}, {"iterations": 9}, {"learning_rate": 0.1}, {"without": ("contrast",)},
     {"unlabelled_view": "weak"}],
)  # fmt: skip
def test_checkpoint_of_another_run_is_refused(tmp_path, datalist, change):
    out = tmp_path / "out"
    stop = iter([False, True, True])
    train_model(datalist, out, options(), should_stop=lambda: next(stop))
    before = (out / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(SemiSegError) as caught:
        train_model(datalist, out, options(resume=True, **change))
    assert caught.value.code == "other-run"
    assert (out / "checkpoints" / "last.ckpt").read_bytes() == before


def test_checkpoint_of_other_weights_is_refused(tmp_path, data):
    method = get_method("dual_uncertainty")
    parts.training(method, data, tmp_path, iterations=1).run()
    heavier = dataclasses.replace(method.terms[1], weight=Constant(0.5))
    other = dataclasses.replace(method, terms=(method.terms[0], heavier, *method.terms[2:]))
    with pytest.raises(SemiSegError, match="method"):
        parts.training(other, data, tmp_path, iterations=1).run()


def test_a_run_without_a_term_says_so(tmp_path, datalist):
    chosen = options(method="dual_uncertainty", without=("prototype", "mistake"), unlabelled_view="strong")
    summary = train_model(datalist, tmp_path / "out", chosen)
    name = "dual_uncertainty on strong views without mistake, prototype"
    assert summary["method"] == name
    pack = load_pack(tmp_path / "out" / "model.semiseg")
    assert pack.manifest.provenance.method == name
    assert name in pack.card
    columns = set(rows(tmp_path / "out" / "history.csv")[0])
    assert {"cross", "rectified", "agreement"} <= columns
    assert not {"prototype", "mistake"} & columns
    with pytest.raises(SemiSegError, match="nonsense") as caught:
        train_model(datalist, tmp_path / "other", dataclasses.replace(chosen, without=("nonsense",)))
    assert "mistake, cross, rectified, agreement, prototype" in caught.value.remedy
    assert not (tmp_path / "other").exists()


def test_checkpoint_of_other_data_is_refused(tmp_path, data):
    parts.training("supervised", data, tmp_path, iterations=1).run()
    other = dataclasses.replace(data, fingerprint="other")
    with pytest.raises(SemiSegError, match="fingerprint"):
        parts.training("supervised", other, tmp_path, iterations=1).run()


def test_a_run_that_cannot_be_saved_for_a_while_goes_on(tmp_path, data):
    """A folder in the place of the checkpoint refuses it, as a full disk does."""
    run = parts.training("supervised", data, tmp_path, iterations=8, checkpoint_seconds=0.0)
    said = []

    def look(progress):
        said.append(run.unsaved)
        if progress.iteration == 3:
            (tmp_path / "last.ckpt").rename(tmp_path / "kept.ckpt")
            (tmp_path / "last.ckpt").mkdir()
        elif progress.iteration == 6:
            (tmp_path / "last.ckpt").rmdir()

    assert run.run(look).iterations == 8
    assert [bool(reason) for reason in said] == [False, False, False, True, True, True, False, False]
    assert "last.ckpt" in said[3]
    assert load_checkpoint(tmp_path / "kept.ckpt")["iteration"] == 2
    assert load_checkpoint(tmp_path / "last.ckpt")["iteration"] == 8
    again = parts.training("supervised", data, tmp_path / "other", iterations=8)
    again.run()
    assert parts.same(parts.weights(run), parts.weights(again))


@pytest.mark.parametrize("moment", [1, 8])
def test_a_run_that_cannot_be_saved_at_its_start_or_end_says_so(tmp_path, data, moment):
    run = parts.training("supervised", data, tmp_path, iterations=8, checkpoint_seconds=0.0)

    def look(progress):
        if progress.iteration == moment:
            (tmp_path / "last.ckpt").unlink(missing_ok=True)
            (tmp_path / "last.ckpt").mkdir()

    with pytest.raises(SemiSegError) as caught:
        run.run(look)
    assert caught.value.code == "cannot-write"


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_damaged_checkpoints(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "last.ckpt"
    save_checkpoint(path, {"a": torch.ones(1000), "b": [1, 2.5, "c", None, True]})
    assert load_checkpoint(path)["b"] == [1, 2.5, "c", None, True]
    whole = path.read_bytes()
    for content in (whole[:-100], whole[:50], b"", b"hello", bytes(500)):
        path.write_bytes(content)
        with pytest.raises(SemiSegError) as caught:
            load_checkpoint(path)
        assert caught.value.code == "bad-checkpoint"
    torch.save({"a": Harm()}, path)
    with pytest.raises(SemiSegError):
        load_checkpoint(path)
    assert not (tmp_path / "harm").exists()
    with pytest.raises(SemiSegError) as caught:
        load_checkpoint(tmp_path / "none")
    assert caught.value.code == "nothing-to-resume"


def test_remains_of_a_killed_start_are_no_results(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / ".last.ckpt.part").write_bytes(b"half")
    check_output(tmp_path, resume=False)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SemiSegError) as caught:
        check_output(tmp_path, resume=False)
    assert caught.value.code == "exists"
    with pytest.raises(SemiSegError) as caught:
        check_output(tmp_path, resume=True)
    assert caught.value.code == "nothing-to-resume"


@pytest.mark.parametrize(("ability", "precision"), [(False, "32-true"), (True, "bf16-mixed")])
def test_precision_is_reduced_where_the_processor_has_units_for_it(monkeypatch, ability, precision):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: ability, raising=False)
    processor = torch.device("cpu")
    assert choose_precision("auto", processor) == precision
    assert choose_precision("32-true", processor) == "32-true"


def test_measured_warm_up_leaves_no_trace(data):
    run = parts.training("cross_supervision", data, iterations=None, minutes=0.01)
    before, optimiser = parts.weights(run), run.optimiser.state_dict()
    iterations = run._measure()
    assert iterations >= 10
    assert parts.same(before, parts.weights(run))
    assert run.optimiser.state_dict() == optimiser
    assert run.iteration == 0
    assert run.iterations is None
    assert run.history.rows == []


def test_minutes_become_iterations_once(tmp_path, data):
    run = parts.training("cross_supervision", data, tmp_path, iterations=None, minutes=0.0001)
    stopped = run.run(should_stop=lambda: run.iteration == 4)
    assert stopped.iterations == 4
    total = run.iterations
    assert total == 10
    again = parts.training("cross_supervision", data, tmp_path, iterations=None, minutes=0.0001)
    assert again.run().iterations == total
    counted = parts.training("cross_supervision", data, iterations=total)
    counted.run()
    assert parts.same(parts.weights(again), parts.weights(counted))


def test_how_many_steps_fit_into_a_time_is_measured_once(tmp_path, datalist):
    for resume in (False, True):
        stages = []
        timed = options(iterations=None, minutes=0.0001, method="supervised", calibrate="none", resume=resume)
        train_model(datalist, tmp_path / "out", timed, lambda stage, *_, seen=stages: seen.append(stage))
        assert ("measuring" in stages) is not resume


def test_history_has_neither_gap_nor_double_row():
    history = History(["a"])
    for i in range(1, 8):
        history.add(i, 0.1 * i, {"learning_rate": 1.0, "a": float(i), "a_support": 3, "gradient_norm": 0.0}, 3, i == 7)
        history = History.from_state(history.state())
    table = list(csv.DictReader(io.StringIO(history.as_csv())))
    assert [r["iteration"] for r in table] == ["3", "6", "7"]
    assert [float(r["a"]) for r in table] == [2.0, 5.0, 7.0]
    history.add(1_234_567, 1.0, {"learning_rate": 1.0, "a": 1.0, "a_support": 3, "gradient_norm": 0.0}, 1)
    assert "1234567" in history.as_csv()


def test_branches_are_trained_alone_by_supervised(data):
    """A second branch, however wild its gradient, changes nothing in the first."""
    both = parts.training("supervised", data, iterations=3, gradient_clip=0.05)
    for parameter in both.branches[1].parameters():
        parameter.data.mul_(30)
    both.run()
    alone = parts.training("supervised", data, iterations=3, gradient_clip=0.05)
    alone.run()
    first = [{k: v for k, v in parts.weights(r).items() if k.startswith("branch-0")} for r in (both, alone)]
    assert parts.same(*first)


def test_learning_rate_decays_to_the_end(data):
    run = parts.training("supervised", data, iterations=4, log_every=1, learning_rate=0.01)
    rates = [row["learning_rate"] for row in run.run().history.rows]
    assert rates == pytest.approx([0.01 * polynomial_decay(i / 4) for i in range(4)])
    assert polynomial_decay(1.0) == 0.0


def test_schedules():
    ramp = SigmoidRamp(2.0, end=0.5, start=0.1)
    assert ramp(0.05) == 0.0
    assert ramp(0.1) == pytest.approx(2 * 0.0067, abs=1e-3)
    assert ramp(0.5) == ramp(0.9) == 2.0
    values = [ramp(i / 100) for i in range(101)]
    assert values == sorted(values)
    assert Constant(3.0)(0.2) == 3.0


def test_start_from_a_pack(tmp_path, datalist):
    train_model(datalist, tmp_path / "first", options(iterations=2))
    start = tmp_path / "first" / "model.semiseg"
    still = dataclasses.replace(options(iterations=1, learning_rate=0.0), start=start, size=None)
    summary = train_model(datalist, tmp_path / "second", still)
    assert summary["started_from"] == "model"
    assert parts.same(parts.model_weights(tmp_path / "first"), parts.model_weights(tmp_path / "second"))
    with pytest.raises(SemiSegError) as caught:
        train_model(datalist, tmp_path / "third", dataclasses.replace(still, size=(64, 64)))
    assert caught.value.code == "two-sizes"


@pytest.mark.parametrize("names", [["bright", "grey"], ["one", "two", "three"]])
def test_start_from_a_pack_of_other_classes(tmp_path, datalist, names):
    train_model(datalist, tmp_path / "first", options(iterations=1))
    content = json.loads(datalist.read_text())
    content["labels"] = {"0": "background", **{str(i): n for i, n in enumerate(names, 1)}}
    other = cases.write_datalist(datalist.parent, content)
    try:
        chosen = options(iterations=1, learning_rate=0.0)
        still = dataclasses.replace(chosen, start=tmp_path / "first" / "model.semiseg", size=None)
        train_model(other, tmp_path / "second", still)
    finally:
        content["labels"] = cases.LABELS
        cases.write_datalist(datalist.parent, content)
    before, after = parts.model_weights(tmp_path / "first"), parts.model_weights(tmp_path / "second")
    kept = [k for k in before if before[k].shape == after[k].shape and torch.equal(before[k], after[k])]
    changed = [k for k in before if k not in kept]
    assert len(kept) > 0.7 * len(before)
    assert changed
    assert {k.split(".")[0] for k in changed} == {"0", "1"}, "each branch has a new head"


@pytest.mark.parametrize("size", [(16, 16, 16), (30, 46), (4, 4), (4096, 4096)])
def test_unusable_sizes(tmp_path, datalist, size):
    with pytest.raises(SemiSegError) as caught:
        train_model(datalist, tmp_path / "out", dataclasses.replace(options(), size=size))
    assert caught.value.code in ("bad-size", "wrong-dimensions")
    assert not (tmp_path / "out").exists()


def test_everything_annotated_leaves_nothing_to_learn_alone(tmp_path):
    path = cases.write_dataset(tmp_path, unlabelled=0)
    with pytest.raises(SemiSegError) as caught:
        train_model(path, tmp_path / "out", options())
    assert caught.value.code == "nothing-unlabelled"
    assert train_model(path, tmp_path / "out", options(method="supervised", iterations=1))["finished"]
