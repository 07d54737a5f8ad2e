"""One training: from the scene to an installed model, and whatever may come between."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from house.environment import with_libraries
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packs import find_packs
from SemiSegCervicalLib.worker.job import JobCancelled
from SlicerRig import application
from TrainingRig import cases
from WorkerRig.processes import alive, until
from WorkerRig.scripted import command_lines

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the scripted worker uses POSIX signals")
SECONDS = 180.0
TINY = (("unet", {"channels": [4, 8, 16]}), ("residual_unet", {"channels": [4, 8, 12]}))


@pytest.fixture(autouse=True)
def own_folders(models: Path, run_folder: Path) -> None:
    """Nobody's own models and runs."""


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Make the trainer's worker; a scripted one unless told otherwise."""
    from SemiSegCervicalLib.worker.protocol import Hello
    from SemiSegTrainerLib.panel.jobs import Jobs
    from SemiSegTrainerLib.worker.protocol import SERVER_MODULE

    made: list[Any] = []

    def make(training: str = "", **options: Any) -> Any:
        """Make it; `training` is how the scripted worker trains, ``real`` means no scripted one."""
        if training == "real":  # as fast as it can be
            options["hello"] = Hello(modules=(SERVER_MODULE,))
        else:
            options["command"] = command_lines({"start": "good", "prediction": training})
        made.append(Jobs(temporary=tmp_path, log=tmp_path / "log" / "worker.log", **options))
        return made[-1]

    yield make
    for jobs in made:
        jobs.close()
    assert not list(tmp_path.glob("semiseg-worker-*"))


def message(iterations: int = 40, **more: Any) -> Any:
    from SemiSegTrainerLib.worker.protocol import Part, Train

    fields = {"method": "supervised", "name": "blobs", "device": "cpu", "calibrate": "none", "size": cases.SIZE, **more}
    return Train("", "", iterations=iterations, branches=tuple(Part(*part) for part in TINY), **fields)


def begin(jobs: Any, iterations: int = 40, **more: Any) -> Any:
    """Begin to train from the scene."""
    from SemiSegTrainerLib.panel.run_folder import RunClass
    from SemiSegTrainerLib.panel.runs import Runs
    from SemiSegTrainerLib.panel.training import Training
    from SemiSegTrainerLib.scene.collect import collect_training_set
    from SemiSegTrainerLib.scene.datalist import datalist_steps

    found = collect_training_set()
    classes = tuple(RunClass(c.name, tuple(c.color)) for c in found.classes)
    run = Runs().begin(message(iterations, **more), classes, {case.id: case.name for case in found.cases})
    return kept(jobs, Training(jobs.client, run, lambda folder: datalist_steps(found, folder)))


def resume(jobs: Any, run: Any, **options: Any) -> Any:
    """Go on with a run."""
    from SemiSegTrainerLib.panel.training import Training

    assert run.hold()
    return kept(jobs, Training(jobs.client, run, **options))


def kept(jobs: Any, training: Any) -> Any:
    training.seen = []
    training._on_change = lambda: training.seen.append(training.state)
    training._on_end = jobs.running.remove
    jobs.running.append(training)
    return training


def damage(run: Any) -> None:
    """Cut what a run has saved of its training."""
    saved = run.out / "checkpoints" / "last.ckpt"
    saved.write_bytes(saved.read_bytes()[:-3])


def wait(condition: Callable[[], Any]) -> None:
    assert application.wait_until(condition, SECONDS), "it did not come true in time"


def ended(training: Any) -> Any:
    wait(lambda: training.ended)
    application.process_events()
    return training


def unfinished() -> Any:
    from SemiSegTrainerLib.panel.runs import Runs

    return Runs().unfinished()


def everything() -> set[str]:
    from SemiSegTrainerLib.panel.runs import Runs

    root = Runs().root
    return {path.name for path in root.iterdir()} if root.exists() else set()


def storable() -> set[str]:
    """Return the nodes of the scene that can be saved to a file."""
    import slicer

    nodes = slicer.mrmlScene.GetNodesByClass("vtkMRMLStorableNode")
    nodes.UnRegister(None)
    return {nodes.GetItemAsObject(i).GetID() for i in range(nodes.GetNumberOfItems())}


# -- the real worker --


@pytest.mark.torch
def test_a_scene_becomes_a_model_that_is_installed(jobs: Any, partly_annotated: Any) -> None:
    import slicer
    from SemiSegCervicalLib.worker.arrays import write_array
    from SemiSegCervicalLib.worker.protocol import Model, Predict

    made = partly_annotated()
    begin_with = storable()
    before = slicer.util.arrayFromVolume(made.volumes[0]).copy()
    worker = jobs("real")
    training = begin(worker, 30)
    version = training.wait()
    assert training.state == "done"
    order = list(dict.fromkeys(training.seen))
    assert order.index("starting") < order.index("training") < order.index("saving")
    assert order[-1] == "done"
    assert [n.iteration for n in training.news] == sorted({n.iteration for n in training.news})
    assert training.news[-1].iterations == 30
    assert training.picture.image.shape == cases.SIZE
    assert find_packs() == {"blobs": find_packs()["blobs"]}
    assert version.current
    assert version.summary["iterations"] == 30
    assert storable() == begin_with
    assert np.array_equal(slicer.util.arrayFromVolume(made.volumes[0]), before)
    assert unfinished() == []
    assert not training.run.saved, "what only a resumption needs is gone"
    assert training.run.prepared, "models can still be compared on its data"
    image = write_array(training.run.folder / "image.npy", cases.draw(9)[0])
    answer = worker.client.wait(
        worker.client.submit(Predict(Model(str(find_packs()["blobs"])), (str(image),))), SECONDS
    )
    assert all(segment.voxels > 0 for segment in answer.segments)


KILLED = """
import sys
from pathlib import Path
from SlicerRig import application
application.start()
from SemiSegTrainerLib.panel.jobs import Jobs
from SemiSegTrainerLib.panel.runs import Runs
from SemiSegTrainerLib.panel.training import Training
jobs = Jobs(temporary=Path(sys.argv[1]), log=Path(sys.argv[1]) / "log" / "other.log")
run = Runs().unfinished()[0]
assert run.hold()
training = Training(jobs.client, run)
application.wait_until(lambda: training.ended or training.state == "training", 120)
print(jobs.client.pid, training.state, flush=True)
application.wait_until(lambda: training.ended, 120)
"""


@pytest.mark.torch
def test_however_it_is_interrupted_it_goes_on_and_ends_as_one_that_was_not(
    jobs: Any, partly_annotated: Any, tmp_path: Path
) -> None:
    """Paused, then the worker killed, then worker and program killed, and the scene gone for long."""
    import slicer
    from TrainingRig import parts

    length = 40
    partly_annotated()
    worker = jobs("real")
    training = begin(worker, length)
    wait(lambda: training.ended or (training.state == "training" and training.done > 3))
    slicer.mrmlScene.Clear(0)
    training.pause()
    assert training.state == "pausing"
    assert ended(training).state == "paused"
    (run,) = unfinished()
    reached = training.done
    assert 3 < reached < length

    killed = resume(worker, run)
    wait(lambda: killed.ended or killed.state == "training")
    os.kill(worker.client.pid, signal.SIGKILL)
    assert ended(killed).state == "failed"
    assert killed.error.code == "out-of-memory" or "ended" in killed.error.cause
    assert unfinished() == [run], "what was saved is still there"

    (tmp_path / "other").mkdir()
    command = [sys.executable, "-c", KILLED, str(tmp_path / "other")]
    with subprocess.Popen(command, env=with_libraries(), stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        pid, state = program.stdout.readline().split()
        assert state == "training"
        assert unfinished() == [], "the other program works on it"
        os.kill(int(pid), signal.SIGKILL)
        program.kill()
    assert until(lambda: not alive(int(pid)))
    assert unfinished() == [run]

    last = resume(worker, run)
    assert last.wait().summary["iterations"] == length
    told = [n.iteration for n in last.news]
    assert told == sorted(told)
    assert told[0] <= reached, "the curve begins where the run began"
    partly_annotated()
    whole = begin(worker, length, name="whole")
    version = whole.wait()

    assert parts.same(*(parts.model_weights(found.path) for found in (last.version, version)))


@pytest.mark.torch
def test_a_model_is_made_of_what_was_learned_or_not_at_all(jobs: Any, partly_annotated: Any) -> None:
    """First the calibration alone cannot be read, which such a model does not need, then the training itself."""
    length = 90
    partly_annotated()
    worker = jobs("real")
    training = begin(worker, length, calibrate="folds")
    wait(lambda: training.ended or (training.state == "calibrating" and training.done > 3))
    training.pause()
    assert ended(training).state == "paused"
    (run,) = unfinished()
    learned = run.out / "checkpoints" / "last.ckpt"
    folds = list(learned.parent.glob("*/*.ckpt"))
    for fold in folds:
        fold.write_bytes(b"damaged")
    assert folds
    summary = resume(worker, run, keep=True).wait().summary
    assert (summary["iterations"], summary["calibration"]["fitted_on"]) == (length, None)

    training = begin(worker, length, name="other")
    wait(lambda: training.ended or (training.state == "training" and training.done > 3))
    training.pause()
    assert ended(training).state == "paused"
    (run,) = unfinished()
    damage(run)
    training = ended(resume(worker, run, keep=True))
    assert training.state == "failed"
    assert "train again" in training.error.remedy
    assert "other" not in find_packs()
    assert resume(worker, run).wait().summary["iterations"] == length


# -- a scripted one --


def test_stop_and_keep_makes_a_model_of_what_was_learned(jobs: Any, partly_annotated: Any) -> None:
    partly_annotated()
    training = begin(jobs("training"))
    wait(lambda: training.keepable)
    training.keep()
    assert not training.keepable
    assert ended(training).state == "done"
    assert find_packs()["blobs"].read_bytes() == b"scripted"


def test_a_paused_run_can_be_kept_without_training_on(jobs: Any, partly_annotated: Any) -> None:
    partly_annotated()
    worker = jobs("training")
    training = begin(worker)
    wait(lambda: training.state == "training")
    training.pause()
    assert ended(training).state == "paused"
    with pytest.raises(JobCancelled):
        training.wait()
    (run,) = unfinished()
    assert (run.reached.iteration, run.reached.iterations) == (20, 40)
    again = resume(worker, run, keep=True)
    assert ended(again).state == "done"
    assert "blobs" in find_packs()


def test_no_graphics_card_is_said_before_anything_is_trained(jobs: Any, partly_annotated: Any) -> None:
    partly_annotated()
    training = ended(begin(jobs("training"), device="gpu"))
    assert training.error.code == "no-gpu"
    assert everything() == set()


@pytest.mark.parametrize("stage", ["reading", "measuring", "calibrating"])
def test_it_can_be_paused_whatever_the_worker_does(jobs: Any, partly_annotated: Any, stage: str) -> None:
    partly_annotated()
    worker = jobs(stage)
    training = begin(worker)
    wait(lambda: training.stage == stage)
    assert not training.keepable
    training.pause()
    assert ended(training).state == "paused"
    assert len(unfinished()) == 1


def test_a_pause_that_is_asked_for_before_the_worker_is_there_is_passed_on(jobs: Any, partly_annotated: Any) -> None:
    partly_annotated()
    training = begin(jobs("training"))
    wait(lambda: training.state == "starting")
    training.pause()
    assert ended(training).state == "paused"


@pytest.mark.parametrize("when", ["preparing", "starting", "training"])
def test_discarding_leaves_nothing(jobs: Any, partly_annotated: Any, when: str) -> None:
    partly_annotated()
    training = begin(jobs("training"))
    wait(lambda: training.state == when)
    training.discard()
    assert ended(training).state == "cancelled"
    assert everything() == set()
    assert find_packs() == {}


def test_closing_the_scene_ends_it_only_while_images_are_written(jobs: Any, partly_annotated: Any) -> None:
    import slicer

    partly_annotated(60, 4)
    worker = jobs("training")
    training = begin(worker)
    # A piece at a time, and by hand: the event loop may do all of them between two looks.
    training._slices._timer.stop()
    training._slices._budget = 0.0
    while not list(training.run.folder.glob(".data*")):
        training._slices.advance()
    training._slices._timer.start()
    slicer.mrmlScene.Clear(0)
    assert ended(training).state == "cancelled"
    assert "scene was closed" in training.notes[0]
    assert everything() == set()
    partly_annotated()
    training = begin(worker)
    wait(lambda: training.state == "training")
    slicer.mrmlScene.Clear(0)
    application.process_events(0.2)
    assert training.state == "training"
    training.keep()
    assert ended(training).state == "done"


def test_closing_the_panel_saves_and_returns_soon(jobs: Any, partly_annotated: Any) -> None:
    partly_annotated()
    worker = jobs("training")
    training = begin(worker)
    wait(lambda: training.state == "training")
    worker.close()
    assert training.state == "paused"
    assert len(unfinished()) == 1


def test_closing_the_panel_does_not_wait_for_a_worker_that_does_not_answer(jobs: Any, partly_annotated: Any) -> None:
    partly_annotated()
    worker = jobs("saved:hang")
    training = begin(worker)
    wait(lambda: training.run.saved)
    worker.close()
    assert training.state == "cancelled"
    assert len(unfinished()) == 1, "what was saved last counts"


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("SIGKILL", "ended the process that computes"),
        ("SIGSEGV", "signal 11"),
        ("device-error", "It broke"),
        ("disk-full", "It is full"),
        ("nonsense", "cannot be read"),
    ],
)
def test_a_fault_keeps_what_was_saved_and_no_more(jobs: Any, partly_annotated: Any, fault: str, said: str) -> None:
    partly_annotated()
    worker = jobs(f"first-saved:{fault}")
    training = begin(worker)
    assert ended(training).state == "failed"
    assert said in training.error.cause
    with pytest.raises(SemiSegError):
        training.wait()
    (run,) = unfinished()
    assert ended(resume(worker, run)).state == "done"
    unsaved = begin(jobs(fault))
    assert ended(unsaved).state == "failed"
    assert unfinished() == [], "it would fail again, and nothing is lost"


def test_a_folder_that_is_removed_while_it_trains(jobs: Any, partly_annotated: Any) -> None:
    """The worker would name the one picture that it missed first."""
    partly_annotated()
    training = begin(jobs("device-error"))

    def remove() -> None:
        if training.state == "starting":
            shutil.rmtree(training.run.folder, ignore_errors=True)

    training._on_change = remove
    assert ended(training).state == "failed"
    assert training.error.code == "missing-data"
    assert str(training.run.folder) in training.error.cause
    assert "Start the training anew" in training.error.remedy
    assert everything() == set()


def test_a_checkpoint_that_cannot_be_read_costs_the_training_but_not_the_data(jobs: Any, partly_annotated: Any) -> None:
    partly_annotated()
    worker = jobs("first-saved:SIGKILL")
    ended(begin(worker))
    (run,) = unfinished()
    damage(run)
    training = ended(resume(worker, run))
    assert training.state == "done"
    assert "began anew" in training.notes[0]


@pytest.mark.parametrize(("wish", "ready"), [("keep", False), ("keep", True), ("pause", False)])
def test_what_cannot_be_read_is_not_trained_anew_where_it_was_to_end(
    jobs: Any, partly_annotated: Any, wish: str, ready: bool
) -> None:
    partly_annotated()
    worker = jobs("first-saved:SIGKILL")
    ended(begin(worker))
    (run,) = unfinished()
    damage(run)
    if ready:
        wait(lambda: worker.client.state == "ready")
    else:
        worker.client.close()
    training = resume(worker, run, keep=wish == "keep")
    if wish == "pause":
        wait(lambda: training.state == "starting")
        training.pause()
    assert ended(training).state == "failed"
    assert "cannot be read" in training.error.cause
    assert unfinished() == [run]
    assert find_packs() == {}
    again = ended(resume(worker, run))
    assert again.state == "done", "training again is what is left"
    assert "began anew" in again.notes[0]


def test_a_run_of_a_version_that_trains_differently_is_kept(jobs: Any, partly_annotated: Any) -> None:
    partly_annotated()
    ended(begin(jobs("first-saved:SIGKILL")))
    (run,) = unfinished()
    training = ended(resume(jobs("other-run"), run))
    assert training.state == "failed"
    assert "Another version" in training.error.cause
    assert run.saved


def test_a_full_disk_while_images_are_written(jobs: Any, partly_annotated: Any, small_files: Any) -> None:
    partly_annotated()
    worker = jobs()
    training = begin(worker)
    small_files(600)
    assert ended(training).state == "failed"
    assert "disk" in training.error.remedy
    small_files(0)
    assert everything() == set()
    assert ended(begin(worker)).state == "done"


def test_a_model_that_could_not_be_installed_is_installed_later(jobs: Any, partly_annotated: Any, models: Path) -> None:
    partly_annotated()
    worker = jobs()
    models.rmdir()
    models.write_text("no folder")
    training = begin(worker)
    assert ended(training).state == "failed"
    assert training.error.code == "cannot-write"
    (run,) = unfinished()
    assert run.trained
    models.unlink()
    assert ended(resume(worker, run)).state == "done"
    assert "blobs" in find_packs()


def test_a_model_that_was_installed_when_slicer_ended_is_not_installed_twice(jobs: Any, partly_annotated: Any) -> None:
    from SemiSegTrainerLib.panel.run_folder import Run
    from SemiSegTrainerLib.versions import versions

    class Lost(Run):
        def complete(self, model: Path) -> None:
            raise OSError("Slicer ends here")

    partly_annotated()
    worker = jobs()
    training = begin(worker)
    training.run.__class__ = Lost
    assert ended(training).state == "failed"
    (run,) = unfinished()
    assert run.trained
    assert len(versions("blobs")) == 1
    assert ended(resume(worker, run)).state == "done"
    assert len(versions("blobs")) == 1


def test_pieces_are_short_while_images_are_written(jobs: Any, partly_annotated: Any) -> None:
    partly_annotated(40, 20)
    training = begin(jobs("training"))
    application.process_events()
    application.reset()
    wait(lambda: training.state == "training")
    assert application.longest_call().cpu < 0.1 * application.STRETCH, application.longest_call()
    training.discard()
    ended(training)


def test_only_one_training_at_a_time(jobs: Any, partly_annotated: Any) -> None:
    from SemiSegTrainerLib.panel.recipe import Recipe
    from SemiSegTrainerLib.scene.collect import collect_training_set

    partly_annotated()
    worker = jobs("training")
    found, recipe = collect_training_set(), Recipe("supervised", "blobs", seed=7)
    training = worker.train(found, None, recipe)
    assert (training.run.about.train.seed, training.run.about.train.minutes) == (7, 10.0)
    wait(lambda: training.state == "training")
    assert worker.training is training
    with pytest.raises(SemiSegError) as caught:
        worker.train(found, None, recipe)
    assert caught.value.code == "already-training"
    training.pause()
    ended(training)
    assert worker.training is None
    (run,) = unfinished()
    assert run.hold()
    with pytest.raises(SemiSegError) as caught:
        worker.go_on(type(run)(run.folder, run.about))
    assert caught.value.code == "run-in-use"
    run.release()
    again = worker.go_on(run, keep=True)
    assert ended(again).state == "done"
