"""Predictions back into the scene, and everything into files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import vtk
from SemiSegCervicalLib.engine.predict import Prediction
from SemiSegCervicalLib.errors import SemiSegError
from SemiSegCervicalLib.pieces import whole
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
    segmentations, labels, uncertainty = _folders(out)
    for folder in (segmentations, labels, uncertainty):
        folder.mkdir()
    for name in samples.held_out:
        made.volumes[name] = add_picture(samples.image(name), name)
    single = [name for name in predictions if name not in made.frames]
    for done, name in enumerate(single):
        progress(done, len(single) + 1)
        volume, result = made.volumes[name], predictions[name]
        outlines = new_segmentation(volume, result.labels, samples.classes)
        doubt = new_uncertainty_volume(volume, result.uncertainty)
        whole(export.segmentation_file_in_pieces(outlines, segmentations / f"{name}.seg.nrrd"))
        whole(export.labelmap_file_in_pieces(outlines, volume, samples.classes, labels / f"{name}_labels.nrrd"))
        whole(export.volume_file_in_pieces(doubt, uncertainty / f"{name}_uncertainty.nrrd"))
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
    segmentations, labels, uncertainty = _folders(out)
    stem, outlines = plan.CINE_NAME.replace(" ", "-"), result.segmentations
    file = labels / f"{stem}_labels.seq.nrrd"
    whole(export.label_sequence_file_in_pieces(outlines, made.cine, samples.classes, file))
    whole(export.segmentation_sequence_file_in_pieces(outlines, segmentations / f"{stem}.seq.mrb"))
    whole(export.volume_sequence_file_in_pieces(result.uncertainty, uncertainty / f"{stem}_uncertainty.seq.nrrd"))


def _folders(out: Path) -> tuple[Path, Path, Path]:
    """Return where segmentations, label maps and uncertainty go."""
    return out / plan.SEGMENTATIONS, out / plan.LABELS, out / plan.UNCERTAINTY
