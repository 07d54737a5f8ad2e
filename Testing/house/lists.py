"""The lists of files in the modules' CMakeLists, compared with the folders.

``python3 Testing/house/lists.py`` tells what is missing and prints the lists; ``--write`` puts them in.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

if __name__ == "__main__":  # started by its path, so the package's folder is not on the path yet
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from house.trees import MODULES, ROOT, python_files

SCRIPTS, RESOURCES = "MODULE_PYTHON_SCRIPTS", "MODULE_PYTHON_RESOURCES"


def listed(text: str, variable: str, module: str) -> list[str]:
    """Return the entries of one ``set(variable ...)`` of a CMakeLists, with the module's name filled in.

    Raises:
        ValueError: the list is not there exactly once.
    """
    code = re.sub(r"#[^\n]*", "", text)
    found = re.findall(rf"\bset\s*\(\s*{variable}\b([^)]*)\)", code)
    if len(found) != 1:
        raise ValueError(f"{module}/CMakeLists.txt must hold set({variable} ...) once, and holds it {len(found)} times")
    return [entry.strip('"').replace("${MODULE_NAME}", module) for entry in found[0].split()]


def present(module: str, root: Path = ROOT) -> dict[str, list[str]]:
    """Return what the lists should hold: the module's Python files, and all its other files."""
    folder = root / module
    scripts = [path.relative_to(folder).as_posix() for path in python_files(module, root)]
    others = [
        path.relative_to(folder).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".py", ".pyc") and path.name != "CMakeLists.txt"
    ]
    return {SCRIPTS: scripts, RESOURCES: others}


def differences(module: str, root: Path = ROOT) -> list[str]:
    """Return one line for each file that a list lacks, holds in vain or holds twice."""
    text = (root / module / "CMakeLists.txt").read_text(encoding="utf-8")
    found = []
    for variable, files in present(module, root).items():
        entries = listed(text, variable, module)
        place = f"{module}/CMakeLists.txt, {variable}"
        found += [f"{place}: {name} is missing" for name in files if name not in entries]
        found += [f"{place}: {name} does not exist" for name in entries if name not in files]
        found += [f"{place}: {name} is there twice" for name in sorted(set(entries)) if entries.count(name) > 1]
    return found


def corrected(module: str, root: Path = ROOT) -> str:
    """Return the text of a module's CMakeLists with both lists as they should be."""
    text = (root / module / "CMakeLists.txt").read_text(encoding="utf-8")
    for variable, files in present(module, root).items():
        names = [re.sub(rf"^{module}\.py$", "${MODULE_NAME}.py", name) for name in files]
        block = "".join(f"\n  {name}" for name in names)
        head, tail = re.split(rf"\bset\({variable}\b[^)]*\)", text, maxsplit=1)
        text = f"{head}set({variable}{block}\n){tail}"
    return text


def main(arguments: list[str]) -> int:
    """Print or write the corrected lists; the exit status is 1 where something was wrong and stays so."""
    wrong = {module: lines for module in MODULES if (lines := differences(module))}
    for module, lines in wrong.items():
        print("\n".join(lines))
        if "--write" in arguments:
            text = corrected(module)
            with (ROOT / module / "CMakeLists.txt").open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
            print(f"{module}/CMakeLists.txt is written.\n")
        else:
            blocks = re.findall(r"\bset\(MODULE_PYTHON_\w+[^)]*\)", corrected(module))
            print(f"\nThe lists for {module}/CMakeLists.txt (or run this with --write):\n")
            print("\n".join(blocks) + "\n")
    if not wrong:
        print("Both modules' CMakeLists hold exactly the files of their folders.")
    return 1 if wrong and "--write" not in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
