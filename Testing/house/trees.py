"""The two modules as they stand in the repository: their files, and what each file imports."""

from __future__ import annotations

import ast
import importlib.util
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("SemiSegCervical", "SemiSegTrainer")
LIBRARIES = tuple(f"{module}Lib" for module in MODULES)
_IMPORTERS = {"import_module", "__import__"}


@dataclass(frozen=True)
class Import:
    """One name that a file imports: dotted and absolute, where, and whether importing the file runs it."""

    name: str
    line: int
    at_import: bool


def copy_modules(folder: Path) -> None:
    """Copy the modules into a folder, to be changed there: the checkout may be read-only, the copy is not."""
    for module in MODULES:
        copy = folder / module
        shutil.copytree(
            ROOT / module, copy, ignore=shutil.ignore_patterns("__pycache__"), copy_function=shutil.copyfile
        )
        for path in (copy, *copy.rglob("*")):
            path.chmod(path.stat().st_mode | stat.S_IWUSR)


def python_files(module: str, root: Path = ROOT) -> list[Path]:
    """Return every Python file of a module's folder, sorted."""
    return sorted(path for path in (root / module).rglob("*.py") if "__pycache__" not in path.parts)


def dotted(path: Path, module: str, root: Path = ROOT) -> str:
    """Return the name under which a module's file is imported: ``SemiSegCervicalLib.engine.pack``."""
    parts = list(path.relative_to(root / module).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, name: str, is_package: bool = False) -> list[Import]:
    """Return what a file imports, also inside functions and by ``importlib.import_module`` with a literal.

    ``from a import b`` yields both ``a`` and ``a.b``, for ``b`` may be a module.

    Args:
        source: the file's text.
        name: its dotted name, against which relative imports are resolved.
        is_package: whether the file is an ``__init__.py``.
    """
    package = name if is_package else name.rpartition(".")[0]
    return list(_walk(ast.parse(source), package, at_import=True))


def _walk(node: ast.AST, package: str, at_import: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, at_import)
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            if child.level:
                base = importlib.util.resolve_name("." * child.level + base, package)
            yield Import(base, child.lineno, at_import)
            for alias in child.names:
                yield Import(f"{base}.{alias.name}", child.lineno, at_import)
        elif isinstance(child, ast.Call) and _called(child.func) in _IMPORTERS and child.args:
            argument = child.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield Import(argument.value, child.lineno, at_import)
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        guarded = isinstance(child, ast.If) and _called(child.test) == "TYPE_CHECKING"
        if guarded:
            # Only the guarded branch is left out when the file is imported; its else branch runs.
            assert isinstance(child, ast.If)
            yield from _walk(ast.Module(child.body, []), package, at_import=False)
            yield from _walk(ast.Module(child.orelse, []), package, at_import)
        else:
            yield from _walk(child, package, at_import and not inside)


def _called(node: ast.AST) -> str:
    """Return the last part of a name or attribute, or an empty string."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


class Graph:
    """Which outside packages a library's module brings in, through everything it imports in turn."""

    def __init__(self, sources: dict[str, list[Import]]) -> None:
        self.sources = sources

    @classmethod
    def of_repository(cls) -> Graph:
        """Read both modules' folders."""
        sources = {}
        for module in MODULES:
            for path in python_files(module):
                name = dotted(path, module)
                sources[name] = imports(path.read_text(encoding="utf-8"), name, path.name == "__init__.py")
        return cls(sources)

    def outside(self, name: str) -> set[str]:
        """Return the top-level names of the outside packages that ``import name`` imports."""
        found: set[str] = set()
        self._collect(name, set(), found)
        return found

    def reached_by(self, wanted: list[Import]) -> set[str]:
        """Return the outside packages that a file with these imports reaches, also through the libraries."""
        found: set[str] = set()
        seen: set[str] = set()
        for item in wanted:
            if item.at_import:
                self._collect(item.name, seen, found)
        return found

    def _collect(self, name: str, seen: set[str], found: set[str]) -> None:
        if name.partition(".")[0] not in {known.partition(".")[0] for known in self.sources}:
            found.add(name.partition(".")[0])
            return
        # Importing a.b.c runs a, a.b and a.b.c; what is no module is a name inside the last one.
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            part = ".".join(parts[:length])
            if part in seen or part not in self.sources:
                continue
            seen.add(part)
            for item in self.sources[part]:
                if item.at_import:
                    self._collect(item.name, seen, found)
