"""Make ``api.json``, the rig's table of what PythonQt offers, from the full listing of a running 3D Slicer.

    python3 Testing/SlicerRig/extract_api.py LISTING.json [CLASS...]

The listing names, per class of ``qt``, ``ctk`` and ``slicer``, its bases, constructors, properties, methods, signals
and enums as the application's PythonQt reports them. The table keeps the classes it has already, those named on
the command line, and their bases; everything else does not exist for the rig. Standard library only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("api.json")
MODULES = {"qt": "qt", "ctk": "ctk", "slicer": "slicer", "live_object_types": "slicer"}
ABOUT = (
    "Classes of the qt, ctk and slicer modules as PythonQt offers them: measured in 3D Slicer 5.13 (Qt 5.15). "
    "Made by extract_api.py. A signature is 'argument types->result', a leading 'static' marks static methods."
)


def main(listing: Path, wanted: list[str]) -> None:
    """Write the table anew.

    Raises:
        SystemExit: a wanted class is not in the listing.
    """
    modules = json.loads(listing.read_text(encoding="utf-8"))["modules"]
    found = {
        name: (module, entry)
        for source, module in MODULES.items()
        for name, entry in modules[source]["classes"].items()
    }
    if TABLE.is_file():
        wanted = [*wanted, *json.loads(TABLE.read_text(encoding="utf-8"))["classes"]]
    unknown = [name for name in wanted if name not in found]
    if unknown:
        sys.exit(f"3D Slicer does not have: {', '.join(unknown)}")
    names = sorted({*wanted, *(base for name in wanted for base in found[name][1]["bases"])} & found.keys())
    # One class per line, so that a change shows as the lines of the classes it touches.
    lines = [f"{json.dumps(name)}: {json.dumps(_entry(*found[name]), separators=(',', ':'))}" for name in names]
    text = ",\n".join(lines)
    TABLE.write_text(f'{{"about": {json.dumps(ABOUT)},\n"classes": {{\n{text}\n}}}}\n', encoding="utf-8")
    print(f"{len(names)} classes, {TABLE.stat().st_size / 1e3:.0f} kB")


def _entry(module: str, entry: dict[str, Any]) -> dict[str, Any]:
    made = {
        "module": module,
        "object": entry["isQObject"],
        "bases": entry["bases"],
        "new": [_signature(text) for text in entry["constructors"]],
        "properties": {p["name"]: _property(p) for p in entry["properties"]},
        "methods": {name: [_signature(text) for text in texts] for name, texts in entry["methods"].items()},
        "signals": entry["signals"],
        "enums": _enums(entry),
    }
    return {key: value for key, value in made.items() if value}


def _signature(text: str) -> str:
    """``static f(int a, QString b) -> bool`` becomes ``static int,QString->bool``."""
    head, _, rest = text.partition("(")
    arguments, _, result = rest.rpartition(") -> ")
    types = [argument.strip().rsplit(" ", 1)[0] for argument in _split(arguments)]
    return f"{'static ' if head.startswith('static ') else ''}{','.join(types)}->{result}"


def _split(arguments: str) -> list[str]:
    """Split at the commas outside template brackets."""
    parts, depth = [""], 0
    for letter in arguments:
        depth += {"<": 1, ">": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part.strip()]


def _property(entry: dict[str, Any]) -> str:
    marks = [mark for mark, on in (("enum", entry.get("enum")), ("readonly", not entry["writable"])) if on]
    return " ".join([entry["type"], *marks])


def _enums(entry: dict[str, Any]) -> dict[str, Any]:
    """Enums by name; a flags type with the values of an enum before it is stored as that enum's name."""
    made: dict[str, Any] = {}
    for enum in entry["enums"]:
        twin = next((name for name, values in made.items() if values == enum["values"]), None)
        made.setdefault(enum["name"], twin or enum["values"])
    listed = {name for values in made.values() if isinstance(values, dict) for name in values}
    loose = {name: value for name, value in entry["enum_values"].items() if name not in listed}
    return {**made, **({"": loose} if loose else {})}


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
