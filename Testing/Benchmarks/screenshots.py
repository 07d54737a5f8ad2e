"""Make the pictures of the panels for the README and the extensions index: Resources/screenshots/SemiSeg*-*.png.

python3 Testing/run.py bench screenshots [segmenting] [several] [head] [cases] [next]

The panels are clicked and the slice views drawn in the headless Slicer of the tests, with Slicer's own scene and slice
logics; colours and fonts of the widgets differ from a real Slicer window. The images are shipped samples. What is
segmented was not trained on; the trainer trains twice from the samples that are free to learn from, for so few steps
that the figures say nothing about what it can reach.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from demo.samples import read_samples
from PIL import Image
from SlicerRig import application

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "Resources" / "screenshots"
SAMPLES = ROOT / "Resources" / "samples"
PATIENCE, TRAINING = 300, 3600
STEPS, GRID = 100, "192 x 128"  # of a training for a picture
VIEW, GAP = (760, 800), 12
PICTURE = np.diag([-1.0, -1.0, 1.0, 1.0])  # as Slicer reads pictures
OVER_GAIN = 8.0
SECTIONS = ("casesButton", "recipeButton", "preflightButton", "runButton", "modelsButton", "suggestButton")


def load_image(gain: float = 1.0) -> Any:
    """Add the sample image of the cervix to the scene and return its volume.

    Args:
        gain: intensities are multiplied by it, as if the scanner's gain were turned up too far.
    """
    import slicer

    name = "fugc_l0024"
    image = read_samples(SAMPLES / "cervix").image(name)[None]
    if gain != 1.0:
        image = (gain * image.astype(np.float32)).clip(0, 255).astype(np.uint8)
        name += " over-gained"
    volume = slicer.util.addVolumeFromArray(image, name=name)
    volume.SetIJKToRASDirections(-1, 0, 0, 0, -1, 0, 0, 0, 1)  # as Slicer reads pictures
    volume.CreateDefaultDisplayNodes()
    return volume


def load_cine() -> Any:
    """Add the sample cine of the carotid artery to the scene and return the volume that shows it."""
    import slicer

    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "carotid_v08")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeSequenceStorageNode")
    storage.SetFileName(str(SAMPLES / "carotid" / "carotid_v08.seq.nrrd"))
    storage.ReadData(sequence)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "carotid_v08 browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    volume = browser.GetProxyNode(sequence)
    volume.CreateDefaultDisplayNodes()
    return volume


def load_head() -> Any:
    """Add the sample image of a fetal head, which has its pixel size, to the scene and return the volume."""
    import slicer

    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hc18_270")
    storage = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(SAMPLES / "fetal_head" / "hc18_270.nrrd"))
    storage.ReadData(volume)
    volume.CreateDefaultDisplayNodes()
    return volume


def used_height(picture: Image.Image) -> int:
    """Return the height down to the last row in which anything is drawn, with a margin."""
    rows = np.asarray(picture.convert("L"))
    drawn = np.flatnonzero((rows != rows[-1, -1]).any(axis=1))
    return min(picture.height, int(drawn[-1]) + GAP)


def beside(left: Path, right: Path, target: Path) -> None:
    """Put two pictures beside each other, at the top of a dark page."""
    with Image.open(left) as a, Image.open(right) as b:
        a = a.crop((0, 0, a.width, used_height(a)))
        page = Image.new("RGB", (a.width + GAP + b.width, max(a.height, b.height)), (32, 34, 38))
        page.paste(a.convert("RGB"), (0, 0))
        page.paste(b.convert("RGB"), (a.width + GAP, 0))
        page.save(target, optimize=True)
    for path in (left, right):
        path.unlink()


def take(volume: Any, model: str, target: Path) -> None:
    """Segment an image in the panel, show its uncertainty, and write panel and slice view as one picture."""
    from SlicerRig import slice_views

    module = application.open_module("SemiSegCervical")
    panel = module.panel
    view = slice_views.SliceView("Red")
    view.show(volume, size=VIEW)
    view.draw()  # a view that exists follows what is shown in it, as the application's do
    panel.ui.sourceSelector.setCurrentNode(volume)
    panel.models.choose(model)
    application.process_events(0.5)
    if not application.wait_until(lambda: panel.ui.applyButton.isEnabled(), PATIENCE):
        sys.exit(f"Apply stays disabled: {panel.ui.applyButton.toolTip}")
    application.click(panel.ui.applyButton)
    if not application.wait_until(lambda: not panel.state().busy and panel.state().record is not None, PATIENCE):
        sys.exit(f"no result: {panel.ui.messageLabel.text}")
    application.process_events(0.5)  # the panel shows with its next turn that it is there
    worst = module.parent.findChild("QPushButton", "worstFrameButton")
    if worst.isVisible():
        application.click(worst)
    if not module.parent.findChild("QPushButton", "overlayButton").checked:
        sys.exit("the uncertainty is not shown")
    write(module, view, target)


def take_several() -> None:
    """Write what the panel says after it has segmented a scene's images; the one that needs somebody most is shown."""
    from SlicerRig import scenes, slice_views

    samples = read_samples(SAMPLES / "cervix")
    volumes = [scenes.add_volume(samples.image(name), name, PICTURE) for name in samples.held_out]
    volumes.append(load_image(OVER_GAIN))
    module = application.open_module("SemiSegCervical")
    panel = module.panel
    view = slice_views.SliceView("Red")
    view.show(volumes[0], size=VIEW)
    view.draw()
    panel.ui.sourceSelector.setCurrentNode(volumes[0])
    panel.models.choose("cervix")
    panel.ui.batchButton.collapsed = False
    application.process_events(0.5)
    application.click(panel.ui.batchStartButton)
    if not application.wait_until(lambda: not panel.state().busy, PATIENCE):
        sys.exit(f"not done: {panel.ui.messageLabel.text}")
    table = panel.ui.batchTable
    expected = [float(table.item(row, 2).text().rstrip(" ?")) for row in range(table.rowCount)]
    table.cellActivated(int(np.argmin(expected)), 0)
    for button in ("inputButton", "modelButton", "outputButton"):
        getattr(panel.ui, button).collapsed = True
    write(module, view, TARGET / "SemiSegCervical-several.png")


def write(module: Any, view: Any, target: Path) -> None:
    """Write panel and slice view as one picture, and close both."""
    application.process_events(1.0)
    picture, page = target.with_name("view.png"), target.with_name("page.png")
    view.draw(picture)
    application.screenshot(module.parent, page)
    beside(page, picture, target)
    view.close()
    errors = application.slot_errors()
    application.close_module(type(module).__name__.removesuffix("Widget"))
    if errors:
        sys.exit("\n".join(errors))
    print(f"Written: {target}")


def load_partly(annotated: slice, others: slice) -> list[Any]:
    """Add cervical images to the scene, some that are annotated and some that are not; return the volumes."""
    import slicer
    from SlicerRig import scenes

    samples = read_samples(SAMPLES / "cervix")
    labelled = samples.labelled[annotated]
    volumes = []
    for name in (*labelled, *samples.unlabelled[others]):
        volume = scenes.add_volume(samples.image(name), name, PICTURE)
        volumes.append(volume)
        if name in labelled:
            drawn = scenes.add_segmentation(volume, samples.labels(name), samples.classes)
            drawn.GetDisplayNode().SetVisibility(name == labelled[0])
    slicer.app.processEvents()
    return volumes


def open_trainer(annotated: int, others: int) -> tuple[Any, Any]:
    """Open the trainer with a partly annotated scene; return the module and a slice view of its first image."""
    from SlicerRig import slice_views

    volumes = load_partly(slice(annotated), slice(others))
    module = application.open_module("SemiSegTrainer")
    view = slice_views.SliceView("Red")
    view.show(volumes[0], size=VIEW)
    view.draw()  # a view that exists follows what is shown in it, as the application's do
    module.enter()
    module.panel.parameters.name, module.panel.parameters.start = "Cervix, my clinic", "scratch"
    return module, view


def ready(panel: Any) -> None:
    """Wait until the scene is read and Start can be pressed."""
    application.process_events(0.5)
    if not application.wait_until(lambda: panel.state().fault is None and not panel.state().busy, PATIENCE):
        sys.exit(f"it cannot begin: {panel.state().fault or panel.state().busy}")
    application.process_events(0.5)


def fold(panel: Any, *opened: str) -> None:
    """Close all sections of the trainer but these."""
    for ui in (panel.ui, panel.run.ui, panel.after.ui):
        for name in SECTIONS:
            if hasattr(ui, name):
                getattr(ui, name).collapsed = name not in opened
    panel.messages.hide()
    application.process_events(0.5)


def train(panel: Any) -> None:
    """Press Start and wait for the model."""
    ready(panel)
    application.click(panel.run.ui.startButton)
    application.process_events(0.5)
    training = panel.run.training
    if not application.wait_until(lambda: training.ended, TRAINING) or training.version is None:
        sys.exit(f"no model: {panel.ui.messageLabel.text}")
    ready(panel)


def take_cases() -> None:
    """Write what the trainer says of a partly annotated scene before a training."""
    module, view = open_trainer(6, 10)
    ready(module.panel)
    fold(module.panel, "casesButton", "recipeButton", "preflightButton")
    write(module, view, TARGET / "SemiSegTrainer-cases.png")


def take_next() -> None:
    """Train twice by the panel, the second time with more annotations, and write what it says afterwards: the versions,
    the worst cases, and what to annotate next, of which the first is gone to."""
    module, view = open_trainer(5, 4)
    panel = module.panel
    panel.parameters.iterations, panel.parameters.size = STEPS, GRID
    train(panel)
    load_partly(slice(5, 8), slice(0))
    panel.parameters.start = "automatic"
    train(panel)
    fold(panel, "modelsButton", "suggestButton")
    for section, button in ((panel.after, "worstButton"), (panel.suggest, "askButton")):
        application.click(getattr(section.ui, button))
        if not application.wait_until(lambda section=section: not section.busy, PATIENCE):
            sys.exit(f"no answer: {panel.ui.messageLabel.text}")
    application.click(panel.suggest.ui.goThereButton)
    write(module, view, TARGET / "SemiSegTrainer-next.png")


def main() -> None:
    """Make the pictures that are asked for."""
    wanted = sys.argv[1:] or ["segmenting", "several", "head", "cases", "next"]
    if reason := application.why_not():
        sys.exit(reason)
    application.start()
    import slicer
    from SlicerRig import slice_views

    if reason := slice_views.available():
        sys.exit(reason)
    TARGET.mkdir(exist_ok=True)
    if "segmenting" in wanted:
        take(load_image(), "cervix", TARGET / "SemiSegCervical-panel.png")
        slicer.mrmlScene.Clear(0)
        take(load_image(OVER_GAIN), "cervix", TARGET / "SemiSegCervical-unlike.png")
        slicer.mrmlScene.Clear(0)
        take(load_cine(), "carotid", TARGET / "SemiSegCervical-cine.png")
        slicer.mrmlScene.Clear(0)
    if "several" in wanted:
        take_several()
        slicer.mrmlScene.Clear(0)
    if "head" in wanted:
        take(load_head(), "fetal_head", TARGET / "SemiSegCervical-head.png")
        slicer.mrmlScene.Clear(0)
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(SEMISEG_MODELS=f"{folder}/models", SEMISEG_RUNS=f"{folder}/runs")
        if "cases" in wanted:
            take_cases()
            slicer.mrmlScene.Clear(0)
        if "next" in wanted:
            take_next()


if __name__ == "__main__":
    main()
