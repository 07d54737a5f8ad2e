"""Every file is in its module's CMake lists, under a name that is safe in Slicer's one flat folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from house.lists import RESOURCES, SCRIPTS, corrected, differences, listed, present
from house.trees import MODULES, ROOT

REMEDY = "python3 Testing/house/lists.py --write"
CMAKE = """
set(MODULE_NAME SemiSegCervical)
set(MODULE_PYTHON_SCRIPTS
  ${MODULE_NAME}.py
  SemiSegCervicalLib/__init__.py
  # SemiSegCervicalLib/commented.py
  SemiSegCervicalLib/gone.py
)
set(MODULE_PYTHON_RESOURCES
)
"""


@pytest.mark.parametrize("module", MODULES)
def test_lists_equal_the_folder(module):
    wrong = differences(module)
    assert not wrong, "\n".join([*wrong, f"To put them in: {REMEDY}"])


@pytest.mark.parametrize("module", MODULES)
def test_installed_names_start_with_the_modules_name(module):
    wrong = misnamed(module, [name for names in present(module).values() for name in names])
    assert not wrong, wrong


def test_a_foreign_name_is_found():
    names = [
        "SemiSegTrainerLib/recipes/a.json",
        "utils/a.py",
        "Resources/UI/SemiSegTrainer.ui",
        "Resources/a.png",
    ]
    assert misnamed("SemiSegTrainer", names) == ["utils/a.py", "Resources/a.png"]


def misnamed(module: str, names: list[str]) -> list[str]:
    """Return the files that another module's could replace in Slicer's one folder."""

    def own(name: str) -> bool:
        path = Path(name)
        # Both modules' Resources are merged, so there the file's own name must tell whose it is.
        return (path.name if path.parts[0] == "Resources" else name).startswith(module)

    return [name for name in names if not own(name)]


@pytest.fixture
def small_tree(tmp_path):
    library = tmp_path / "SemiSegCervical" / "SemiSegCervicalLib"
    (library / "engine").mkdir(parents=True)
    for name in ("__init__.py", "commented.py", "engine/new.py", "engine/table.json"):
        (library / name).write_text("")
    (library.parent / "SemiSegCervical.py").write_text("")
    (library.parent / "CMakeLists.txt").write_text(CMAKE)
    return tmp_path


def test_differences_name_each_file_and_its_list(small_tree):
    place = "SemiSegCervical/CMakeLists.txt, MODULE_PYTHON_"
    assert differences("SemiSegCervical", small_tree) == [
        f"{place}SCRIPTS: SemiSegCervicalLib/commented.py is missing",
        f"{place}SCRIPTS: SemiSegCervicalLib/engine/new.py is missing",
        f"{place}SCRIPTS: SemiSegCervicalLib/gone.py does not exist",
        f"{place}RESOURCES: SemiSegCervicalLib/engine/table.json is missing",
    ]


def test_corrected_lists_have_no_differences(small_tree):
    cmake = small_tree / "SemiSegCervical" / "CMakeLists.txt"
    cmake.write_text(corrected("SemiSegCervical", small_tree))
    assert differences("SemiSegCervical", small_tree) == []
    assert "${MODULE_NAME}.py" in cmake.read_text()


def test_list_must_be_there_once():
    assert listed(CMAKE, RESOURCES, "SemiSegCervical") == []
    with pytest.raises(ValueError, match="2 times"):
        listed(CMAKE + CMAKE, SCRIPTS, "SemiSegCervical")


def test_shared_resources_do_not_mix_with_the_modules():
    own = {path.name for module in MODULES for path in (ROOT / module / "Resources").glob("*")}
    assert not own & {"models", "samples"}
