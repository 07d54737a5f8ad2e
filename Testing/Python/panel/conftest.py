"""The panel in the rig, with a real worker or a scripted one, and images to segment."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from SlicerRig import application
from SlicerRig.fixtures import app, clean, pytest_pycollect_makemodule  # noqa: F401
from SlicerRig.wheels import make_wheel
from WorkerRig.processes import alive, until
from WorkerRig.scripted import command_lines

SECONDS = 180.0
WITHOUT_TORCH = os.environ.get("SEMISEG_WITHOUT_TORCH") == "1"


@pytest.fixture(scope="session", autouse=True)
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One thread in every process, and nobody's own folders."""
    place = tmp_path_factory.mktemp("surroundings")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("SEMISEG_MODELS", str(place / "models"))
        patch.setenv("XDG_DATA_HOME", str(place / "data"))
        yield place


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models, empty, in an installation that ships none."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("SEMISEG_MODELS", str(folder))
    monkeypatch.setattr("SemiSegCervicalLib.packs.resource_folder", lambda kind: None)
    return folder


@pytest.fixture
def blobs(models: Path, trained: Path) -> Path:
    """The trained model, installed."""
    return Path(shutil.copy(trained, models / "blobs.semiseg"))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the tests' pip installs to, seen by this Python."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """A folder with one package, for an installation without network."""
    folder = tmp_path / "wheels with a space"
    folder.mkdir()
    make_wheel(folder, "semiseg-tiny")
    return folder


@pytest.fixture
def panel() -> Iterator[Any]:
    """The panel as it is opened, which is closed afterwards."""
    yield application.open_module("SemiSegCervical").panel
    application.close_module("SemiSegCervical")


@pytest.fixture
def ui(panel: Any) -> Any:
    """The widgets of the panel's result and export."""
    return panel.results.ui


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where screenshots go: a folder to look at, or a temporary one."""
    return Path(os.environ.get("SEMISEG_SCREENSHOTS") or tmp_path / "screenshots")


@dataclass
class Opened:
    """The opened module.

    Attributes:
        widget: what Slicer makes of the module.
        panel: `SemiSegCervicalLib.panel.widget.Panel`.
        temporary: where the worker's private folder is made.
        pids: of the workers that were there.
    """

    widget: Any
    panel: Any
    temporary: Path
    pids: set[int]
    how: dict[str, str] | None = None

    @property
    def ui(self) -> Any:
        return self.panel.ui

    def choose(self, node: Any) -> None:
        """Choose an image."""
        self.ui.sourceSelector.setCurrentNode(node)
        application.process_events(0.05)

    def apply(self) -> Any:
        """Press Apply and return the job."""
        application.process_events(0.05)
        assert self.ui.applyButton.enabled, self.ui.applyButton.toolTip
        application.click(self.ui.applyButton)
        job = self.panel.state().job
        assert job is not None, self.ui.messageLabel.text
        return job

    def run(self, node: Any = None) -> Any:
        """Segment an image and return the job, which has ended."""
        if node is not None:
            self.choose(node)
        job = self.apply()
        self.until(lambda: job.ended)
        application.process_events(0.1)
        return job

    def settle(self) -> None:
        """Let the trainer read the scene, check it, and fill its table."""
        application.process_events(0.3)
        self.until(lambda: self.panel.split is not None and not self.panel.reading)
        application.process_events(0.02)
        self.until(lambda: not self.panel.reading and not self.panel.cases.table.filling)
        application.process_events()

    def lack_packages(self) -> None:
        """Put a panel in the place of this one to which a package is missing."""
        from SemiSegCervicalLib.packages import Package

        self.need([Package("semiseg-not-there", "semiseg_not_there", "1", "shows what is missing", 3)])

    def need(self, packages: list[Any]) -> None:
        """Put a panel in the place of this one that needs these packages."""
        self.panel.close()
        self.panel.widget.visible = False
        widget = self.widget
        self.panel = widget.panel = type(self.panel)(
            widget.layout, widget.logic, widget.resourcePath, packages=packages
        )
        self.panel.enter()

    def until(self, condition: Callable[[], Any]) -> None:
        """Let the event loop turn until something holds."""
        assert application.wait_until(condition, SECONDS), "it did not come true in time"


def _opening(name: str, folder: Path) -> Iterator[Callable[..., Opened]]:
    """Yield what opens a module with a worker of its own; afterwards nothing may be left of either.

    Args:
        name: of the module.
        folder: for the worker's temporary files and its log.
    """
    temporary = folder / "temporary"
    temporary.mkdir()
    made: list[Opened] = []

    def make(how: str | dict[str, str] = "", prediction: str = "", **options: Any) -> Opened:
        """Open it.

        Args:
            how: a scripted worker begins; empty for the real worker. Or ``start`` and ``prediction``, to change.
            prediction: how a scripted worker predicts, and trains.
            options: of `worker.client.Client`.
        """
        widget = application.open_module(name)
        opened = Opened(widget, widget.panel, temporary, set())
        if how:
            options["command"] = command_lines(
                how if isinstance(how, dict) else {"start": how, "prediction": prediction}
            )
        jobs = type(widget.logic.jobs)(temporary=temporary, log=folder / "worker.log", **options)
        jobs.on_change = widget.logic.jobs.on_change
        widget.logic.jobs.close()
        widget.logic.jobs = jobs
        made.append(opened)
        if WITHOUT_TORCH and name == "SemiSegTrainer":  # it would offer nothing but to install what is missing
            opened.need([])
        return opened

    yield make
    if made:
        client = made[-1].widget.logic.jobs.client
        if client.pid:
            made[-1].pids.add(client.pid)
        application.close_module(name)
        assert list(temporary.iterdir()) == [], "closing leaves no file"
        assert until(lambda: not any(alive(pid) for pid in made[-1].pids)), "closing leaves no process"


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Open the module that segments, with a scripted worker or the real one."""
    import slicer

    slicer.app.settings().clear()  # how long earlier tests took is remembered there
    yield from _opening("SemiSegCervical", tmp_path)


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of trainings, empty."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("SEMISEG_RUNS", str(folder))
    return folder


@pytest.fixture
def opened_trainer(tmp_path: Path, run_folder: Path) -> Iterator[Callable[..., Opened]]:
    """Open the trainer's module, with a scripted worker or the real one."""
    yield from _opening("SemiSegTrainer", tmp_path)


@pytest.fixture
def partly(clean: Any) -> SimpleNamespace:  # noqa: F811
    """Six volumes of blobs, of which five are drawn in, and a cine with five accepted frames."""
    import slicer
    from SemiSegTrainerLib.scene.marks import accept_frame, set_annotated_slices
    from SlicerRig import scenes
    from TrainingRig import cases

    status = slicer.vtkSlicerSegmentationsModuleLogic
    affine = np.diag([-0.5, -0.5, 2.0, 1.0])
    made = SimpleNamespace(volumes=[], segmentations={}, classes=scenes.BLOBS)
    for number in range(6):
        drawn = [cases.draw(10 * number + z) for z in range(8)]
        volume = scenes.add_volume(np.stack([d[0] for d in drawn]).astype(np.int16), f"Volume {number}", affine)
        made.volumes.append(volume)
        labels = np.stack([d[1] for d in drawn])
        if number < 5:
            kind = {3: status.InProgress, 4: status.Flagged}.get(number, status.Completed)
            made.segmentations[number] = scenes.add_segmentation(
                volume, labels, scenes.BLOBS, statuses={1: kind, 2: kind}, name=f"Drawn {number}"
            )
    set_annotated_slices(made.segmentations[3], [1, 4, 6])
    drawn = [cases.draw(seed) for seed in range(12)]
    made.sequence, made.browser = scenes.add_cine([d[0] for d in drawn], "Cine", np.diag([-0.5, -0.5, 1.0, 1.0]))
    made.drawn = scenes.add_drawn_sequence(made.sequence, made.browser, "Cine drawn")
    for frame in (0, 3, 4, 8, 11):
        value = made.sequence.GetNthIndexValue(frame)
        scenes.draw_frame(made.drawn, made.sequence, value, drawn[frame][1], scenes.BLOBS)
        accept_frame(made.drawn, value)
    return made


@pytest.fixture
def picture() -> Callable[..., Any]:
    """Add a picture of blobs to the scene."""

    def make(seed: int = 3, name: str = "Picture", spacing: tuple[float, float] = (0.25, 0.5)) -> Any:
        import slicer
        from TrainingRig import cases

        values, _ = cases.draw(seed)
        volume = slicer.util.addVolumeFromArray(values[None], name=name)
        volume.SetSpacing(*spacing, 1.0)
        return volume

    return make


@pytest.fixture
def cine() -> Callable[..., Any]:
    """Add a cine of blobs to the scene; returns sequence, browser, and the volume that shows it."""

    def make(frames: int = 6, rgb: bool = True, name: str = "Cine") -> tuple[Any, Any, Any]:
        from SlicerRig import scenes
        from TrainingRig import cases

        drawn = [cases.draw(seed)[0] for seed in range(frames)]
        values = [np.repeat(frame[..., None], 3, axis=-1) for frame in drawn] if rgb else drawn
        sequence, browser = scenes.add_cine(values, name, np.diag([-0.25, -0.5, 1.0, 1.0]))
        application.process_events()
        return sequence, browser, browser.GetProxyNode(sequence)

    return make


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """A disk on which no file may become larger than so many bytes, from when that is called; 0 lifts the limit."""
    import resource
    import signal

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size or before[0], before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def partly_annotated() -> Callable[..., Any]:
    """Add pictures of blobs to the scene, of which the first are annotated."""

    def make(pictures: int = 6, annotated: int = 4) -> Any:
        from SlicerRig import scenes
        from TrainingRig import cases

        drawn = [cases.draw(seed) for seed in range(pictures)]
        labels = {number: drawn[number][1] for number in range(annotated)}
        return scenes.partly_segmented_scene([d[0] for d in drawn], labels, scenes.BLOBS, spacing=(0.5, 0.25))

    return make


@pytest.fixture
def film() -> Callable[..., Any]:
    """A cine of blobs, its first frames annotated."""
    from SlicerRig import scenes
    from TrainingRig import cases

    def make(frames: int = 7, annotated: int = 2) -> Any:
        drawn = [cases.draw(seed) for seed in range(frames)]
        made = scenes.partly_segmented_scene(
            [], {}, scenes.BLOBS, cine=[picture for picture, _ in drawn],
            cine_labels={number: drawn[number][1] for number in range(annotated)},
        )  # fmt: skip
        application.process_events()
        return made

    return make
