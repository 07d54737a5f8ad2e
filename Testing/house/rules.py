"""The layers' law: what the files of each room may import. A check returns what breaks it, one line each."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from house.trees import LIBRARIES, Import, imports

CERVICAL, TRAINER = LIBRARIES
# Packages that only the rooms of the computing processes may name, at any depth of a file.
HEAVY = frozenset({"torch", "torchvision", "monai", "openvino", "lightning", "lightning_fabric", "safetensors"})
# Rooms whose server files run inside the worker process; their other files run inside Slicer.
_WORKERS = {f"{CERVICAL}.worker", f"{TRAINER}.worker"}


@dataclass(frozen=True)
class Room:
    """What a room may import beside the standard library and its own files."""

    outside: frozenset[str] = frozenset()
    rooms: frozenset[str] = frozenset()
    server_rooms: frozenset[str] = field(default_factory=frozenset)


def _room(outside: str = "", rooms: str = "", server: str = "") -> Room:
    full = {"C": CERVICAL, "T": TRAINER}

    def names(text: str) -> frozenset[str]:
        return frozenset(full[name[0]] + name[1:] for name in text.split())

    return Room(frozenset(outside.split()), names(rooms), names(server))


_FILES = "numpy scipy SimpleITK PIL pydantic pydicom"
_SLICER = "slicer vtk vtkITK vtkmodules numpy"
# PyTorchUtils is Slicer's PyTorch extension, which installs PyTorch.
_PANEL = f"qt ctk {_SLICER} ScriptedLoadableModule parameterNodeWrapper PyTorchUtils"
# "C" and "T" are the two libraries; alone they mean the files at a library's top, such as the error type.
ROOMS = {
    CERVICAL: _room("numpy highdicom pydicom"),
    f"{CERVICAL}.engine": _room(f"{_FILES} torch monai openvino safetensors einops", "C"),
    f"{CERVICAL}.worker": _room("numpy", "C", server="C.engine"),
    f"{CERVICAL}.scene": _room(_SLICER, "C"),
    f"{CERVICAL}.panel": _room(_PANEL, "C C.scene C.worker"),
    TRAINER: _room("numpy", "C"),
    f"{TRAINER}.learning": _room(f"{_FILES} torch monai openvino safetensors einops lightning_fabric", "C C.engine T"),
    f"{TRAINER}.worker": _room("numpy", "C C.worker T", server="C.engine T.learning"),
    f"{TRAINER}.scene": _room(_SLICER, "C C.scene T"),
    f"{TRAINER}.panel": _room(_PANEL, "C C.scene C.worker C.panel T T.scene T.worker"),
    f"{TRAINER}.cli": _room(
        "numpy scipy SimpleITK PIL pydantic typer click rich matplotlib jinja2", "C C.engine T T.learning"
    ),
    # The module files themselves.
    "SemiSegCervical": _room(f"{_PANEL} SampleData", "C C.scene C.worker C.panel"),
    "SemiSegTrainer": _room(f"{_PANEL} SampleData", "C C.scene C.worker C.panel T T.scene T.worker T.panel"),
}


def room_of(name: str) -> str:
    """Return the room of a dotted name: ``SemiSegCervicalLib.engine`` for all that is in its folder."""
    parts = name.split(".")
    two = ".".join(parts[:2])
    return two if two in ROOMS else parts[0]


def check(source: str, name: str, is_package: bool = False) -> list[str]:
    """Return the rules that one file breaks, each as a line with its place; none for a good file.

    Args:
        source: the file's text.
        name: its dotted name, which decides its room.
        is_package: whether it is an ``__init__.py``.
    """
    room = room_of(name)
    top = name.partition(".")[0]
    if top not in ROOMS:
        return [f"{name}: a file beside the module, which belongs into its library"]
    if room == top and name.count(".") >= 1 and (is_package or name.count(".") >= 2):
        return [f"{name}: its folder is no room of the design; known are {', '.join(sorted(ROOMS))}"]
    return [
        f"{name}, line {item.line}: {why}"
        for item in imports(source, name, is_package)
        if (why := _objection(item, name, room))
    ]


def _objection(item: Import, name: str, room: str) -> str:
    """Say why an import is not allowed, or return an empty string."""
    top = item.name.partition(".")[0]
    if top in ROOMS:  # one of the two libraries, or a module file
        return _objection_inside(item.name, name, room)
    if top in sys.stdlib_module_names or top in ROOMS[room].outside:
        return ""
    if top in HEAVY:
        return f"imports {item.name}: only the rooms that compute may, in their own process"
    return f"imports {item.name}, which the room {room} may not"


def _objection_inside(wanted: str, name: str, room: str) -> str:
    target = room_of(wanted)
    server = _is_server(name)
    if target in ("SemiSegCervical", "SemiSegTrainer"):
        return f"imports the module file {wanted}: the libraries serve it, not the other way"
    if target in _WORKERS and _is_server(wanted) and not server:
        return f"imports {wanted}: the worker's server and what it needs stay out of the Slicer process"
    if target == room or target in ROOMS[room].rooms or (server and target in ROOMS[room].server_rooms):
        return ""
    if target.startswith(TRAINER) and not room.startswith((TRAINER, "SemiSegTrainer")):
        return f"imports {wanted}: the trainer builds on the cervical library, never the reverse"
    return f"imports {wanted}, and the room {room} may not know the room {target}"


def _is_server(name: str) -> bool:
    """Tell whether a file runs in the worker process: ``worker/server*.py``, or below ``worker/server/``."""
    parts = name.split(".")
    return len(parts) > 2 and ".".join(parts[:2]) in _WORKERS and parts[2].startswith("server")
