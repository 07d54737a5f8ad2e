"""The layers' import rules hold, and their checker finds what breaks them."""

from __future__ import annotations

import ast

import pytest
from house.rules import ROOMS, check
from house.trees import MODULES, ROOT, Graph, dotted, imports, python_files

FILES = [(module, path) for module in MODULES for path in python_files(module)]


@pytest.mark.parametrize(("module", "path"), FILES, ids=lambda value: getattr(value, "stem", str(value)))
def test_file_imports_only_what_its_room_may(module, path):
    broken = check(path.read_text(encoding="utf-8"), dotted(path, module), path.name == "__init__.py")
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        ("SemiSegCervicalLib.engine.a", "import SemiSegTrainerLib.learning", "never the reverse"),
        ("SemiSegCervicalLib.errors", "from SemiSegTrainerLib import errors", "never the reverse"),
        ("SemiSegCervicalLib.scene.a", "import torch", "only the rooms that compute"),
        ("SemiSegCervicalLib.scene.a", "def f():\n    from torch import cuda", "only the rooms that compute"),
        ("SemiSegCervicalLib.panel.a", "import importlib\nimportlib.import_module('torch.cuda')", "compute"),
        ("SemiSegCervicalLib.panel.a", "__import__('monai')", "only the rooms that compute"),
        ("SemiSegTrainerLib.cli.a", "import torch", "only the rooms that compute"),
        ("SemiSegTrainerLib.cli.a", "import slicer", "may not"),
        ("SemiSegTrainerLib.cli.a", "import qt", "may not"),
        ("SemiSegTrainerLib.cli.a", "from SemiSegTrainerLib.scene import a", "may not know"),
        ("SemiSegCervicalLib.scene.a", "from SemiSegCervicalLib.engine import pack", "may not know"),
        ("SemiSegCervicalLib.scene.a", "from .. import engine", "may not know"),
        ("SemiSegCervicalLib.scene.a", "import qt", "may not"),
        ("SemiSegCervicalLib.panel.a", "from ..engine.pack import Pack", "may not know"),
        ("SemiSegTrainerLib.panel.a", "import SemiSegTrainerLib.learning.loop", "may not know"),
        ("SemiSegCervicalLib.engine.a", "import slicer", "may not"),
        ("SemiSegCervicalLib.engine.a", "from ..scene import a", "may not know"),
        ("SemiSegTrainerLib.learning.a", "from ..cli import app", "may not know"),
        ("SemiSegCervicalLib.worker.client", "from ..engine import pack", "may not know"),
        ("SemiSegCervicalLib.worker.client", "from . import server", "stay out of the Slicer process"),
        ("SemiSegCervicalLib.worker.server", "import torch", "only the rooms that compute"),
        ("SemiSegCervicalLib.worker.transport", "import qt", "may not"),
        ("SemiSegCervicalLib.worker.server_main", "import slicer", "may not"),
        ("SemiSegCervicalLib.worker.protocol", "def f():\n    from ..engine import pack", "may not know"),
        ("SemiSegTrainerLib.worker.protocol", "from ..learning import run", "may not know"),
        ("SemiSegTrainerLib.worker.protocol", "from . import server_train", "stay out of the Slicer process"),
        ("SemiSegCervicalLib.panel.a", "from ..worker.server import main", "stay out of the Slicer process"),
        ("SemiSegCervicalLib.engine.a", "import requests", "may not"),
        ("SemiSegCervicalLib.scene.a", "import SemiSegCervical", "not the other way"),
        ("SemiSegCervicalLib.attic.a", "", "no room of the design"),
        ("helpers", "", "belongs into its library"),
        ("SemiSegCervical", "import torch", "only the rooms that compute"),
    ],
)
def test_checker_finds_what_is_forbidden(name, source, complaint):
    found = check(source, name)
    assert len(found) >= 1
    assert complaint in found[0]


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("SemiSegTrainerLib.learning.a", "import torch\nfrom SemiSegCervicalLib.engine import pack"),
        ("SemiSegCervicalLib.scene.a", "import json, slicer, vtk, numpy\nfrom ..errors import SemiSegError"),
        ("SemiSegCervicalLib.worker.server", "def main():\n    from ..engine import predict"),
        ("SemiSegTrainerLib.worker.server_train", "from ..learning import loop"),
        ("SemiSegTrainerLib.worker.server_train", "from SemiSegCervicalLib.worker.server_jobs import ServerJob"),
        ("SemiSegTrainerLib.worker.protocol", "from SemiSegCervicalLib.worker.protocol import Message"),
        ("SemiSegTrainerLib.panel.a", "import qt, ctk\nfrom SemiSegCervicalLib.worker import client"),
        ("SemiSegTrainerLib.cli.a", "import typer\nfrom ..learning import loop"),
        ("SemiSegCervical", "import slicer, qt\nfrom SemiSegCervicalLib.panel import widget"),
    ],
)
def test_checker_lets_the_design_through(name, source):
    assert check(source, name) == []


def test_every_folder_of_the_libraries_is_a_room_with_files():
    for module in MODULES:
        for folder in sorted((ROOT / module / f"{module}Lib").iterdir()):
            if folder.is_dir() and folder.name != "__pycache__":
                assert f"{module}Lib.{folder.name}" in ROOMS
                assert (folder / "__init__.py").is_file(), f"{folder.name} is no package"


@pytest.mark.parametrize(("module", "path"), FILES, ids=lambda value: getattr(value, "stem", str(value)))
def test_syntax_is_that_of_the_oldest_python(module, path):
    parse_as_oldest(path.read_text(encoding="utf-8"))


def test_newer_syntax_is_found():
    with pytest.raises(SyntaxError):
        parse_as_oldest("try:\n    pass\nexcept* ValueError:\n    pass\n")
    with pytest.raises(SyntaxError):
        parse_as_oldest("type Pair = tuple[int, int]\n")


def parse_as_oldest(source: str) -> None:
    """Parse as Python 3.10 does, as far as the running parser can tell.

    Up to 3.11 the parser knows nothing of what came later; from 3.12 on `feature_version` refuses it.
    """
    ast.parse(source, feature_version=(3, 10))


def test_imports_are_resolved_as_python_does():
    source = "from . import a\nfrom ..b import c\ndef f():\n    import d.e\n"
    names = {item.name: item.at_import for item in imports(source, "lib.room.file")}
    assert names == {"lib.room": True, "lib.room.a": True, "lib.b": True, "lib.b.c": True, "d.e": False}


def test_type_checking_imports_do_not_run_and_their_alternative_does():
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\nelse:\n    import json\n"
    names = {item.name: item.at_import for item in imports(source, "lib.a")}
    assert names["torch"] is False
    assert names["json"] is True


def test_graph_follows_imports_through_packages_and_not_into_functions():
    sources = {
        "lib": "",
        "lib.engine": "import torch",
        "lib.engine.schema": "import json",
        "lib.late": "def f():\n    import torch\nfrom lib import other",
        "lib.other": "import numpy",
    }
    graph = Graph({name: imports(text, name, name in ("lib", "lib.engine")) for name, text in sources.items()})
    assert "torch" in graph.outside("lib.engine.schema"), "a package's own __init__ runs first"
    assert graph.outside("lib.late") == {"numpy"}
