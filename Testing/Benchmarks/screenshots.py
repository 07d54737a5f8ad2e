"""Make the pictures of the panel for the README and the extensions index: Resources/screenshots/SemiSegCervical-*.png.

python3 Testing/run.py bench screenshots

The panel is clicked and the slice view drawn in the headless Slicer of the tests, with Slicer's own scene and slice
logics; colours and fonts of the widgets differ from a real Slicer window. The images are shipped samples that the model
was not trained on.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from demo.samples import read_samples
from PIL import Image
from SlicerRig import application

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "Resources" / "screenshots"
SAMPLES = ROOT / "Resources" / "samples"
PATIENCE = 300
VIEW, GAP = (760, 800), 12


def load_image() -> Any:
    """Add the sample image of the cervix to the scene and return its volume."""
    import slicer

    name = "fugc_l0024"
    volume = slicer.util.addVolumeFromArray(read_samples(SAMPLES / "cervix").image(name)[None], name=name)
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
    worst = module.parent.findChild("QPushButton", "worstFrameButton")
    if worst.isVisible():
        application.click(worst)
    if not module.parent.findChild("QPushButton", "overlayButton").checked:
        sys.exit("the uncertainty is not shown")
    application.process_events(1.0)
    picture, page = target.with_name("view.png"), target.with_name("page.png")
    view.draw(picture)
    application.screenshot(module.parent, page)
    beside(page, picture, target)
    view.close()
    errors = application.slot_errors()
    application.close_module("SemiSegCervical")
    if errors:
        sys.exit("\n".join(errors))
    print(f"Written: {target}")


def main() -> None:
    if reason := application.why_not():
        sys.exit(reason)
    application.start()
    import slicer
    from SlicerRig import slice_views

    if reason := slice_views.available():
        sys.exit(reason)
    TARGET.mkdir(exist_ok=True)
    take(load_image(), "cervix", TARGET / "SemiSegCervical-panel.png")
    slicer.mrmlScene.Clear(0)
    take(load_cine(), "carotid", TARGET / "SemiSegCervical-cine.png")


if __name__ == "__main__":
    main()
