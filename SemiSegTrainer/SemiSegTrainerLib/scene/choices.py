"""What the user chose for training, kept in the scene: uses, segmentations that count, names of classes.

Everything is an attribute of, or a reference from, the node that it is about, so that it comes back with a saved
scene; references follow their node also when a scene is imported into another one. What is said is said of the open
scene, and can be read from any.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, get_args

from .attributes import hold, holders, is_outside, node_of, read_json, set_attribute
from .classes import SegmentKey

ChosenUse = Literal["training", "validation", "unlabelled", "left out"]
USES: tuple[ChosenUse, ...] = get_args(ChosenUse)

USE = "SemiSeg.Use"
"""Attribute of a volume or image sequence: one of `USES`."""
FRAME_USES = "SemiSeg.FrameUses"
"""Attribute of an image sequence, or of a volume whose slices are frames: JSON, one of `USES` by index value."""
SLICES_ARE_FRAMES = "SemiSeg.SlicesAreFrames"
"""Attribute of a volume "1": its slices are the frames of a cine."""
ANNOTATION_ROLE = "SemiSeg.Annotation"
"""Reference from a volume or image sequence to the segmentation or segmentation sequence that counts for it."""
ANSWERS = "SemiSeg.Answers"
"""Attribute of a node of its own: JSON list of [name, codes or null, class] for segments that the user named."""
FOLDERS = "SemiSeg.Folders"
"""Attribute of the same node: JSON list of the folders on disk whose images are cases too."""
SCENES = "SemiSeg.Scenes"
"""Attribute of the same node: JSON list of the saved scenes on disk whose images are cases too."""
OUTSIDE_USES = "SemiSeg.OutsideUses"
"""Attribute of the same node: JSON, one of `USES` by id of a case in these folders and scenes."""


def set_use(case_id: str, use: ChosenUse | None) -> None:
    """Say what a case is to be used for.

    Args:
        case_id: of a `training_set.TrainingCase`, or of a whole cine, whose frames then have no use of their own.
        use: None leaves it to what is annotated.

    Raises:
        SemiSegError: the image is not in the scene any more.
        ValueError: there is no such use.
    """
    if use is not None and use not in USES:
        raise ValueError(f"no use: {use}")
    if is_outside(case_id):
        uses = _outside_uses()
        uses.pop(case_id, None)
        if use is not None:
            uses[case_id] = use
        hold(OUTSIDE_USES, json.dumps(uses) if uses else None)
        return
    node, frame = node_of(case_id)
    if frame is None:
        set_attribute(node, USE, use)
        set_attribute(node, FRAME_USES, None)
        return
    frames = _frame_uses(node)
    frames.pop(frame, None)
    if use is not None:
        frames[frame] = use
    set_attribute(node, FRAME_USES, json.dumps(frames) if frames else None)


def chosen_use(node: Any, frame: str | None = None) -> ChosenUse | None:
    """Return what the user said that an image, or a frame, is to be used for; None where nothing was said.

    Args:
        node: volume or image sequence.
        frame: index value of a frame; what was said of the whole cine holds for it too.
    """
    own = _frame_uses(node).get(frame) if frame is not None else None
    return own or _known(node.GetAttribute(USE))


def chosen_outside_use(case_id: str, scene: Any = None) -> ChosenUse | None:
    """Return what the user said that a case from disk is to be used for; None where nothing was said."""
    return _outside_uses(scene).get(case_id)


def folders(scene: Any = None) -> list[str]:
    """Return the folders on disk whose images are cases too."""
    return _paths(FOLDERS, scene)


def add_folder(path: str) -> None:
    """Take the images of a folder on disk as cases too; the folder's place is kept in the scene, no file is copied."""
    hold(FOLDERS, json.dumps(list(dict.fromkeys([*folders(), path]))))


def remove_folder(path: str) -> None:
    """Leave the images of a folder out again; the folder stays as it is."""
    left = [other for other in folders() if other != path]
    hold(FOLDERS, json.dumps(left) if left else None)


def scenes(scene: Any = None) -> list[str]:
    """Return the saved scenes on disk whose images are cases too."""
    return _paths(SCENES, scene)


def add_scene(path: str) -> None:
    """Take the images of a saved scene as cases too; where it lies is kept, and it is read when cases are collected."""
    hold(SCENES, json.dumps(list(dict.fromkeys([*scenes(), path]))))


def remove_scene(path: str) -> None:
    """Leave the images of a saved scene out again; its file stays as it is."""
    left = [other for other in scenes() if other != path]
    hold(SCENES, json.dumps(left) if left else None)


def set_slices_as_frames(volume: Any, frames: bool) -> None:
    """Say whether the slices of a volume are the frames of a cine."""
    set_attribute(volume, SLICES_ARE_FRAMES, "1" if frames else None)


def slices_are_frames(volume: Any) -> bool:
    """Return whether the slices of a volume are the frames of a cine."""
    return bool(volume.GetAttribute(SLICES_ARE_FRAMES) == "1")


def choose_segmentation(image: Any, segmentation: Any) -> None:
    """Say which segmentation counts for an image where several do.

    Args:
        image: volume or image sequence.
        segmentation: segmentation or segmentation sequence; None leaves it open again.
    """
    image.SetNodeReferenceID(ANNOTATION_ROLE, segmentation.GetID() if segmentation is not None else None)


def chosen_segmentation(image: Any) -> Any:
    """Return the segmentation that the user chose for an image, None where they chose none."""
    return image.GetNodeReference(ANNOTATION_ROLE)


def save_answers(answers: Mapping[SegmentKey, str]) -> None:
    """Keep the user's answers to conflicts of classes (`classes.match_classes`); they replace those kept before."""
    listed = [[key.name, key.code, answer] for key, answer in answers.items()]
    hold(ANSWERS, json.dumps(listed) if listed else None)


def saved_answers(scene: Any = None) -> dict[SegmentKey, str]:
    """Return the answers that are kept in the scene."""
    found: dict[SegmentKey, str] = {}
    for holder in holders(scene):
        for entry in read_json(holder.GetAttribute(ANSWERS), list):
            with suppress(ValueError, TypeError):  # another version wrote it; the question is asked again
                name, code, answer = entry
                key = SegmentKey(name, tuple((s, c) for s, c in code) if code is not None else None)
                if isinstance(name, str) and isinstance(answer, str):
                    found[key] = answer
    return found


def _paths(name: str, scene: Any) -> list[str]:
    found = [path for holder in holders(scene) for path in read_json(holder.GetAttribute(name), list)]
    return list(dict.fromkeys(path for path in found if isinstance(path, str)))


def _outside_uses(scene: Any = None) -> dict[str, ChosenUse]:
    found = {k: v for holder in holders(scene) for k, v in read_json(holder.GetAttribute(OUTSIDE_USES), dict).items()}
    return {case_id: use for case_id, value in found.items() if (use := _known(value)) is not None}


def _frame_uses(node: Any) -> dict[str, ChosenUse]:
    found = read_json(node.GetAttribute(FRAME_USES), dict)
    return {frame: use for frame, value in found.items() if (use := _known(value)) is not None}


def _known(use: str | None) -> ChosenUse | None:
    return use if use in USES else None
