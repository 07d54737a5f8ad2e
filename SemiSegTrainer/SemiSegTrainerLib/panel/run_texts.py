"""What the section Run says: of a training under way, and of those that were interrupted."""

from __future__ import annotations

import time

from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.panel.request import CPU
from SemiSegCervicalLib.panel.speed import in_words
from SemiSegCervicalLib.words import many
from SemiSegCervicalLib.worker.protocol import Welcome

from . import training as states
from .run_folder import Run
from .training import UNREADABLE, Training

_PLAIN = {
    states.PREPARING: "Writing the images to disk",
    states.MEASURING: "Measuring how many steps fit into the time",
    states.VALIDATING: "Measuring the model on what was kept aside",
    states.SAVING: "Installing the model",
    states.PAUSING: "Saving the training, to go on with it later",
    states.CANCELLING: "Ending the computation",
}
_READING = "Reading the images"


def stage_text(training: Training, worker_ready: bool) -> str:
    """Say what a training does now, how far it is and how long it will take."""
    state = training.state
    if state == states.STARTING:
        if training.stage == "reading":
            return _READING
        return "Starting" if worker_ready else "Starting the computation: the first time takes some seconds longer"
    if state in _PLAIN:
        return _PLAIN[state]
    if training.keeping and state == states.TRAINING:
        return "Ending the training, to make the model of what it has learned"
    if state == states.TRAINING:
        text = f"Training: step {training.done} of {training.total}" if training.total else "Training"
    else:
        text = "Finding out how sure the model may say it is"
        text += f": {100 * training.done // training.total} %" if training.total > 1 else ""
    if training.seconds_left is not None:
        text += f", about {in_words(training.seconds_left)} left"
    if state == states.TRAINING and training.news and training.news[-1].unsaved:
        text += f". It goes on, but cannot be saved: {training.news[-1].unsaved}. Free some space"
    return text


def device_text(training: Training, welcome: Welcome | None) -> str:
    """Say what computes, how much memory it takes and for how long it has trained; empty before that is known."""
    if welcome is None or training.run.about is None or training.state == states.PREPARING:
        return ""
    wished = training.run.about.train.device
    name = {"auto": welcome.device, "gpu": welcome.working_cards[0].name if welcome.working_cards else "gpu"}.get(
        wished, wished
    )
    label = next((device.label for device in welcome.devices if device.name == name), name)
    said = [f"Processor, {many(welcome.threads, 'thread')}" if name == CPU else label]
    news = training.news[-1] if training.news else None
    if news is not None and news.memory_gib is not None:
        said.append(f"{news.memory_gib:.1f} GiB of memory")
    if news is not None and news.seconds >= 1:
        said.append(f"trained for {in_words(news.seconds)}")
    return ", ".join(said)


def run_text(run: Run, now: float) -> str:
    """Say in a line what an interrupted run is and how far it is."""
    if run.about is None:
        return f"Not readable ({run.folder.name})"
    return f"{run.name}, {how_far(run)}, begun {_when(run.about.created, now)}"


def how_far(run: Run) -> str:
    """Say how far a run is."""
    if run.trained:
        return "trained, not installed yet"
    reached = run.reached
    if not run.saved:
        return "nothing learned yet"
    if reached is None or reached.iterations < 1:
        return "partly trained"
    return f"about {100 * reached.iteration // reached.iterations} % trained"


def kept_text(training: Training) -> str:
    """Say what is kept of a run that has ended before its time; empty for nothing, or where nobody can read it."""
    run, error = training.run, training.error
    unreadable = error is not None and error.code == UNREADABLE
    if run.installed or unreadable or not run.folder.is_dir():
        return ""
    if run.trained:
        return "The model is trained: press Resume to install it."
    if run.saved:
        return "What was learned is kept: press Resume to go on."
    return ""


def left_text(run: Run, failed: SemiSegError | None) -> str:
    """Say what there is of an interrupted run; `failed` is why it failed the last time, None where it did not."""
    if failed is None or run.about is None:
        return "What was learned is kept."
    return f'The last attempt at "{run.name}" failed: {failed.cause}. {failed.remedy}.'


def _when(seconds: float, now: float) -> str:
    day, today = time.localtime(seconds), time.localtime(now)
    clock = time.strftime("%H:%M", day)
    return f"today at {clock}" if day[:3] == today[:3] else f"{time.strftime('%Y-%m-%d', day)} at {clock}"
