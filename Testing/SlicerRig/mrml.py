"""Real MRML without the application: the scene, its module logics, and their names in Slicer.

The slicer-core package brings the scene, the nodes and the logics; the application would join them together.
This file does that joining, so that code written for Slicer finds ``slicer.mrmlScene`` and
``slicer.modules.<name>.logic()`` here too. Nothing of it needs Qt or a display.

    from SlicerRig import mrml
    scene = mrml.start()
"""

from __future__ import annotations

import atexit
import importlib
import shutil
import sys
import tempfile
import types
from typing import Any

import slicer
import vtk

_started: dict[str, Any] = {}


def _take_apart() -> None:
    """Move the classes that the package puts into ``slicer`` and the application does not to modules of their own."""
    for name in ("vtkITK", "vtkTeem"):
        made = importlib.import_module(f"slicer_core.{name}")
        for public in [entry for entry in vars(made) if not entry.startswith("_")]:
            vars(slicer).pop(public, None)
        sys.modules[name] = made


_take_apart()


def start() -> Any:
    """Make ``slicer.mrmlScene`` and ``slicer.modules``, once in a process.

    Returns:
        The scene (``vtkMRMLScene``); a second call returns the same one as it is.
    """
    if _started:
        return _started["scene"]
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    folder = tempfile.mkdtemp(prefix="semiseg-mrml-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    application.SetHomeDirectory(folder)  # where colour files would lie; there are none
    application.SetShareDirectory("share")
    _started.update(scene=scene, application=application, io=_data_io(scene, folder))

    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)  # before the first slice node

    # The module's logic, which knows legends, in the place of the plain one.
    colors = slicer.vtkSlicerColorLogic()
    colors.SetMRMLApplicationLogic(application)
    application.SetColorLogic(colors)
    colors.SetMRMLScene(scene)
    colors.AddDefaultColorNodes()
    logics = {
        "Colors": colors,
        "Volumes": slicer.vtkSlicerVolumesLogic(),
        "Sequences": slicer.vtkSlicerSequencesLogic(),
        "Segmentations": slicer.vtkSlicerSegmentationsModuleLogic(),
        "SceneViews": slicer.vtkSlicerSceneViewsModuleLogic(),
        "SubjectHierarchy": slicer.vtkSlicerSubjectHierarchyModuleLogic(),
        "Markups": slicer.vtkSlicerMarkupsLogic(),
        "Terminologies": slicer.vtkSlicerTerminologiesModuleLogic(),
    }
    for name, logic in logics.items():
        if logic is not colors:
            quiet = name == "Terminologies"  # the wheel has no terminology files, which it would call an error
            vtk.vtkObject.SetGlobalWarningDisplay(not quiet)
            logic.SetMRMLScene(scene)
            vtk.vtkObject.GlobalWarningDisplayOn()
            logic.SetMRMLApplicationLogic(application)
        application.SetModuleLogic(name, logic)  # this is how one logic finds another

    slicer.mrmlScene = scene
    slicer.modules = types.SimpleNamespace(
        **{name.lower(): types.SimpleNamespace(logic=lambda logic=logic: logic) for name, logic in logics.items()}
    )
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    # Before other observers, as the application's module that lists segments in the hierarchy.
    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, _segments_go, 1.0)
    return scene


@vtk.calldata_type(vtk.VTK_OBJECT)
def _segments_go(scene: Any, _event: str, node: Any) -> None:
    """Take a segmentation's segments away when it is removed, as the subject hierarchy does with its items below it.

    What shares them, such as the item of a sequence that a browser shows and saves, loses them too.
    """
    if node.IsA("vtkMRMLSegmentationNode") and not scene.IsClosing():
        segments = node.GetSegmentation()
        for segment in [segments.GetNthSegmentID(i) for i in range(segments.GetNumberOfSegments())]:
            segments.RemoveSegment(segment)


def slice_logic(name: str) -> Any:
    """Return the logic of a slice view, with its slice and composite node; made when it is not there yet.

    Like the application's it outlives a cleared scene.
    """
    joined = application_logic()
    if joined.GetSliceLogics() is None:
        joined.SetSliceLogics(vtk.vtkCollection())  # legends look for their view's logic there
    logics = joined.GetSliceLogics()
    for i in range(logics.GetNumberOfItems()):
        if logics.GetItemAsObject(i).GetSliceNode().GetLayoutName() == name:
            return logics.GetItemAsObject(i)
    scene = start()
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(joined)
    logic.SetMRMLScene(scene)
    node = scene.GetSingletonNode(name, "vtkMRMLSliceNode")
    if node is None:
        logic.AddSliceNode(name)
    else:  # the layout has made it; a second one would stay outside the scene, and nothing would be drawn in it
        logic.SetSliceNode(node)
    logics.AddItem(logic)
    return logic


def clear() -> Any:
    """Empty the scene as *File > Close scene* does; singletons and the default colours stay.

    Returns:
        The scene.
    """
    scene = start()
    scene.Clear(0)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    return scene


def application_logic() -> Any:
    """Return the ``vtkSlicerApplicationLogic`` that joins the module logics."""
    start()
    return _started["application"]


def process_events() -> None:
    """Bring the sequences' proxy nodes up to date, which the application does when its event loop turns."""
    slicer.modules.sequences.logic().UpdateAllProxyNodes()


def _data_io(scene: Any, folder: str) -> tuple[Any, Any]:
    """Give the scene a cache folder of its own: without one it refuses to read its own ``.mrb`` files."""
    cache = slicer.vtkCacheManager()
    cache.SetRemoteCacheDirectory(folder)
    manager = slicer.vtkDataIOManager()
    manager.SetCacheManager(cache)
    scene.SetCacheManager(cache)
    scene.SetDataIOManager(manager)
    return cache, manager
