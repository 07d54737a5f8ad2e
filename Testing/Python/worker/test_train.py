"""Training as a job of the worker: progress, stop, resume, cancel."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from SemiSegCervicalLib.engine.pack import load_pack
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.worker.arrays import read_array, write_array
from SemiSegCervicalLib.worker.job import JobCancelled
from SemiSegCervicalLib.worker.protocol import Model, Predict
from SemiSegTrainerLib.learning.method import get_method, method_names
from SemiSegTrainerLib.worker.protocol import SERVER_MODULE, News, Part, Train, training_hello
from TrainingRig import cases, parts

pytestmark = pytest.mark.torch
PATIENCE = 300
BRANCHES = tuple(Part(name, arguments) for name, arguments in parts.TINY)
LONG = 80


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return cases.write_dataset(tmp_path_factory.mktemp("data"))


def message(datalist, out, iterations, method="supervised", **more):
    return Train(
        str(datalist), str(out), method, iterations=iterations, size=cases.SIZE, branches=BRANCHES,
        calibrate="none", device="cpu", **more,
    )  # fmt: skip


def wait_for(client, job, stage, done):
    """Wait until a job says that it has done so much of a stage, or has ended."""
    client.wait_until(
        lambda: job.ended or (job.progress and (job.progress.stage, job.progress.done >= done) == (stage, True)),
        PATIENCE,
    )


def test_a_stopped_run_goes_on_and_ends_as_one_that_was_not(client, datalist, tmp_path):
    seen = []
    stopped = client.submit(message(datalist, tmp_path / "a", LONG), on_progress=seen.append)
    client.wait_until(lambda: any(p.stage == "training" and p.done > 2 for p in seen) or stopped.ended, PATIENCE)
    client.stop(stopped)
    answer = client.wait(stopped, PATIENCE)
    assert not answer.finished
    assert answer.model is None
    assert 2 < answer.summary["iterations"] < LONG
    assert [p.values for p in seen if p.stage == "training"][-1]["supervised"] > 0
    assert [p for p in seen if p.stage == "training"][-1].seconds_left > 0
    answer = client.wait(client.submit(message(datalist, tmp_path / "a", LONG, resume=True)), PATIENCE)
    assert answer.finished
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["iterations"] == LONG
    whole = client.wait(client.submit(message(datalist, tmp_path / "b", LONG)), PATIENCE)
    assert parts.same(parts.model_weights(answer.model), parts.model_weights(whole.model))
    # The same process segments with it.
    job = client.submit(Predict(Model(whole.model), (str(write_array(tmp_path / "image.npy", cases.draw(5)[0])),)))
    assert client.wait(job, PATIENCE).segments[0].voxels > 0


def test_news_of_a_run_that_is_stopped_and_goes_on(client, tmp_path):
    datalist = cases.write_dataset(tmp_path / "data", validation=2)
    first, second = [], []
    told = message(datalist, tmp_path / "a", 120, preview="validation1", preview_seconds=0.01, validate_seconds=0.01)
    job = client.submit(told, on_chunk=first.append)
    client.wait_until(lambda: job.ended or len(first) > 3, PATIENCE)
    client.stop(job)
    client.wait(job, PATIENCE)
    assert all(isinstance(news, News) and not news.repeated for news in first)
    assert [n.iteration for n in first] == sorted(n.iteration for n in first)
    shown = [n.preview for n in first if n.preview]
    assert {p.case for p in shown} == {"validation1"}
    assert len({p.labels for p in shown}) == len(shown), "names are new each time"
    for name in ("image", "labels", "uncertainty", "reference"):
        array = read_array(getattr(shown[-1], name))
        assert array.shape == cases.SIZE
        assert array.dtype == "uint8"
    assert first[0].validation.cases == 2
    resumed = replace(told, resume=True)
    answer = client.wait(client.submit(resumed, on_chunk=second.append), PATIENCE)
    assert answer.finished
    again = [n for n in second if n.repeated]
    assert [n.iteration for n in again] == [n.iteration for n in first][: len(again)]
    assert len(again) >= len(first) - 1, "all but what was said after the last checkpoint"
    assert second[-1].iteration == 120
    assert answer.summary["validation"]["cases_count"] == second[-1].validation.cases == 2


def test_a_run_that_is_finished_early_becomes_a_model(client, datalist, tmp_path):
    folds = Train(
        str(datalist), str(tmp_path / "a"), "supervised", iterations=100_000, size=cases.SIZE, branches=BRANCHES,
        calibrate="folds", device="cpu",
    )  # fmt: skip
    seen = []
    job = client.submit(folds, on_progress=seen.append)
    wait_for(client, job, "training", 7)
    client.finish(job)
    answer = client.wait(job, PATIENCE)
    assert answer.finished
    assert answer.summary["ended_early"]
    done = answer.summary["iterations"]
    assert 6 < done < 100_000
    assert [p.total for p in seen if p.stage == "calibrating"][-1] == 2 * (done // 3), "folds as long as the run was"
    assert answer.summary["calibration"]["fitted_on"]
    image = str(write_array(tmp_path / "image.npy", cases.draw(5)[0]))
    predicted = client.wait(client.submit(Predict(Model(answer.model), (image,))), PATIENCE)
    assert len(predicted.segments) == 2


def test_a_calibration_can_be_left_out_when_it_has_begun(client, datalist, tmp_path):
    long = Train(
        str(datalist), str(tmp_path / "a"), "supervised", iterations=600, size=cases.SIZE, branches=BRANCHES,
        calibrate="folds", device="cpu",
    )  # fmt: skip
    job = client.submit(long)
    for stage, done in (("training", 60), ("calibrating", 1)):
        wait_for(client, job, stage, done)
        client.finish(job)
    answer = client.wait(job, PATIENCE)
    assert answer.finished
    assert answer.summary["calibration"]["reason"] == "the calibration was ended early"


def test_a_start_with_other_segments_gets_a_new_head(client, trained, tmp_path):
    datalist = cases.write_dataset(tmp_path / "data", validation=1, labels={"0": "background", "1": "new", "2": "dark"})
    start = Train(
        str(datalist), str(tmp_path / "out"), "supervised", iterations=3, start=str(trained), device="cpu",
        calibrate="none",
    )  # fmt: skip
    answer = client.wait(client.submit(start), PATIENCE)
    manifest = load_pack(answer.model).manifest
    assert [c.name for c in manifest.classes] == ["new", "dark"]
    assert manifest.provenance.started_from == "blobs"
    assert list(answer.summary["before"]["segments"]) == ["dark"], "what it knew already is measured before and after"
    assert answer.summary["before"]["cases_count"] == answer.summary["validation"]["cases_count"] == 1
    assert parts.model_weights(answer.model).keys() == parts.model_weights(trained).keys()


@pytest.mark.parametrize("name", method_names())
def test_every_method_trains(client, datalist, tmp_path, name):
    if get_method(name).by_modality:
        datalist = cases.write_modalities(tmp_path / "data")
    answer = client.wait(client.submit(message(datalist, tmp_path / "run", 2, name)), PATIENCE)
    assert answer.finished
    assert answer.summary["method"] == name
    assert len(load_pack(answer.model).branches) == 2


def test_a_cancelled_run_leaves_what_was_saved_and_nothing_half_written(client, datalist, tmp_path):
    out = tmp_path / "out"
    job = client.submit(message(datalist, out, 100_000))
    client.wait_until(lambda: job.ended or (job.progress and job.progress.stage == "training"), PATIENCE)
    client.cancel(job)
    with pytest.raises(JobCancelled):
        client.wait(job, 3)
    left = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} if out.exists() else set()
    assert left <= {"checkpoints/last.ckpt"}


def test_faults_of_the_data_reach_the_client(client, datalist, tmp_path):
    for code, faulty in (
        ("exists", message(datalist, datalist.parent, 2)),
        ("nothing-to-resume", message(datalist, tmp_path / "none", 2, resume=True)),
        ("two-budgets", message(datalist, tmp_path / "none", None)),
    ):
        with pytest.raises(SemiSegError) as caught:
            client.wait(client.submit(faulty), PATIENCE)
        assert caught.value.code == code
        assert caught.value.remedy


def test_training_is_polite_to_the_rest_of_the_computer():
    hello = training_hello()
    assert hello.polite
    assert hello.spare_cores == 1
    assert hello.modules == (SERVER_MODULE,)
