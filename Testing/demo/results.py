"""Predictions back into the scene, and everything into files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import vtk
from SemiSegCervicalLib.engine.predict import Prediction
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.scene import export
from SemiSegCervicalLib.scene.frames import CineResult, FrameResult
from SemiSegCervicalLib.scene.overlay import new_uncertainty_volume
from SemiSegCervicalLib.scene.segmentation import new_segmentation

from . import plan
from .samples import Samples
from .scene import DemoScene, add_picture, tidy


def save_results(
    made: DemoScene,
    samples: Samples,
    predictions: Mapping[str, Prediction],
    out: Path,
    progress: Callable[[int, int], None],
) -> None:
    """Put predictions into the scene as new nodes, and write them one by one and the scene as a whole.

    Args:
        made: the scene; held-out pictures are added to it now.
        samples: class list and held-out images.
        predictions: by sample name.
        out: existing folder.
        progress: called with (done, total).

    Raises:
        SemiSegError: a file cannot be written.
    """
    for folder in (plan.SEGMENTATIONS, plan.LABELS, plan.UNCERTAINTY):
        (out / folder).mkdir()
    for name in samples.held_out:
        made.volumes[name] = add_picture(samples.image(name), name)
    single = [name for name in predictions if name not in made.frames]
    for done, name in enumerate(single):
        progress(done, len(single) + 1)
        volume, result = made.volumes[name], predictions[name]
        outlines = new_segmentation(volume, result.labels, samples.classes)
        doubt = new_uncertainty_volume(volume, result.uncertainty)
        export.export_segmentation(outlines, out / plan.SEGMENTATIONS / f"{name}.seg.nrrd")
        export.export_labelmap(outlines, volume, samples.classes, out / plan.LABELS / f"{name}_labels.nrrd")
        export.export_volume(doubt, out / plan.UNCERTAINTY / f"{name}_uncertainty.nrrd")
    _save_frames(made, samples, predictions, out)
    progress(len(single), len(single) + 1)
    tidy(made, samples.held_out[0])
    path = out / plan.SCENE
    if not made.scene.WriteToMRB(str(path)) or not path.is_file():
        raise SemiSegError(
            "cannot-write", f"The scene could not be written to {path}", "Check that the disk is not full", "writing"
        )


def _save_frames(made: DemoScene, samples: Samples, predictions: Mapping[str, Prediction], out: Path) -> None:
    frames = [
        FrameResult(made.cine.GetNthIndexValue(number), predictions[name].labels, predictions[name].uncertainty)
        for number, name in enumerate(made.frames)
        if name in predictions
    ]
    if not frames:
        return
    result = CineResult(made.cine, samples.classes)
    # MRML writes errors about a synchronised sequence without items, and that is how this one begins.
    vtk.vtkObject.GlobalWarningDisplayOff()
    try:
        while result.prepare(len(made.frames)):
            pass
    finally:
        vtk.vtkObject.GlobalWarningDisplayOn()
    result.add_frames(frames)
    result.finish()
    stem = plan.CINE_NAME.replace(" ", "-")
    export.export_segmentation_sequence(result.segmentations, out / plan.SEGMENTATIONS / f"{stem}.seq.mrb")
    export.export_label_sequence(
        result.segmentations, made.cine, samples.classes, out / plan.LABELS / f"{stem}_labels.seq.nrrd"
    )
    export.export_volume_sequence(result.uncertainty, out / plan.UNCERTAINTY / f"{stem}_uncertainty.seq.nrrd")
