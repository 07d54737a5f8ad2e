"""The real worker with a really trained model: exact, cancellable, and not to be brought down."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import weakref
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
import WorkerRig.program
from house.flat import lay_out
from SemiSegCervicalLib.engine.backends import convert
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.image import Image, grey_from_rgb
from SemiSegCervicalLib.engine.pack import load_pack, save_pack
from SemiSegCervicalLib.engine.predict import Predictor
from SemiSegCervicalLib.engine.schema import InputSpec, Quality
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.worker import server
from SemiSegCervicalLib.worker.arrays import read_array, take_array, write_array
from SemiSegCervicalLib.worker.client import LIBRARY
from SemiSegCervicalLib.worker.job import JobCancelled
from SemiSegCervicalLib.worker.process import Limits
from SemiSegCervicalLib.worker.protocol import (
    Cards,
    Describe,
    Hello,
    Load,
    Message,
    Model,
    Predict,
    PredictFrames,
)
from SemiSegCervicalLib.worker.server_errors import explain
from SemiSegCervicalLib.worker.server_models import Models
from SemiSegCervicalLib.worker.subprocess_transport import local_client
from TrainingRig import cases, parts
from WorkerRig.processes import alive, until

pytestmark = pytest.mark.torch
PATIENCE = 300
# What a computer that does other work beside may add; the benchmark measures without it.
BUSY = 1.5
AFFINE = ((0.0, 0.3, 0.1, 5.0), (0.4, 0.0, 0.0, -7.0), (0.0, 0.1, 2.0, 9.0), (0.0, 0.0, 0.0, 1.0))


def run(worker, message, job=None, **callbacks):
    return worker.client.wait(worker.client.submit(message, job, **callbacks), PATIENCE)


def failure(worker, message, job=None):
    with pytest.raises(SemiSegError) as caught:
        run(worker, message, job)
    return caught.value


def placed(worker, *arrays):
    """Write arrays into a new job's folder; return the job and their paths."""
    job = worker.client.prepare()
    return job, tuple(str(write_array(job.folder / f"in-{n}.npy", a)) for n, a in enumerate(arrays))


@pytest.fixture(scope="module")
def predictor(trained):
    """What the worker's answers are compared with, in this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Predictor(load_pack(trained), "cpu", backend="torch")
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cine():
    """Twenty colour frames, larger than the network's grid."""
    rng = np.random.default_rng(0)
    frames = [cases.draw(seed, (60, 80))[0] for seed in range(20)]
    return np.stack(frames)[..., None].repeat(3, -1) // rng.integers(1, 3, 3, dtype=np.uint8)


def same(job_result, expected):
    assert np.array_equal(read_array(job_result.labels), expected.labels)
    assert np.array_equal(read_array(job_result.uncertainty), np.rint(100 * expected.uncertainty).astype(np.uint8))


def test_a_model_that_is_replaced_takes_no_memory(trained, tmp_path):
    models = Models()
    job = SimpleNamespace(progress=lambda *_said: None)
    gc.disable()  # which comes at its own time
    try:
        gone = [weakref.ref(models.get(Model(str(trained), device="cpu"), (), job).pack.branches[0])]
        other = shutil.copy(trained, tmp_path / "other.semiseg")
        gone.append(weakref.ref(models.get(Model(str(other), device="cpu"), (), job).pack.branches[0]))
        assert gone[0]() is None
        models.drop()
        assert gone[1]() is None
    finally:
        gc.enable()


def test_hello_says_what_is_there(worker):
    worker.client.start()
    worker.client.wait_until(lambda: worker.client.state != "starting", PATIENCE)
    welcome = worker.client.welcome
    assert welcome.versions["torch"] == importlib.metadata.version("torch")
    assert welcome.devices[-1].name == "cpu"
    assert welcome.devices[-1].works
    assert welcome.threads == 1
    if os.name == "posix":
        assert os.getpgid(worker.client.pid) == worker.client.pid, "it leads a group of its own"


def test_packs_are_described_without_being_loaded(worker, tmp_path):
    (tmp_path / "junk.semiseg").write_bytes(b"junk")
    answer = run(worker, Describe((str(worker.pack), str(tmp_path / "junk.semiseg"))))
    assert isinstance(answer, Cards)
    good, bad = answer.models
    assert [c.name for c in good.classes] == ["bright", "dark"]
    assert (good.name, good.size, good.branches, good.reads) == ("blobs", cases.SIZE, 2, ((0,), (0,)))
    assert good.failure is None
    assert bad.failure.code == "corrupt-pack"
    assert "junk" in bad.failure.cause


def test_a_model_that_says_more_of_itself_than_can_be_passed_on_is_refused_at_once(worker, tmp_path):
    pack = load_pack(worker.pack)
    figure = Quality(metric="dice", value=0.5, data="ü" * 20_000, cases=1)
    pack.manifest = pack.manifest.model_copy(update={"quality": (figure,) * 50})
    wordy = save_pack(tmp_path / "wordy", pack)
    assert failure(worker, Describe((str(wordy),))).code == "too-long"
    pid = worker.client.pid
    assert failure(worker, Load(Model(str(wordy)))).code == "too-long"
    assert run(worker, Describe((str(worker.pack),))).models[0].name == "blobs"
    assert worker.client.pid == pid


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_an_image_is_segmented_as_by_the_engine(worker, predictor, dtype):
    picture = cases.draw(3, (70, 90))[0].astype(dtype)
    job, images = placed(worker, picture)
    found = run(worker, Predict(worker.model, images, spacing=(0.5, 0.25), disagreement=True), job)
    expected = predictor.predict(Image(picture[None].astype(np.float32), (0.5, 0.25)))
    same(found, expected)
    assert np.array_equal(read_array(found.disagreement), np.rint(100 * expected.disagreement).astype(np.uint8))
    assert len(np.unique(expected.labels)) > 1, "the model was to segment something"
    assert [(s.name, s.voxels, s.size, s.size_unit) for s in found.segments] == [
        (s.name, s.voxels, s.size, s.size_unit) for s in expected.segments
    ]
    assert found.segments[0].mean_uncertainty == pytest.approx(expected.segments[0].mean_uncertainty)
    assert (found.device, found.backend, found.precision, found.from_rgb) == ("cpu", "torch", "float32", False)


def test_temporary_files_that_the_system_removed_meanwhile_are_missed_by_nobody(worker, predictor):
    """Systems clean up what was not used for days, and people leave Slicer open for weeks."""
    image = np.random.default_rng(3).integers(0, 255, (40, 50)).astype(np.uint8)
    shutil.rmtree(worker.client._folder.path)
    job = worker.client.prepare()
    path = write_array(job.folder / "image.npy", image)
    answer = run(worker, Predict(worker.model, (str(path),)), job)
    assert np.array_equal(take_array(answer.labels), predictor.predict(Image(image[None].astype(np.float32))).labels)
    worker.client.release(job)


def test_frames_come_as_they_are_done_and_as_by_the_engine(worker, predictor, cine):
    order = (7, 3, *range(10, 20), 0)
    job, images = placed(worker, cine)
    chunks, progress = [], []
    message = PredictFrames(worker.model, images, order, rgb=True, spacing=(0.1, 0.1))
    done = run(worker, message, job, on_chunk=lambda chunk: chunks.append((chunk, len(progress))),
               on_progress=lambda p: progress.append(p))  # fmt: skip
    assert (done.frames, done.complete, done.from_rgb) == (len(order), True, True)
    assert sum((chunk.indices for chunk, _ in chunks), ()) == order
    assert len(chunks[0][0].indices) == 1, "the first frame comes alone"
    assert len(chunks) < len(order), "later ones together"
    assert progress[-1].done == progress[-1].total == len(order)
    for chunk, _ in chunks:
        labels, doubt = take_array(chunk.labels), take_array(chunk.uncertainty)
        for row, index in enumerate(chunk.indices):
            expected = predictor.predict(Image(grey_from_rgb(cine[index])[None], (0.1, 0.1)))
            assert np.array_equal(labels[row], expected.labels)
            assert np.array_equal(doubt[row], np.rint(100 * expected.uncertainty).astype(np.uint8))
            figures = chunk.frames[row]
            assert figures.index == index
            assert figures.mean_uncertainty == pytest.approx(float(expected.uncertainty.mean()))
            dice = [s.predicted_dice for s in expected.segments if s.predicted_dice is not None]
            assert figures.predicted_dice == pytest.approx(sum(dice) / len(dice))
            assert figures.segments[0].size_unit == "mm2"
    assert not list(job.folder.glob("labels-*")), "taken arrays are gone"


def test_a_volume_in_windows_with_two_modalities_or_one(worker, tmp_path):
    spec = InputSpec(
        spatial_dims=3, modalities=("flair", "t1post"), sampling="windows", size=(16, 16, 16), spacing=(1.5, 0.5, 0.5)
    )
    whole = parts.pack(spec=spec)
    second = whole.manifest.branches[1].model_copy(update={"modalities": (1,)})
    whole.manifest = whole.manifest.model_copy(update={"branches": (whole.manifest.branches[0], second)})
    path = save_pack(tmp_path / "two.semiseg", whole)
    model = Model(str(path), "cpu", "torch")
    rng = np.random.default_rng(1)
    flair, post = (rng.normal(size=(9, 40, 50)).astype(np.float32) for _ in range(2))
    spacing = tuple(float(n) for n in reversed(np.linalg.norm(np.array(AFFINE)[:3, :3], axis=0)))
    for modalities, arrays in (((), (flair, post)), ((1,), (post,))):
        job, images = placed(worker, *arrays)
        seen = []
        found = run(worker, Predict(model, images, modalities, spacing=spacing, affine=AFFINE), job,
                    on_progress=seen.append)  # fmt: skip
        pack = load_pack(path).reading(modalities or (0, 1))
        expected = Predictor(pack, "cpu", backend="torch").predict(Image(np.stack(arrays), spacing, np.array(AFFINE)))
        same(found, expected)
        assert {p.stage for p in seen} >= {"reading", "loading the model", "predicting", "writing"}
    job, images = placed(worker, flair)
    path.unlink()
    spec = (whole.manifest.branches[0].model_copy(update={"modalities": (0, 1)}), second)
    whole.manifest = whole.manifest.model_copy(update={"branches": spec})
    whole.branches[0] = Branch(spec[0].architecture, spec[0].arguments, 2, parts.CLASSES, 3).eval()
    save_pack(path, whole)
    error = failure(worker, Predict(model, images, (0,), spacing=spacing), job)
    assert error.code == "wrong-modalities"
    assert "flair alone" in error.cause


def test_the_model_stays_loaded_until_its_file_changes(worker, tmp_path):
    path = tmp_path / "copy.semiseg"
    shutil.copy(worker.pack, path)
    model = replace(worker.model, pack=str(path))

    def stages():
        seen = []
        assert run(worker, Load(model), on_progress=lambda p: seen.append(p.stage)).model.name
        return seen

    assert "loading the model" in stages()
    assert stages() == []
    path.unlink()
    changed = load_pack(worker.pack)
    changed.manifest = changed.manifest.model_copy(update={"name": "changed"})
    save_pack(path, changed)
    assert run(worker, Load(model)).model.name == "changed"
    path.unlink()
    assert failure(worker, Load(model)).code == "missing-file"


@dataclass(frozen=True)
class Unheard(Message):
    kind: ClassVar[str] = "unheard"
    answer: ClassVar[type] = Cards


@dataclass(frozen=True)
class OddLoad(Message):
    kind: ClassVar[str] = "load"
    answer: ClassVar[type] = Cards
    model: str = "a string"


def test_faults_are_told_and_the_process_stays(worker, tmp_path):
    run(worker, Load(worker.model))
    pid = worker.client.pid
    image = np.zeros((40, 40), dtype=np.uint8)
    (tmp_path / "junk.semiseg").write_bytes(b"junk")
    cut = tmp_path / "cut.npy"
    cut.write_bytes(write_array(tmp_path / "a.npy", image).read_bytes()[:-5])
    good = str(tmp_path / "a.npy")
    volume = str(write_array(tmp_path / "volume.npy", np.zeros((3, 40, 40))))
    nan = str(write_array(tmp_path / "nan.npy", np.full((40, 40), np.nan)))
    model = worker.model
    for code, message in (
        ("missing-file", Load(replace(model, pack=str(tmp_path / "none.semiseg")))),
        ("corrupt-pack", Load(replace(model, pack=str(tmp_path / "junk.semiseg")))),
        ("unknown-device", Load(replace(model, device="abacus"))),
        ("unknown-backend", Load(replace(model, backend="abacus"))),
        ("bad-array", Predict(model, (str(tmp_path / "none.npy"),))),
        ("bad-array", Predict(model, (str(cut),))),
        ("bad-input", Predict(model, ())),
        ("bad-input", Predict(model, (good, volume))),
        ("bad-input", Predict(model, (good,), rgb=True)),
        ("bad-input", Predict(model, (good,), spacing=(1.0, 0.0))),
        ("bad-input", Predict(model, (good,), affine=((1.0,),))),
        ("bad-input", PredictFrames(model, (good,))),
        ("bad-input", PredictFrames(model, (volume,), indices=(1, 3))),
        ("bad-input", PredictFrames(model, (volume,), indices=(1, 1))),
        ("bad-input", PredictFrames(model, (volume,), indices=())),
        ("not-finite", Predict(model, (nan,))),
        ("wrong-modalities", Predict(model, (good, good))),
        ("wrong-modalities", Predict(model, (good,), modalities=(3,))),
        ("wrong-dimensions", Predict(model, (volume,))),
        ("bad-message", Unheard()),
        ("bad-message", OddLoad()),
    ):
        error = failure(worker, message)
        assert error.code == code, (message, error)
        assert error.cause
        assert error.remedy
    assert worker.client.pid == pid
    assert run(worker, Predict(model, (good,))).labels


def test_noise_on_standard_input_is_logged(worker):
    run(worker, Load(worker.model))
    transport = worker.client._process._transport
    transport.write(b"\xff\xfe noise\n@semiseg {broken\n")
    run(worker, Load(worker.model))
    worker.client.wait_until(lambda: "damaged message" in worker.log.read_text(errors="replace"), 20)
    assert "no message: b'\\xff\\xfe noise'" in worker.log.read_text(errors="replace")


@pytest.fixture
def patient(worker):
    """The shared worker with a client that would not end the process for a long time."""
    limits = worker.client._limits
    worker.client._limits = replace(limits, cancel=60.0)
    yield worker
    worker.client._limits = limits


def timed_cancel(worker, job):
    began = time.monotonic()
    worker.client.cancel(job)
    with pytest.raises(JobCancelled):
        worker.client.wait(job, 20)
    assert not job.folder.exists()
    return time.monotonic() - began


def test_cancelling_a_cine_between_its_frames_keeps_the_process(patient, cine):
    worker = patient
    run(worker, Load(worker.model))
    pid = worker.client.pid
    for after in (0, 1, 3):
        job, images = placed(worker, np.tile(cine, (40, 1, 1, 1)))
        queued = worker.client.submit(Load(worker.model))
        chunks = []
        worker.client.cancel(queued)
        worker.client.submit(PredictFrames(worker.model, images, rgb=True), job, on_chunk=chunks.append)
        second = worker.client.submit(Load(worker.model))
        worker.client.wait_until(lambda after=after, job=job, chunks=chunks: job.ended or len(chunks) >= after, 60)
        timed_cancel(worker, second)
        assert not job.ended, "one that waits is cancelled at once"
        timed_cancel(worker, job)
        seen = len(chunks)
        assert run(worker, Load(worker.model)).model.name
        assert len(chunks) == seen
    assert worker.client.pid == pid


@pytest.fixture(scope="module")
def large():
    """An image that takes a while and is a single pass of the networks."""
    return np.random.default_rng(0).integers(0, 255, (5000, 6000), dtype=np.uint8)


@pytest.mark.parametrize("stage", ["reading", "predicting"])
def test_what_does_not_look_whether_it_was_cancelled_is_interrupted(patient, predictor, large, stage):
    run(patient, Load(patient.model))
    pid = patient.client.pid
    job, images = placed(patient, large)
    patient.client.submit(Predict(patient.model, images), job)
    patient.client.wait_until(lambda: job.ended or (job.progress and job.progress.stage == stage), PATIENCE)
    timed_cancel(patient, job)
    picture = large[:50, :60].copy()
    small, images = placed(patient, picture)
    found = run(patient, Predict(patient.model, images), small)
    same(found, predictor.predict(Image(picture[None].astype(np.float32))))
    assert patient.client.pid == pid


def test_cancelling_takes_two_seconds_at_the_most_whatever_goes_on(worker, large):
    run(worker, Load(worker.model))
    job, images = placed(worker, large)
    worker.client.submit(Predict(worker.model, images), job)
    worker.client.wait_until(lambda: job.ended or (job.progress and job.progress.stage == "predicting"), PATIENCE)
    pid = worker.client.pid
    assert timed_cancel(worker, job) < 2.0 + BUSY
    assert worker.client.pid == pid or until(lambda: not alive(pid), 1)


def test_stopping_keeps_what_is_done(worker, cine):
    job, images = placed(worker, np.tile(cine, (40, 1, 1, 1)))
    chunks = []
    job = worker.client.submit(PredictFrames(worker.model, images, rgb=True), job, on_chunk=chunks.append)
    worker.client.wait_until(lambda: len(chunks) >= 2, PATIENCE)
    worker.client.stop(job)
    done = worker.client.wait(job, 60)
    assert not done.complete
    assert sum(len(chunk.indices) for chunk in chunks) == done.frames < 800
    assert take_array(chunks[-1].labels).shape == (len(chunks[-1].indices), 60, 80)


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process")
def test_a_full_disk_is_one_error(worker, cine):
    import resource

    job, images = placed(worker, np.tile(cine, (5, 1, 1, 1)))
    run(worker, Load(worker.model))
    pid = worker.client.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        error = failure(worker, PredictFrames(worker.model, images, rgb=True), job)
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)
    assert error.code == "disk-full"
    assert "Free some space" in error.remedy
    assert not job.folder.exists()
    assert run(worker, Load(worker.model)).model.name
    assert worker.client.pid == pid


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process")
def test_memory_that_runs_out_is_one_error(trained, large, tmp_path):
    """In a process of its own: one that has computed before has free memory within the limit."""
    import resource

    model = Model(str(trained), device="cpu", backend="torch")
    with local_client(temporary=tmp_path) as client:
        worker = SimpleNamespace(client=client)
        run(worker, Load(model))
        pid = client.pid
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGESIZE") + 200 * 2**20
        job, images = placed(worker, large)
        before = resource.prlimit(pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        try:
            error = failure(worker, Predict(model, images), job)
        finally:
            resource.prlimit(pid, resource.RLIMIT_AS, before)
        assert error.code == "out-of-memory", error
        small, images = placed(worker, large[:50, :50].copy())
        assert run(worker, Predict(model, images), small).labels
        assert client.pid == pid


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_worker_is_one_error_and_comes_back(worker, cine):
    job, images = placed(worker, np.tile(cine, (40, 1, 1, 1)))
    worker.client.submit(PredictFrames(worker.model, images, rgb=True), job)
    worker.client.wait_until(lambda: job.progress is not None and job.progress.stage == "predicting", PATIENCE)
    pid = worker.client.pid
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(SemiSegError) as caught:
        worker.client.wait(job, 20)
    assert caught.value.code == "worker-killed"
    assert not job.folder.exists()
    again, images = placed(worker, cine)
    assert run(worker, PredictFrames(worker.model, images, rgb=True), again).complete
    assert worker.client.pid != pid


def test_a_compiler_that_hangs_is_given_up_before_its_job_counts_as_hanging():
    """Then PyTorch computes; else the process would be ended, and the next one would compile again."""
    assert 0.8 * Limits().stall > convert.TIMEOUT_SECONDS


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_laid_out_as_in_slicer_and_killed_nothing_is_left(tmp_path, trained, cine):
    """The program imports no torch, its worker finds the libraries in the flat folder, and both go together."""
    flat, temporary = tmp_path / "qt-scripted-modules", tmp_path / "temporary"
    lay_out(flat)
    temporary.mkdir()
    frames = write_array(tmp_path / "frames.npy", np.tile(cine[..., 0], (400, 1, 1)))
    command = [sys.executable, "-I", WorkerRig.program.__file__, flat, temporary, trained, frames]
    program = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)
    told = json.loads(program.stdout.readline())
    assert told["state"] == "running"
    assert told["devices"][-1] == "cpu"
    heavy = {"torch", "monai", "pydantic", "openvino", "SimpleITK", "scipy", "safetensors"}
    assert not heavy & {name.partition(".")[0] for name in told["modules"]}
    (private,) = (path for path in temporary.iterdir() if path.is_dir())
    assert alive(told["pid"])
    program.kill()
    program.wait()
    assert until(lambda: not alive(told["pid"]), 5), "no orphan"
    assert until(lambda: not private.exists(), 5), "no file"
    assert sorted(p.name for p in temporary.iterdir()) == ["worker.log"]


def test_libraries_find_standard_input_empty_and_do_not_wait_for_messages(worker):
    """On Windows loading SciPy would wait for the next message, looking at a pipe that another thread reads."""
    code = (
        "import os, sys\n"
        "from SemiSegCervicalLib.worker.server_process import take_standard_input\n"
        "messages = take_standard_input()\n"
        "print(repr(sys.stdin.read()), os.read(0, 9), os.get_inheritable(messages), os.read(messages, 9))"
    )
    child = subprocess.run([sys.executable, "-c", code], input=b"a message", capture_output=True, timeout=PATIENCE)
    assert child.stdout.decode().strip() == "'' b'' False b'a message'", child.stderr
    run(worker, Load(worker.model))
    if Path("/proc/self/fd").is_dir():
        assert os.readlink(f"/proc/{worker.client.pid}/fd/0") == os.devnull


@pytest.fixture
def alone(tmp_path):
    """Make clients of workers of their own."""
    clients = []

    def make(before="", **options):
        def command(folder):
            script = LIBRARY / "SemiSegCervicalLib" / "worker" / "server.py"
            code = f"import runpy, sys\n{before}\ndel sys.argv[0]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
            return [sys.executable, "-I", "-u", "-c", code, str(script), str(folder), str(LIBRARY)]

        client = local_client(temporary=tmp_path, log=tmp_path / "log" / "worker.log", command=command, **options)
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()
    assert [p.name for p in tmp_path.iterdir()] in ([], ["log"])


@pytest.mark.parametrize(
    ("before", "options", "code"),
    [
        ("", {"hello": Hello(protocol=999)}, "version-mismatch"),
        ("", {"hello": Hello(modules=("os",))}, "unknown-module"),
        ("", {"hello": Hello(modules=("SemiSegTrainerLib.learning.run",))}, "unknown-module"),
        ("sys.modules['monai'] = None", {}, "missing-package"),
        ("sys.modules['numpy'] = None", {}, "worker-not-started"),
    ],
)
def test_a_start_that_cannot_succeed_says_why(alone, tmp_path, before, options, code):
    client = alone(before, **options)
    with pytest.raises(SemiSegError) as caught:
        client.wait(client.submit(Describe(())), PATIENCE)
    assert caught.value.code == code
    assert client.error is caught.value
    if code == "missing-package":
        assert "MONAI 1.4 or newer" in caught.value.cause
    if code == "worker-not-started":
        assert "numpy" in (tmp_path / "log" / "worker.log").read_text(), "the log has the traceback"


def test_what_others_put_on_pythons_path_is_not_imported(tmp_path, tmp_path_factory, monkeypatch):
    """Not by PYTHONPATH, as Slicer and users set it, and not from the folder of the worker's own file."""
    foreign = tmp_path_factory.mktemp("foreign")
    for name in ("numpy", "torch", "pydantic"):
        (foreign / f"{name}.py").write_text("raise RuntimeError('of another Python')")
    monkeypatch.setenv("PYTHONPATH", str(foreign))
    with local_client(temporary=tmp_path, log=tmp_path / "worker.log") as client:
        assert client.wait(client.submit(Describe(())), PATIENCE) == Cards(())
    path = [
        str(foreign),
        sys.prefix,
        os.path.join(sys.prefix, "lib"),
        str(LIBRARY / "SemiSegCervicalLib" / "worker"),
        "",
    ]
    others = os.pathsep.join([str(foreign), os.path.join(sys.prefix, "lib")])
    assert server.own_path(path, others) == path[1:3], "what lies in Python itself stays, named there or not"


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for Slicer's launcher is a shell script")
def test_the_interpreter_of_an_installed_slicer_finds_its_library(tmp_path):
    """There Python is in ``bin``, its library in ``lib/Python``, and a launcher sets PYTHONHOME."""
    home, name = tmp_path / "Slicer" / "lib" / "Python", f"python{sys.version_info.major}.{sys.version_info.minor}"
    (home / "lib").mkdir(parents=True)
    (home / "lib" / name).symlink_to(Path(os.__file__).parent)
    (tmp_path / "Slicer" / "bin").mkdir()
    shutil.copy(Path(sys._base_executable).resolve(), tmp_path / "Slicer" / "bin" / "python-real")
    launcher = tmp_path / "Slicer" / "bin" / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\nPYTHONHOME="{home}" exec "{launcher.parent}/python-real" "$@"\n')
    launcher.chmod(0o755)
    asking = tmp_path / "asking.py"
    asking.write_text("import sys; print(sys.prefix)")
    with local_client(temporary=tmp_path, log=tmp_path / "worker.log") as client:
        client._python = str(launcher)
        command = client._usual_command(tmp_path)
    asked = [str(asking) if part.endswith("server.py") else part for part in command]
    found = subprocess.run(asked, capture_output=True, text=True)
    assert found.stdout.strip() == str(home), found.stderr


def test_cancelling_while_the_process_starts(alone):
    client = alone()
    job = client.submit(Describe(()))
    client.wait_until(lambda: client.pid is not None, PATIENCE)
    began = time.monotonic()
    client.cancel(job)
    assert job.state == "cancelled"
    client.close()
    assert time.monotonic() - began < 2.0 + BUSY


@pytest.mark.parametrize(
    ("error", "code", "restart"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered\nmore"), "device-error", True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), "device-error", True),
        (RuntimeError("ConvTranspose 3D is not supported on MPS"), "device-error", True),
        (
            NotImplementedError("The operator 'aten::max_pool3d_with_indices' is not currently implemented"),
            "device-error",
            True,
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"), "out-of-memory", False),
        (MemoryError(), "out-of-memory", False),
        (ModuleNotFoundError("No module named 'x'", name="x"), "missing-package", False),
        (ImportError("libcudart.so.12: cannot open shared object file"), "broken-package", False),
        (
            OSError("libcudart.so.12: cannot open shared object file: No such file or directory"),
            "broken-package",
            False,
        ),
        (OSError("dlopen(torch/lib/libtorch_global_deps.dylib, 0x000A): Library not loaded"), "broken-package", False),
        (OSError(12, "Cannot allocate memory"), "out-of-memory", False),
        (OSError(28, "No space left on device", "file"), "disk-full", False),
        (PermissionError(13, "Permission denied", "file"), "file-error", False),
        (OSError("odd"), "file-error", False),
        (ZeroDivisionError("division by zero"), "defect", False),
        (SemiSegError("mine", "cause", "remedy"), "mine", False),
    ],
)
def test_whatever_is_raised_has_cause_and_remedy(error, code, restart, capfd):
    failed = explain(error, "predicting")
    assert (failed.code, failed.restart, failed.stage) == (code, restart, "predicting")
    assert failed.cause
    assert failed.remedy
    assert "\n" not in failed.cause
    if not isinstance(error, SemiSegError):
        assert type(error).__name__ in capfd.readouterr().err, "the log has the whole"


@pytest.mark.parametrize(
    ("number", "code", "words"),
    [
        (126, "broken-package", "Visual C++"),
        (1114, "broken-package", "Visual C++"),
        (1455, "out-of-memory", "paging file"),
        (5, "file-error", "permissions"),
    ],
)
def test_what_windows_says_when_pytorch_is_loaded(number, code, words):
    """PyTorch raises an OSError with Windows' number, which is no matter of disks and permissions."""

    class WindowsError(OSError):
        winerror = number

    failed = explain(WindowsError(22, 'The specified module could not be found. Error loading "c10.dll"'), "starting")
    assert failed.code == code
    assert words in failed.remedy
