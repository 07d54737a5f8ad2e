"""What the panel remembers in the scene: the choices, bound to the widgets of the .ui file by their names."""

# Slicer reads the annotations of this class itself, so they stay what they are: no "from __future__" here.
from typing import Annotated, Union

import slicer
from slicer.parameterNodeWrapper import Choice, WithinRange, parameterNodeWrapper

from .request import AUTO, CPU, GPU

ALL_FRAMES, SHOWN_FRAME, SOME_FRAMES = "All frames", "Only the frame that is shown", "Some frames"
DEVICE_NAMES = {"Automatic": AUTO, "Graphics card": GPU, "Processor": CPU}
# Slicer gives a widget the classes and the range of its parameter, in the place of those in the .ui file: an image
# that is not listed here could not be chosen, and a number without range could be 0.
_Image = Union[slicer.vtkMRMLScalarVolumeNode, slicer.vtkMRMLVectorVolumeNode, None]  # noqa: UP007
_Count = Annotated[int, WithinRange(1, 1000000)]


@parameterNodeWrapper
class Parameters:
    """The choices of the panel.

    Attributes:
        source: the image; of a cine the volume that shows its current frame.
        slices_as_frames: a volume's slices are single images.
        frames: which frames of a cine.
        first_frame, last_frame, every: of "Some frames"; counted from 1.
        model: name of the model's file.
        replace: segmentation that the result replaces; None for a new one.
        uncertainty: also show where the model is unsure.
        device: what computes.
    """

    source: _Image
    slices_as_frames: bool = False
    frames: Annotated[str, Choice([ALL_FRAMES, SHOWN_FRAME, SOME_FRAMES])] = ALL_FRAMES
    first_frame: _Count = 1
    last_frame: _Count = 1
    every: _Count = 1
    model: str = ""
    replace: slicer.vtkMRMLSegmentationNode
    uncertainty: bool = True
    device: Annotated[str, Choice(list(DEVICE_NAMES))] = "Automatic"
