"""The whole panel: puts the sections together, and passes on what one of them must know of another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer

from ..errors import SemiSegError
from ..packages import NEEDED, Package
from ..scene.alone import bring_back, follow_views, is_behind, is_out_of_sight, reveal, show_alone
from ..scene.layers import composites
from ..scene.nodes import is_changing
from ..scene.records import Record, find_records
from ..scene.source import Source, source_of
from ..worker.protocol import MODEL_CHANGED
from . import segmenting
from .accessible import name_widgets
from .adding import Adding
from .batch import first_of
from .batch_section import BatchSection
from .binding import Binding
from .connections import SceneEvents
from .curve import CurveSection
from .export import ExportSection
from .inputs import InputSection
from .install import InstallSection
from .later import Later
from .messages import Messages
from .models import ModelSection
from .narrow import may_be_narrow
from .overlay_controls import OverlayControls
from .parameters import DEVICE_NAMES, Parameters
from .request import GPU, Request, make_request
from .results import ResultsSection
from .run import RunSection
from .running import Running
from .segmenting import Segmenting
from .sizes import renew_sizes
from .state import PanelState
from .warming import Warming
from .watching import Watching

_PROGRESS_MS = 100


def choose_file(title: str, files: str) -> str:
    """Ask for a file; an empty text means none."""
    return str(qt.QFileDialog.getOpenFileName(slicer.util.mainWindow(), title, "", files))


class Panel:
    """One panel; `close` it when the module is closed or reloaded."""

    def __init__(
        self,
        layout: Any,
        logic: Any,
        resource: Callable[[str], str],
        choose_file: Callable[[str, str], str] = choose_file,
        packages: Sequence[Package] = NEEDED,
    ) -> None:
        """Build the panel.

        Args:
            layout: what it is put into.
            logic: the module's logic: the worker, the jobs, the choices in the scene.
            resource: returns the path of a resource file.
            choose_file: asks for a file, with a title and a filter.
            packages: what the worker needs.
        """
        self.logic = logic
        self.widget = slicer.util.loadUI(resource("UI/SemiSegCervical.ui"))
        layout.addWidget(self.widget)
        self.ui = ui = slicer.util.childWidgetVariables(self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self._adding: Adding | None = None
        self._record: Record | None = None
        self._source_shown: Any = None
        self._entered = self._refreshing = self._replacing = self._to_fit = False
        self.messages = Messages(ui)
        self._running = Running(
            lambda: logic.jobs, self.messages, self._progressed, self._frames_added, self._job_ended,
        )  # fmt: skip
        self._later = Later(self.refresh)  # one refresh for many events
        self._binding = Binding(Parameters, logic.getParameterNode, ui, self.changed)
        self._progress = Later(self._show_progress, _PROGRESS_MS)
        self._warming = Warming(lambda: logic.jobs, self.changed)
        self._views = Watching(self._follow_views)

        installing = slicer.util.loadUI(resource("UI/SemiSegCervicalInstall.ui"))
        ui.installHost.layout().addWidget(installing)
        self.install = InstallSection(
            slicer.util.childWidgetVariables(installing),
            on_installed=self._installed,
            on_error=self._install_error,
            packages=packages,
        )
        self.inputs = InputSection(ui, self.changed, renew_sizes)
        self.models = ModelSection(ui, self.changed, self.add_model, choose_file)
        self.run = RunSection(ui, self.apply, self.cancel)
        self.batch = BatchSection(ui, self.inputs.nodes, self.apply_to, self._open)
        results = slicer.util.loadUI(resource("UI/SemiSegCervicalResults.ui"))
        ui.resultsHost.layout().addWidget(results)
        found = slicer.util.childWidgetVariables(results)
        self.results, self.overlay, self.curve = (
            ResultsSection(found, self._choose),
            OverlayControls(found),
            CurveSection(found),
        )
        self.export = ExportSection(
            found, self.messages.error, self.messages.note, self.messages.warning, lambda: logic.jobs.client
        )
        self.sections: list[Any] = [
            self.install, self.inputs, self.models, self.run, self.batch, self.results, self.overlay, self.curve,
            self.export,
        ]  # fmt: skip
        name_widgets(self.widget)
        logic.jobs.on_change = self.changed
        scene = slicer.vtkMRMLScene
        self._scene_events = SceneEvents(
            {
                scene.StartCloseEvent: self._scene_ends,
                scene.EndCloseEvent: self._scene_changed,
                scene.StartImportEvent: self._scene_closes,
                scene.EndImportEvent: self._scene_changed,
                scene.EndBatchProcessEvent: self._scene_settled,
                scene.NodeAddedEvent: self._nodes_changed,
                scene.NodeRemovedEvent: self._nodes_changed,
            },
            self._node_goes,
        )
        self._bind()

    # -- life cycle --

    def enter(self) -> None:
        """The module was opened."""
        self._entered = True
        may_be_narrow(self.widget.parent())
        self.install.enter()
        self._bind()
        self.models.reload()
        self._choose_shown()
        self.refresh()

    def exit(self) -> None:
        """Another module was opened; what runs goes on."""
        self._entered = False

    def close(self) -> None:
        """End everything and let go of the scene."""
        if self._adding is not None:
            self._adding.cancel()
        self._running.stop()
        self.logic.jobs.on_change = None
        self._unbind()
        self._scene_events.close()
        parts: list[Any] = [*self.sections, self.messages, self._later, self._progress]
        for part in (*parts, self._warming, self._views, self._binding):
            part.close()

    # -- what is asked for --

    def apply(self) -> None:
        """Begin a job with the present choices."""
        self.messages.hide()
        try:
            request = self._request(*self._source())
        except SemiSegError as error:
            self.messages.error(error)
            return
        self._running.begin(request)
        self._record = None
        self.refresh()

    def apply_to(self, cases: Sequence[Mapping[int, Any]]) -> None:
        """Segment cases, images by the index of the modality, one after another, with the present choices."""
        self.messages.hide()
        card, chosen = self.models.card, self._parameters
        if card is None or chosen is None:
            return
        device, stack, uncertainty = DEVICE_NAMES[chosen.device], chosen.slices_as_frames, chosen.uncertainty

        def request(images: Mapping[int, Any]) -> Request:
            return make_request(card, images, self._device(device), None, stack, None, uncertainty)

        self._running.begin_several(cases, request)
        self.refresh()

    def cancel(self) -> None:
        """End the job, and what would come after it."""
        self._running.cancel()

    def add_model(self, path: Path) -> None:
        """Add a model from a file."""
        if self._adding is None or not self._adding.active:
            self.messages.note(f"Checking {path.name} ...")
            self._adding = Adding(self.logic.jobs.client, path, self._added)

    def changed(self) -> None:
        """Something may have changed: show it with the next turn of the event loop."""
        self._later.start()

    def _progressed(self) -> None:
        """A job tells how it is: that concerns one section, and many times a second."""
        self._progress.start()

    def _show_progress(self) -> None:
        if self._parameters is not None:
            self.run.refresh(self.state())

    # -- showing --

    def refresh(self) -> None:
        """Show the present state everywhere; of a scene that is being read or closed, afterwards."""
        if self._refreshing or self._replacing:
            return
        if self._parameters is None:
            self._bind()
            if self._entered:
                self._choose_shown()
        self._refreshing = True
        try:
            self._running.go_on()
            state = self.state()
            if self._entered and state.record is not None:
                reveal(state.record)
            self._views.watch(composites(slicer.mrmlScene))
            self._follow_views()
            self.messages.look_at(state.source.node if state.source is not None else None, state.record)
            for section in self.sections:
                section.refresh(state)
            if self._to_fit:
                self._to_fit = False
                slicer.util.setSliceViewerLayers(fit=True)
            if self._entered and not state.busy and state.fault is None and state.card is not None:
                self._warming.want(state.card, DEVICE_NAMES[self._parameters.device])
        finally:
            self._refreshing = False

    def state(self) -> PanelState:
        """Return what is known now."""
        card = self.models.card
        source, fault = self._source()
        frames: int | None = None
        try:
            request = self._request(source, fault)
            frames = None if request.frames is None else len(request.frames)
        except SemiSegError as error:
            fault = fault or error
        if not self.install.complete:
            remedy = "Install them at the top of this panel"
            fault = SemiSegError("missing-package", "Packages that compute are not installed yet", remedy, "panel")
        elif card is None:
            fault = SemiSegError(
                "no-model", "No model is installed", "Add one from a file, or train one with SemiSegTrainer", "panel"
            )
        return PanelState(
            self.install.complete,
            source,
            frames,
            card,
            fault,
            self._running.job,
            self._running.batch,
            self.logic.jobs.welcome,
            self._shown_record(source),
        )

    def _source(self) -> tuple[Source | None, SemiSegError | None]:
        card = self.models.card
        nodes = [node for node in self.inputs.nodes().values() if node is not None]
        stack = bool(self._parameters and self._parameters.slices_as_frames) and (
            card is None or card.spatial_dims == 2
        )
        try:
            return source_of(nodes[0] if nodes else None, stack), None
        except SemiSegError as error:
            return None, error

    def _request(self, source: Source | None, fault: SemiSegError | None) -> Request:
        card, chosen = self.models.card, self._parameters
        if card is None or chosen is None:
            raise SemiSegError("no-model", "No model is chosen", "Choose a model", "panel")
        if fault is not None:
            raise fault
        return make_request(
            card, self.inputs.nodes(), self._device(DEVICE_NAMES[chosen.device]), self.inputs.frames(source),
            chosen.slices_as_frames, chosen.replace, chosen.uncertainty,
        )  # fmt: skip

    def _device(self, wished: str) -> str:
        """Return a device that was chosen, if it is there as far as is known.

        Raises:
            SemiSegError: it is not.
        """
        welcome = self.logic.jobs.welcome
        if wished == GPU and welcome is not None and not welcome.working_cards:
            raise SemiSegError(
                "no-gpu", "There is no graphics card that can be used", "Choose Automatic or Processor", "device"
            )
        return wished

    def _shown_record(self, source: Source | None) -> Record | None:
        """Return the result that runs, the one that was chosen, or the newest of the chosen image: rather one that is
        not hidden for another."""
        if source is not None and source.node is not self._source_shown:
            self._source_shown, self._record = source.node, None
        job = self._running.job
        if job is not None and job.record is not None and job.record.exists and self._shows(job, source):
            self._record = job.record
        if self._record is not None and self._record.exists:
            return self._record
        found = [r for r in find_records(slicer.mrmlScene)[::-1] if source is None or r.source is source.node]
        return next((r for r in found if r.source is found[0].source and not is_behind(r)), found[0] if found else None)

    def _shows(self, job: Segmenting, source: Source | None) -> bool:
        """Return whether a job is about the chosen image; one of several may be about another."""
        return not self._running.is_one_of_several(job) or job.is_about(source)

    def _open(self, images: Mapping[int, Any]) -> None:
        """The user wants to see one of several cases, and its result."""
        if self._parameters is not None:
            self.inputs.choose(images)
            self._look_at(first_of(images))

    def _choose(self, record: Record) -> None:
        """The user wants to see another result."""
        self._record = record
        if is_out_of_sight(record):
            self._look_at(record.shown_source)
        show_alone(record)
        self.changed()

    def _look_at(self, image: Any) -> None:
        """Show another image in all views."""
        slicer.util.setSliceViewerLayers(background=image)
        self._to_fit = True  # afterwards: what lies over the former image, perhaps elsewhere, goes with `refresh`
        self.changed()

    def _follow_views(self) -> None:
        """Show the outlines of the pictures that the views show, and of no others over them."""
        scene = slicer.mrmlScene
        if is_changing(scene):
            return
        if not self._entered:
            bring_back(scene)
        else:
            source = self._source()[0]
            follow_views(scene, source.shown if source is not None else None, self._shown_record(source))

    def _arrived(self, record: Record) -> None:
        """Show a result that a job has made in the place of earlier ones; of its image, those that were corrected stay,
        too."""
        if self.overlay.arrived(record):
            show_alone(record, corrected=False)
            follow_views(slicer.mrmlScene, record.shown_source)

    # -- told by the job --

    def _frames_added(self) -> None:
        for section in self.sections:
            if hasattr(section, "frames_added"):
                section.frames_added()
        self._result_arrived(self._running.job)

    def _result_arrived(self, job: Segmenting | None) -> None:
        if job is None or job.record is None or job.abandoned:
            return
        source = self._source()[0]
        if self._shows(job, source):
            self._arrived(job.record)
        else:  # it waits, before the earlier ones of its image, and hidden where it would lie over what is looked at
            if job.ended:
                show_alone(job.record, corrected=False)
            follow_views(slicer.mrmlScene, source.shown if source is not None else None)

    def _job_ended(self, job: Segmenting, one_of_several: bool) -> None:
        if self._shows(job, self._source()[0]):
            self._record = job.record
        self._result_arrived(job)
        if job.error is not None and job.error.code == MODEL_CHANGED:
            self.models.reload()
        if job.state == segmenting.DONE and self._parameters is not None and not one_of_several:
            self._parameters.replace = None  # what was asked for once; the next result stands beside this one
        self.changed()

    def _installed(self) -> None:
        """New packages are there, for the next job."""
        self.logic.jobs.renew_worker()
        self._warming.forget()
        self.changed()

    def _install_error(self, error: SemiSegError | None) -> None:
        if error is None:
            self.messages.hide()
        else:
            self.messages.error(error)

    def _added(self, name: str, error: SemiSegError | None) -> None:
        if error is not None:
            self.messages.error(error)
            return
        self.models.reload()
        self.models.choose(name)
        self.messages.note(f'The model was added as "{name}".')
        self.changed()

    # -- the scene --

    @property
    def _parameters(self) -> Any:
        """The choices in the present scene; None while there are none."""
        return self._binding.parameters

    def _bind(self) -> None:
        """Take the choices of the present scene."""
        if self._binding.take():
            self._pass_on(self._binding.parameters)

    def _unbind(self) -> None:
        if self._binding.parameters is not None:
            self._binding.let_go()
            self._pass_on(None)

    def _pass_on(self, parameters: Any) -> None:
        for section in self.sections:
            if hasattr(section, "set_parameters"):
                section.set_parameters(parameters)

    def _choose_shown(self) -> None:
        card = self.models.card
        self.inputs.choose_shown(card.modalities if card is not None else ())

    def _node_goes(self, node: Any) -> None:
        """Choose nothing in the place of a node that is being removed: the selectors would choose their next one."""
        chosen = self._parameters
        if chosen is not None:
            for name in ("source", "replace"):
                if getattr(chosen, name) is node:
                    setattr(chosen, name, None)
            self.inputs.node_goes(node)

    def _scene_ends(self) -> None:
        """The scene is closed: what was said of its images would be taken for a word on the next one's."""
        self.messages.hide()
        self._scene_closes()

    def _scene_closes(self) -> None:
        """The scene is closed, or another is added to it: the selectors lose what they show, and not by choice."""
        self._replacing, self._to_fit = True, False
        self._record = self._source_shown = None
        self._unbind()

    def _scene_changed(self) -> None:
        self._record = None
        self._running.forget_deleted()
        # Not now: while a scene is read, its choices come before the nodes that they name, and before the selectors
        # know these.
        self._unbind()
        self.changed()

    def _scene_settled(self) -> None:
        """What came or went at once is there or gone, and the selectors know it: this comes last."""
        self._replacing = False
        self.changed()

    def _nodes_changed(self) -> None:
        self._running.forget_deleted()
        self.changed()
