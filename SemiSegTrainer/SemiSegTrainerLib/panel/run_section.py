"""The section Run: begins a training, shows how it goes, and offers to go on with those that were interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import slicer
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.connections import Connections
from SemiSegCervicalLib.panel.later import Later
from SemiSegCervicalLib.panel.messages import Messages
from SemiSegCervicalLib.panel.run import BANNER_STYLE, banner_frame_style
from SemiSegCervicalLib.panel.slices import Slices

from ..versions import Version
from . import training as states
from .jobs import Jobs, in_use
from .run_folder import Run
from .run_texts import device_text, how_far, kept_text, left_text, run_text, stage_text
from .state import PanelState
from .training import Training
from .training_curves import TrainingCurves
from .training_preview import TrainingPreview

BUSY = "Wait until the training has ended, or pause it."
_START = "Trains a model from the images above. Everything stays on this computer."
_PROGRESS_MS = 100


def confirm(question: str) -> bool:
    """Ask a question."""
    return bool(slicer.util.confirmYesNoDisplay(question, windowTitle="SemiSegTrainer"))


class RunSection:
    """Shows the training that runs, or what can be begun.

    Attributes:
        training: the one under way, or the last.
        confirm: asks before something is discarded.
        on_trained: called with each model that was trained and installed.
    """

    def __init__(
        self,
        ui: Any,
        banner: Any,
        jobs: Callable[[], Jobs],
        state: Callable[[], PanelState],
        messages: Messages,
        on_change: Callable[[], None],
        on_trained: Callable[[Version], None] | None = None,
        on_discarded: Callable[[], None] | None = None,
    ) -> None:
        """Connect the widgets, and look for what was interrupted.

        Args:
            ui: the widgets of ``SemiSegTrainerRun.ui``.
            banner: label at the top of the panel, where an interrupted training is not overlooked.
            jobs: returns the module's jobs.
            state: returns the present state of the panel.
            messages: where the user is told what went wrong.
            on_change: called when others may have to show something new.
            on_trained: as above.
            on_discarded: called when the scene is as if a training had never been.
        """
        self.ui, self._banner = ui, banner
        self._jobs, self._state, self._messages, self._on_change = jobs, state, messages, on_change
        self.on_trained, self._on_discarded = on_trained, on_discarded
        self.confirm = confirm
        self.training: Training | None = None
        self._unfinished: list[Run] = []
        self._failed: dict[Run, SemiSegError] = {}  # why a run failed the last time
        self._removing: Slices | None = None
        self._plateau_answered = False
        self._told = ""
        self._shown = PanelState()
        self._progress = Later(self._show, _PROGRESS_MS)
        self.curves, self.preview = TrainingCurves(ui), TrainingPreview(ui)
        banner.styleSheet = BANNER_STYLE
        ui.unfinishedFrame.styleSheet = banner_frame_style("unfinishedFrame")
        ui.plateauFrame.styleSheet = banner_frame_style("plateauFrame")
        self._connections = Connections(
            (ui.startButton, "clicked()", self._start),
            (ui.pauseButton, "clicked()", self._pause),
            (ui.keepButton, "clicked()", self._keep),
            (ui.discardButton, "clicked()", self._discard),
            (ui.unfinishedComboBox, "currentIndexChanged(int)", self._on_change),
            (ui.resumeButton, "clicked()", self._resume),
            (ui.keepUnfinishedButton, "clicked()", self._keep_unfinished),
            (ui.discardUnfinishedButton, "clicked()", self._discard_unfinished),
            (ui.plateauKeepButton, "clicked()", self._keep),
            (ui.plateauGoOnButton, "clicked()", self._go_on),
        )

    @property
    def busy(self) -> str:
        """Why everything else has to wait."""
        return BUSY if self.running else ""

    @property
    def running(self) -> bool:
        """Whether a training is under way."""
        return self.training is not None and not self.training.ended

    @property
    def chosen(self) -> Run | None:
        """The interrupted training that is chosen."""
        row = self.ui.unfinishedComboBox.currentIndex
        return self._unfinished[row] if 0 <= row < len(self._unfinished) else None

    def look(self) -> None:
        """Look again which trainings were interrupted, and remove in pieces what nobody needs."""
        self._unfinished = self._jobs().runs.unfinished()
        combo, now = self.ui.unfinishedComboBox, time.time()
        blocked = combo.blockSignals(True)
        combo.clear()
        combo.addItems([run_text(run, now) for run in self._unfinished])
        combo.blockSignals(blocked)
        if self._removing is None or not self._removing.active:
            self._removing = Slices(self._jobs().runs.tidy(), lambda _: None)

    def refresh(self, state: PanelState) -> None:
        """Show the moment."""
        self._shown = state
        self._show()

    def close(self) -> None:
        """Save what runs, and let go."""
        if self.training is not None and not self.training.ended:
            self.training.stop()
        if self._removing is not None:
            self._removing.cancel()
        self._progress.close()
        self.curves.close()
        self._connections.close()

    # -- showing --

    def _show(self) -> None:
        state = self._shown
        self._show_unfinished(state)
        self._show_buttons(state)
        self._show_progress(state)

    def _show_unfinished(self, state: PanelState) -> None:
        ui, run, count = self.ui, self.chosen, len(self._unfinished)
        self._banner.visible = ui.unfinishedFrame.visible = count > 0 and not self.running
        if run is None:
            return
        left = "A training is not finished" if count == 1 else f"{count} trainings are not finished"
        failed = self._failed.get(run)
        unreadable = failed is not None and failed.code == states.UNREADABLE
        ui.unfinishedLabel.text = f"{left}. {left_text(run, failed)}"
        offer = "Begin it anew or discard it" if unreadable else "Go on with it"
        self._banner.text = f"{left}: {run_text(run, time.time())}. {offer} under Run below."
        lacking = "" if state.complete else "Packages that compute are not installed yet: see the top of this panel."
        why = lacking or state.busy
        if run.about is None:
            why = "Another version of SemiSeg began this training, or its description is damaged. Only discard is left."
        ui.resumeButton.enabled = not why
        ui.resumeButton.text = "Install the model" if run.trained else "Resume"
        ui.resumeButton.toolTip = why or (
            "Installs the model that was trained." if run.trained
            else "Trains from the beginning again: what was learned cannot be read." if unreadable
            else "Goes on where the training was saved last; the open scene does not matter to it."
        )  # fmt: skip
        unlearned = (
            "What was learned cannot be read, so that no model can be made of it." if unreadable
            else "" if run.saved
            else "Nothing was learned yet of which a model could be made."
        )  # fmt: skip
        ui.keepUnfinishedButton.visible = not run.trained
        ui.keepUnfinishedButton.enabled = not (why or unlearned)
        ui.keepUnfinishedButton.toolTip = (
            why or unlearned or "Makes a model of what was learned, and trains no further."
        )
        ui.discardUnfinishedButton.toolTip = f"Removes this training and what it has learned ({how_far(run)})."

    def _show_buttons(self, state: PanelState) -> None:
        ui, training = self.ui, self.training
        ui.startButton.visible = not self.running
        fault = str(state.fault) if state.fault is not None else ""
        ui.startButton.enabled = not (fault or state.busy)
        ui.startButton.toolTip = fault or state.busy or _START
        ui.runningHost.visible = self.running
        if training is None or training.ended:
            return
        ending = training.state in (states.PAUSING, states.CANCELLING)
        ui.pauseButton.enabled = training.pausable
        ui.pauseButton.toolTip = (
            "Saves the training and ends the computation. It can be resumed at any time, also after a restart of "
            "Slicer or of the computer." if training.pausable
            else "The training is being ended." if ending
            else "Wait: the images are being written to disk." if training.state == states.PREPARING
            else "The training is done; what is left takes moments."
        )  # fmt: skip
        ui.keepButton.enabled = training.keepable
        ui.keepButton.toolTip = (
            "Ends the training here and makes a model of what was learned." if training.keepable
            else "The training is being ended." if ending or training.keeping
            else "Nothing was learned yet." if training.state in _BEFORE
            else "The training is done; the model is being made."
        )  # fmt: skip
        ui.discardButton.enabled = training.state not in (states.CANCELLING, states.SAVING)
        ui.discardButton.toolTip = (
            "Ends the training and removes what it has learned." if ui.discardButton.enabled
            else "The training is being ended."
        )  # fmt: skip

    def _show_progress(self, state: PanelState) -> None:
        ui, training = self.ui, self.training
        ui.runProgressBar.visible = ui.runStageLabel.visible = self.running
        if training is not None and not training.ended:
            known = training.total > 1 and training.state in (states.TRAINING, states.CALIBRATING)
            ui.runProgressBar.setRange(0, training.total if known else 0)
            ui.runProgressBar.value = training.done if known else 0
            ui.runStageLabel.text = stage_text(training, self._jobs().client.state == "ready")
        ui.runDeviceLabel.text = device_text(training, state.welcome) if training is not None and self.running else ""
        ui.runDeviceLabel.visible = bool(ui.runDeviceLabel.text)
        self._show_plateau()
        ui.liveHost.visible = training is not None and bool(training.news)
        shown = training if training is not None and training.news else None
        self.curves.show(shown)
        self.preview.show(shown)

    def _show_plateau(self) -> None:
        training = self.training
        offered = (
            training is not None
            and training.keepable
            and not self._plateau_answered
            and training.run.about is not None
            and training.run.about.offer_stop
            and bool(training.news)
            and training.news[-1].plateau
        )
        self.ui.plateauFrame.visible = offered

    # -- asked by the user --

    def _start(self) -> None:
        state = self._state()
        if state.training_set is None or state.recipe is None or state.fault is not None:
            return
        training_set, split, recipe = state.training_set, state.split, state.recipe
        self._run(lambda **told: self._jobs().train(training_set, split, recipe, **told))

    def _resume(self) -> None:
        self._go_on_with(self.chosen)

    def _keep_unfinished(self) -> None:
        self._go_on_with(self.chosen, keep=True)

    def _go_on_with(self, run: Run | None, keep: bool = False) -> None:
        if run is not None:
            self._run(lambda **told: self._jobs().go_on(run, keep, **told))

    def _run(self, begin: Callable[..., Training]) -> None:
        self._messages.hide()
        try:
            self.training = begin(on_change=self._changed, on_news=self._news, on_end=self._ended)
        except SemiSegError as error:
            self._messages.error(error)
            self.look()
        self._plateau_answered = False
        self._on_change()

    def _pause(self) -> None:
        if self.training is not None:
            self.training.pause()

    def _keep(self) -> None:
        if self.training is not None:
            self.training.keep()

    def _go_on(self) -> None:
        self._plateau_answered = True
        self._on_change()

    def _discard(self) -> None:
        training = self.training
        if training is not None and not training.ended and self.confirm(_question(training.run)):
            training.discard()

    def _discard_unfinished(self) -> None:
        run = self.chosen
        if run is None or not self.confirm(_question(run)):
            return
        if run.hold():
            self._removing = Slices(iter(run.discard()), lambda _: self._on_change())
            self._jobs().discarded(run)
            self._discarded()
        else:
            self._messages.error(in_use(run))
        self.look()
        self._on_change()

    # -- told by the training --

    def _changed(self, training: Training) -> None:
        if training.state == self._told:
            self._progress.start()  # that concerns this section alone, and many times a second
        else:
            self._told = training.state
            self._on_change()

    def _news(self, _training: Training) -> None:
        self.curves.news()
        self._progress.start()

    def _discarded(self) -> None:
        if self._on_discarded is not None:
            self._on_discarded()

    def _ended(self, training: Training) -> None:
        self._failed.pop(training.run, None)
        if training.error is not None:
            self._failed[training.run] = training.error
        self.look()
        if not training.run.folder.exists():
            self._discarded()
        notes = " ".join(f"{note}." for note in training.notes)
        if training.state == states.DONE and training.version is not None:
            self._messages.note(
                f'The model "{training.run.name}" is trained, and SemiSegCervical lists it. {notes}'.strip()
            )
            if self.on_trained is not None:
                self.on_trained(training.version)
        elif training.error is not None:
            self._messages.error(training.error, f"{notes} {kept_text(training)}".strip())
        elif training.state == states.PAUSED:
            self._messages.note(
                "The training is paused. It can be resumed at any time, also after a restart of Slicer."
            )
        elif notes:
            self._messages.note(notes)
        self._on_change()


_BEFORE = (states.PREPARING, states.STARTING, states.MEASURING)


def _question(run: Run) -> str:
    return f'Discard the training of "{run.name}" ({how_far(run)})? What it has learned is removed for good.'
