"""Slice views drawn for real, without a display: Slicer's own slice logics and displayable managers into an image.

Needs an EGL library (Debian: libegl1, libgl1-mesa-dri); `available` says why it cannot draw.

    view = SliceView("Red")
    view.show(volume)
    pixels = view.draw("picture.png")
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

# VTK chooses its kind of window when the first one is made.
os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")

import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from . import mrml

MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)


def available() -> str:
    """Return why nothing can be drawn here, an empty text where it can."""
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    if not window.SupportsOpenGL():
        return f"{window.GetClassName()} cannot draw: install libegl1 and libgl1-mesa-dri (Debian, Ubuntu)"
    return ""


class SliceView:
    """One slice view of the scene, as the application has it, with its node, logic and composite node."""

    def __init__(self, name: str = "Red", orientation: str = "Axial") -> None:
        """Take a view of the layout, made where it is not there yet.

        Args:
            name: of the layout's view.
            orientation: Axial, Sagittal or Coronal.
        """
        self._application = mrml.application_logic()
        logic = mrml.slice_logic(name)
        logic.GetSliceNode().SetOrientation(orientation)
        self.logic = logic
        self.node = logic.GetSliceNode()
        self.composite = logic.GetSliceCompositeNode()
        self._draws: Any = None

    def show(
        self, background: Any = None, foreground: Any = None, opacity: float = 0.5, size: tuple[int, int] = (600, 600)
    ) -> None:
        """Put volumes into the view, and fit it to them."""
        self.composite.SetBackgroundVolumeID(background.GetID() if background is not None else None)
        self.composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
        self.composite.SetForegroundOpacity(opacity)
        self.fit(size)

    def fit(self, size: tuple[int, int] = (600, 600)) -> None:
        """Show all of the background."""
        self.logic.ResizeSliceNode(*size)
        self.logic.FitSliceToAll(*size)
        self.logic.SnapSliceOffsetToIJK()

    def draw(self, path: str | Path | None = None) -> np.ndarray:
        """Draw the view as it is.

        Args:
            path: PNG file to write, for people to look at.

        Returns:
            uint8 ``(Y, X, 3)``, the first row at the top.
        """
        width, height, _ = self.node.GetDimensions()
        window, mapper = self._window()
        window.SetSize(width, height)
        mapper.SetInputConnection(self.logic.GetImageDataConnection())
        window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(window)
        grab.ReadFrontBufferOff()
        grab.Update()
        if path is not None:
            writer = vtk.vtkPNGWriter()
            writer.SetFileName(str(path))
            writer.SetInputConnection(grab.GetOutputPort())
            writer.Write()
        image = grab.GetOutput()
        pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)
        return pixels[::-1].copy()

    def pixel_of(self, volume: Any, column: int, row: int, plane: int = 0) -> tuple[int, int]:
        """Return where in the drawn picture a voxel's centre lies, (row, column)."""
        to_ras = vtk.vtkMatrix4x4()
        volume.GetIJKToRASMatrix(to_ras)
        ras = to_ras.MultiplyPoint((column, row, plane, 1))
        to_xy = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), to_xy)
        x, y, _, _ = to_xy.MultiplyPoint(ras)
        return self.node.GetDimensions()[1] - 1 - round(y), round(x)

    def close(self) -> None:
        """Let go of the window and of the scene."""
        if self._draws is not None:
            window, _, group, *_ = self._draws
            group.SetMRMLDisplayableNode(None)
            window.Finalize()
            self._draws = None

    def _window(self) -> tuple[Any, Any]:
        """Return window and image mapper, made when they are first needed."""
        if self._draws is None:
            factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
            factory.SetMRMLApplicationLogic(self._application)
            for name in MANAGERS:
                if not factory.IsDisplayableManagerRegistered(name):
                    factory.RegisterDisplayableManager(name)
            window = vtk.vtkRenderWindow()
            window.SetOffScreenRendering(1)
            window.SetMultiSamples(0)
            renderer = vtk.vtkRenderer()
            renderer.GetActiveCamera().ParallelProjectionOn()
            window.AddRenderer(renderer)
            interactor = vtk.vtkGenericRenderWindowInteractor()
            interactor.SetRenderWindow(window)
            # As the application draws the blended layers: an image behind everything else.
            mapper = vtk.vtkImageMapper()
            mapper.SetColorWindow(255)
            mapper.SetColorLevel(127.5)
            picture = vtk.vtkActor2D()
            picture.SetMapper(mapper)
            picture.GetProperty().SetDisplayLocationToBackground()
            renderer.AddViewProp(picture)
            group = factory.InstantiateDisplayableManagers(renderer)
            group.SetMRMLDisplayableNode(self.node)
            self._draws = (window, mapper, group, renderer, interactor)
        return self._draws[0], self._draws[1]
