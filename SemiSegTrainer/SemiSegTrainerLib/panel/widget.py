"""The trainer's whole panel: puts the sections together, and passes on what one of them must know of another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import SemiSegCervicalLib
import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.packages import NEEDED, TRAINING, Package
from SemiSegCervicalLib.panel.accessible import name_widgets
from SemiSegCervicalLib.panel.binding import Binding
from SemiSegCervicalLib.panel.connections import SceneEvents
from SemiSegCervicalLib.panel.install import InstallSection
from SemiSegCervicalLib.panel.later import Later
from SemiSegCervicalLib.panel.messages import Messages
from SemiSegCervicalLib.panel.narrow import may_be_narrow
from SemiSegCervicalLib.panel.watching import Watching
from SemiSegCervicalLib.panel.widget import choose_file
from SemiSegCervicalLib.scene.alone import bring_back
from SemiSegCervicalLib.scene.layers import composites

from ..catalogue import describe
from ..scene import choices
from ..scene.classes import SegmentKey
from ..scene.split import Split
from ..scene.training_set import TrainingSet
from ..versions import Version
from .after import AfterSection
from .annotating import AnnotatingSection
from .cases import CasesSection
from .checking import Checking
from .collecting import Collecting
from .jobs import Jobs
from .outside import OutsideSection, choose_folder
from .parameters import Parameters
from .preflight import PreflightSection
from .questions import QuestionsSection
from .recipe import Recipe, make_recipe
from .recipe_section import RecipeSection
from .rows import CHOSEN_USES, Row
from .run_section import RunSection
from .state import PanelState, Section
from .suggest import SuggestSection

# In Slicer both modules' resources lie in one folder, in the source tree they do not.
CERVICAL_RESOURCES = Path(SemiSegCervicalLib.__file__).resolve().parents[1] / "Resources"


class Panel:
    """One panel; `close` it when the module is closed or reloaded.

    A section belongs to the list `sections`; `state.Section` says what it may offer. It gets the panel's widgets, or
    those of a .ui file of its own by `load`, and calls `changed` when others may have to show something new.

    Attributes:
        ui: the widgets of ``SemiSegTrainer.ui``.
        logic: the module's logic; `logic.jobs` has the worker.
        messages: where the user is told what went wrong.
        choose_file: asks for a file, with a title and a filter; an empty text means none.
        sections: in their order from top to bottom.
    """

    def __init__(
        self,
        layout: Any,
        logic: Any,
        resource: Callable[[str], str],
        choose_file: Callable[[str, str], str] = choose_file,
        choose_folder: Callable[[str], str] = choose_folder,
        packages: Sequence[Package] = (*NEEDED, *TRAINING),
    ) -> None:
        """Build the panel.

        Args:
            layout: what it is put into.
            logic: the module's logic: the worker, the choices in the scene.
            resource: returns the path of a resource file.
            choose_file: asks for a file.
            choose_folder: asks for a folder.
            packages: what the worker needs.
        """
        self.logic, self.choose_file, self._resource = logic, choose_file, resource
        self.widget = slicer.util.loadUI(resource("UI/SemiSegTrainer.ui"))
        layout.addWidget(self.widget)
        self.ui = ui = slicer.util.childWidgetVariables(self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self._entered = self._refreshing = self._replacing = False
        self.messages = Messages(ui)
        self._later = Later(self.refresh)  # one refresh for many events
        self._views = Watching(lambda: bring_back(slicer.mrmlScene))
        self._collecting = Collecting(self.changed)
        self._checking = Checking(self.changed)
        self._binding = Binding(Parameters, logic.getParameterNode, ui, self.changed)
        self.install = InstallSection(
            self.load(str(CERVICAL_RESOURCES / "UI" / "SemiSegCervicalInstall.ui"), ui.installHost),
            on_installed=self._installed,
            on_error=self._install_error,
            packages=packages,
            optional=None,
        )
        self.cases = CasesSection(ui, self._use_chosen, self._propose, self.changed)
        self.annotating = AnnotatingSection(
            ui, lambda: self.cases.selected, self._marked, self.look_again, self._mark_refused
        )  # fmt: skip
        self.outside = OutsideSection(
            ui, lambda: self.cases.selected, self.look_again, self.messages.error, choose_file, choose_folder
        )  # fmt: skip
        self.questions = QuestionsSection(ui, self._answered, self._ask_again)
        self.choices = RecipeSection(ui, self.changed, self.messages.error, choose_file)
        self.preflight = PreflightSection(ui, self._jobs, self.changed, self.messages.error)
        # In this order, which is that of the tab key.
        run = self.load("UI/SemiSegTrainerRun.ui", ui.runHost)
        after = self.load("UI/SemiSegTrainerAfter.ui", ui.afterHost)
        self.after = AfterSection(after, self._jobs, self.messages, self.changed, self._reload)
        self.suggest = SuggestSection(after, self._jobs, self.messages, self.changed, self.look_again)
        self.run = RunSection(
            run, ui.unfinishedBanner, self._jobs, self.state, self.messages, self.changed, self.trained,
            self.look_again,
        )  # fmt: skip
        self.sections: list[Section] = [
            self.install, self.cases, self.annotating, self.outside, self.questions, self.choices, self.preflight,
            self.run, self.after, self.suggest,
        ]  # fmt: skip
        name_widgets(self.widget)
        logic.jobs.on_change = self.changed
        scene = slicer.vtkMRMLScene
        self._scene_events = SceneEvents(
            {
                scene.StartCloseEvent: self._scene_ends,
                scene.EndCloseEvent: self._scene_replaced,
                scene.StartImportEvent: self._scene_closes,
                scene.EndImportEvent: self._scene_replaced,
                scene.EndBatchProcessEvent: self._scene_settled,
                scene.NodeAddedEvent: self._nodes_changed,
                scene.NodeRemovedEvent: self._nodes_changed,
            },
            self.annotating.node_goes,
        )
        self._bind()

    def load(self, path: str, host: Any) -> Any:
        """Load a .ui file into a host of the panel, and return its widgets; a relative path is a resource's."""
        loaded = slicer.util.loadUI(path if Path(path).is_absolute() else self._resource(path))
        host.layout().addWidget(loaded)
        return slicer.util.childWidgetVariables(loaded)

    # -- what the sections know of each other --

    @property
    def training_set(self) -> TrainingSet | None:
        """The scene as a training set; None before it has been read."""
        return self._collecting.training_set

    @property
    def reading(self) -> bool:
        """Whether the scene is being read or checked: what is known of it may be out of date."""
        return self._collecting.active or self._checking.active

    @property
    def split(self) -> Split | None:
        """What of `training_set` is kept aside to measure with."""
        return self._collecting.split

    @property
    def parameters(self) -> Parameters | None:
        """The choices in the present scene; None while there is none."""
        return self._binding.parameters

    def recipe(self) -> Recipe:
        """Return what is to be trained.

        Raises:
            SemiSegError: the choices do not make a training.
        """
        if self.parameters is None or self.training_set is None:
            raise SemiSegError("reading", "The scene is being read", "Wait a moment", "panel")
        return make_recipe(self.parameters, self.training_set, self.choices.cards)

    def changed(self) -> None:
        """Something may have changed: show it with the next turn of the event loop."""
        self._later.start()

    def look_again(self) -> None:
        """The images or their annotations may have changed: read the scene soon."""
        self._collecting.want()

    def trained(self, version: Version) -> None:
        """A model was trained: every section that offers models offers it."""
        self._reload(version.name)
        self.after.trained(version)

    # -- life cycle --

    def enter(self) -> None:
        """The module was opened: what was drawn elsewhere shows."""
        self._entered = True
        may_be_narrow(self.widget.parent())
        self.install.enter()
        self._bind()
        self._reload()
        self.run.look()
        self._collecting.want()
        self.refresh()

    def exit(self) -> None:
        """Another module was opened; what runs goes on."""
        self._entered = False

    def close(self) -> None:
        """End everything and let go of the scene."""
        self.logic.jobs.on_change = None
        self._let_go()
        self._scene_events.close()
        parts: list[Any] = [*self.sections, self.messages, self._later]
        parts += [self._views, self._collecting, self._checking, self._binding]
        for part in parts:
            part.close()

    # -- showing --

    def refresh(self) -> None:
        """Show the present state everywhere; of a scene that is being read or closed, afterwards."""
        if self._refreshing or self._replacing:
            return
        self._bind()
        self._refreshing = True
        try:
            self._views.watch(composites(slicer.mrmlScene))
            state = self.state()
            for section in self.sections:
                section.refresh(state)
            self.messages.look_at(self.cases.table.selected)
        finally:
            self._refreshing = False

    def state(self) -> PanelState:
        """Return what is known now."""
        recipe, fault = None, self._collecting.error
        try:
            recipe = self.recipe()
        except SemiSegError as error:
            fault = fault or error
        found, split = self.training_set, self.split
        if recipe is not None and found is not None and split is not None:
            self._checking.want(found, split, describe(recipe.method))
        fault = fault or self._checking.error
        refused = self._checking.facts.refused if self._checking.facts is not None else None
        if fault is None and refused is not None:
            fault = SemiSegError(refused.code, refused.text, refused.remedy, "preflight")
        if fault is None and self.reading:
            fault = SemiSegError("reading", "The scene is being read", "Wait a moment", "panel")
        if not self.install.complete:
            remedy = "Install them at the top of this panel"
            fault = SemiSegError("missing-package", "Packages that compute are not installed yet", remedy, "panel")
        return PanelState(
            complete=self.install.complete,
            training_set=found,
            split=split,
            facts=self._checking.facts,
            answers=choices.saved_answers(),
            recipe=recipe,
            fault=fault,
            busy=next((busy for section in self.sections if (busy := getattr(section, "busy", ""))), ""),
            welcome=self.logic.jobs.welcome,
        )

    def _reload(self, model: str = "") -> None:
        """Look again which models there are."""
        self.choices.reload()
        self.after.reload(model)
        self.suggest.reload(model)

    def _jobs(self) -> Jobs:
        jobs: Jobs = self.logic.jobs
        return jobs

    # -- told by others --

    def _use_chosen(self, row: Row, use: str) -> None:
        """The user wants to use an image for something else."""
        self._set_uses(row.ids, CHOSEN_USES[use])

    def _marked(self, note: str) -> None:
        """The user accepted something, or took it back."""
        self.messages.note(note, about=self.cases.table.selected)
        self.look_again()

    def _mark_refused(self, error: SemiSegError) -> None:
        """What the user asked for cannot be done with the selected image."""
        self.messages.error(error, about=self.cases.table.selected)

    def _answered(self, key: SegmentKey, answer: str) -> None:
        """The user said which class a segment is."""
        choices.save_answers({**choices.saved_answers(), key: answer})
        self._collecting.want()

    def _ask_again(self) -> None:
        """Forget what the user said of classes."""
        choices.save_answers({})
        self._collecting.want()

    def _propose(self) -> None:
        """Forget what the user said of the uses."""
        self._set_uses(self.cases.ids, None)

    def _set_uses(self, case_ids: Iterable[str], use: choices.ChosenUse | None) -> None:
        for case_id in case_ids:
            with suppress(SemiSegError):  # the image was removed a moment ago: the scene is being read anew
                choices.set_use(case_id, use)
        self._collecting.want()

    def _installed(self) -> None:
        """New packages are there, for the next job."""
        self.logic.jobs.renew_worker()
        self.changed()

    def _install_error(self, error: SemiSegError | None) -> None:
        if error is None:
            self.messages.hide()
        else:
            self.messages.error(error)

    def _bind(self) -> None:
        """Take the choices of the present scene."""
        if self._binding.take():
            self._pass_on(self._binding.parameters)

    def _let_go(self) -> None:
        self._pass_on(None)
        self._binding.let_go()
        self._collecting.forget()
        self._checking.forget()

    def _pass_on(self, parameters: Parameters | None) -> None:
        for section in self.sections:
            if hasattr(section, "set_parameters"):
                section.set_parameters(parameters)

    def _scene_ends(self) -> None:
        """The scene is closed: what was said of its images would be taken for a word on the next one's."""
        self.messages.hide()
        self._scene_closes()

    def _scene_closes(self) -> None:
        """The scene is closed, or another is added to it."""
        self._replacing = True
        self._let_go()

    def _scene_replaced(self) -> None:
        # Not now: while a scene is read, its choices come before the nodes that they name.
        self._let_go()
        self.changed()
        self._collecting.want()

    def _scene_settled(self) -> None:
        """What came or went at once is there or gone: this comes last."""
        self._replacing = False
        self.changed()
        self._nodes_changed()

    def _nodes_changed(self) -> None:
        if self._entered:
            self._collecting.want()
