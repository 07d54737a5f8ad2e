"""Uncertainty in the scene: percent volumes, fixed window, colours with a transparent end, the legend."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk

from ..pieces import Pieces, whole
from . import marks
from .geometry import copy_geometry, copy_transform
from .nodes import nodes_of
from .pieces import allocated, slabs
from .reading import grid

COLORS_NAME = "SemiSeg uncertainty"
LEGEND_TITLE = "Uncertainty (%)"
DEFAULT_THRESHOLD = 20
"""Percent below which nothing is drawn: models are a little unsure almost everywhere, which hides where they are."""
_LEGEND_SIZE = (0.08, 0.3)
_LEGEND_POSITION = (0.98, 0.5)
"""Shares of the view: small and at its right edge, where it covers least."""


def percent(uncertainty: np.ndarray) -> np.ndarray:
    """Turn an uncertainty in 0 to 1 into whole percent.

    Args:
        uncertainty: any shape; float in 0 to 1, or uint8 that is percent already.

    Returns:
        uint8 0 to 100, same shape.

    Raises:
        ValueError: values outside the range, or not finite.
    """
    if uncertainty.dtype == np.uint8:
        if uncertainty.size and uncertainty.max() > 100:
            raise ValueError("uint8 uncertainty is percent and ends at 100")
        return uncertainty
    if uncertainty.size and not (uncertainty.min() >= 0 and uncertainty.max() <= 1):
        raise ValueError("uncertainty must lie in 0 to 1")
    return np.rint(uncertainty * 100).astype(np.uint8)


def uncertainty_colors(scene: Any) -> Any:
    """Return the scene's colour node for uncertainty, made when it is not there yet.

    101 colours for 0 to 100 %, from violet over magenta to pink, lightness rising evenly (CIELAB), so that
    equal steps of uncertainty look equal. Only the certain end is transparent: of a colour's alpha a slice
    view knows no more than whether there is any.
    """
    for known in nodes_of(scene, "vtkMRMLColorTableNode"):
        if known.GetAttribute(marks.CONTENT) == marks.UNCERTAINTY:
            return known
    node = scene.AddNewNodeByClass("vtkMRMLColorTableNode", COLORS_NAME)
    node.SetAttribute(marks.CONTENT, marks.UNCERTAINTY)
    node.SetTypeToUser()
    node.SetNumberOfColors(101)
    for value, (red, green, blue) in enumerate(perceptual_ramp(101)):
        node.SetColor(value, f"{value} %", red, green, blue, float(value > 0))
    node.GetLookupTable().SetRange(0, 100)
    return node


def new_uncertainty_volume(source: Any, uncertainty: np.ndarray, name: str = "") -> Any:
    """Put an uncertainty map into the scene as a new percent volume on the grid of its source.

    Args:
        source: the volume node that was segmented; it stays as it is.
        uncertainty: ``(Z, Y, X)``, or ``(Y, X)`` for a single slice; float 0 to 1, or uint8 percent.
        name: of the new node; made unique. By default the source's name and "uncertainty (%)".

    Returns:
        The new ``vtkMRMLScalarVolumeNode``, uint8 0 to 100, window fixed.

    Raises:
        ValueError: another size than the source, or values outside the range.
    """
    return whole(uncertainty_volume_in_pieces(source, uncertainty, name))


def uncertainty_volume_in_pieces(source: Any, uncertainty: np.ndarray, name: str = "") -> Pieces[Any]:
    """Do what `new_uncertainty_volume` does, in pieces.

    Args:
        source: see there, as the others.
        uncertainty: also a memory map.
        name: of the new node.
    """
    values = uncertainty[None] if uncertainty.ndim == 2 else uncertainty
    if values.shape != grid(source):
        raise ValueError(f"uncertainty must have the shape {grid(source)}, not {values.shape}")
    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(values.shape))
    voxels = allocated(image)
    for slab in slabs(values):
        np.copyto(voxels[slab], percent(values[slab]))
        yield
    node = new_uncertainty_display(source.GetScene(), name or f"{source.GetName()} uncertainty (%)")
    copy_geometry(source, node)
    copy_transform(source, node)
    node.SetAttribute(marks.COMPUTED, "1")
    node.SetAndObserveImageData(image)
    return node


def new_uncertainty_display(scene: Any, name: str) -> Any:
    """Make an empty uncertainty volume whose display is complete before its first voxel arrives.

    An image set first would be searched for its window, which takes longer than everything else here.

    Returns:
        The new ``vtkMRMLScalarVolumeNode`` without an image.
    """
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    node.SetAttribute(marks.CONTENT, marks.UNCERTAINTY)
    display = scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0, 100)
    display.SetAndObserveColorNodeID(uncertainty_colors(scene).GetID())
    node.SetAndObserveDisplayNodeID(display.GetID())
    set_threshold(node, DEFAULT_THRESHOLD)
    return node


def image_data(values: np.ndarray) -> Any:
    """Return a uint8 array ``(Z, Y, X)`` as new ``vtkImageData`` with its own memory."""
    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(values.shape))
    np.copyto(allocated(image), values)
    return image


def add_legend(volume: Any) -> Any:
    """Show the legend of an uncertainty volume; one that is there already is left as the user arranged it.

    Returns:
        The legend's display node.
    """
    legend = legend_of(volume)
    if legend is None:
        legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(volume)
        legend.SetTitleText(LEGEND_TITLE)
        legend.SetLabelFormat("%.0f")
        legend.SetSize(*_LEGEND_SIZE)
        legend.SetPosition(*_LEGEND_POSITION)
        legend.SetVisibility3D(False)
    return legend


def legend_of(volume: Any) -> Any:
    """Return the display node of a volume's legend, None where it has none."""
    return slicer.modules.colors.logic().GetColorLegendDisplayNode(volume)


def set_threshold(volume: Any, percent: float) -> None:
    """Leave voxels below a threshold transparent.

    Args:
        volume: an uncertainty volume.
        percent: 0 shows all but what is certain.
    """
    display = volume.GetVolumeDisplayNode()
    if display is None:  # deleted: then nothing is drawn
        return
    was_modifying = display.StartModify()
    display.SetLowerThreshold(percent)
    display.SetUpperThreshold(100)
    display.SetApplyThreshold(True)
    display.EndModify(was_modifying)


def threshold_of(volume: Any) -> float:
    """Return the percent below which an uncertainty volume is transparent."""
    display = volume.GetVolumeDisplayNode()  # the first may be the legend, where the volume's own was deleted
    return float(display.GetLowerThreshold()) if display is not None and display.GetApplyThreshold() else 0.0


def perceptual_ramp(count: int) -> np.ndarray:
    """Return sRGB colours ``(count, 3)`` in 0 to 1 of evenly rising lightness, violet to pink.

    CIELAB with L* from 25 to 84, hue from 310 to 370 degrees (violet, magenta, pink) and a chroma that stays near the
    edge of sRGB; CIE 1976 and IEC 61966-2-1 formulas, white point D65. No orange, yellow, green or blue is among them,
    which are the colours of segments: their outlines are drawn over it.
    """
    position = np.linspace(0, 1, count)
    lightness = 25 + 59 * position
    hue = np.radians(310 + 60 * position)
    chroma = 58 - 28 * position + 12 * np.sin(np.pi * position)
    fy = (lightness + 16) / 116
    f = np.stack([fy + chroma * np.cos(hue) / 500, fy, fy - chroma * np.sin(hue) / 200], axis=-1)
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.95047, 1.0, 1.08883]
    linear = np.clip(
        xyz
        @ np.array(
            [[3.2406, -0.9689, 0.0557], [-1.5372, 1.8758, -0.2040], [-0.4986, 0.0415, 1.0570]],
        ),
        0,
        1,
    )
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
