"""The Install row: what it shows in every state, and what its buttons do, with a real pip."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from SemiSegCervicalLib.packages import NEEDED, Lack, Package
from SemiSegCervicalLib.worker.protocol import Device, Welcome
from SlicerRig import application

TINY = Package("semiseg-tiny", "semiseg_tiny", "1.0", "computes a little", 12)
EXTRA = Package("semiseg-extra", "semiseg_extra", "1.0", "makes it faster", 85)
TORCH = Package("semiseg-torch", "semiseg_torch", "2.6", "computes the networks", 200)
UI = Path(__file__).resolve().parents[3] / "SemiSegCervical" / "Resources" / "UI" / "SemiSegCervicalInstall.ui"
SCREENSHOTS = os.environ.get("SEMISEG_SCREENSHOTS")


class Row:
    """One row in a window of its own, and everything that it told."""

    def __init__(self, **options) -> None:
        import qt
        import slicer
        from SemiSegCervicalLib.panel.install import InstallSection

        self.window = qt.QWidget()
        layout = qt.QVBoxLayout(self.window)
        page = slicer.util.loadUI(str(UI))
        layout.addWidget(page)
        self.window.resize(480, 360)
        self.window.show()
        self.ui = slicer.util.childWidgetVariables(page)
        self.installed = 0
        self.errors: list = []
        self.questions: list[str] = []
        self.answer = True
        self.section = InstallSection(
            self.ui, on_installed=self._count, on_error=self.errors.append, confirm=self._ask,
            **{"packages": [TINY], "optional": None, **options},
        )  # fmt: skip
        application.process_events()

    def _count(self) -> None:
        self.installed += 1

    def _ask(self, question: str) -> bool:
        self.questions.append(question)
        return self.answer

    def choose(self, combo, index: int) -> None:
        combo.setCurrentIndex(index)
        application.process_events()

    def look(self, name: str) -> None:
        if SCREENSHOTS:
            application.screenshot(self.window, Path(SCREENSHOTS) / f"install-{name}.png")


@pytest.fixture
def row():
    made: list[Row] = []

    def make(**options) -> Row:
        made.append(Row(**options))
        return made[-1]

    yield make
    for one in made:
        one.section.close()
        one.window.delete()


@pytest.fixture
def pip(site):
    """A real pip in the background, as slicer.packaging runs it: lines and the end come with later events."""

    def run(arguments, on_line, on_end):
        import qt

        command = [sys.executable, "-m", "pip", "install", "--target", str(site), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        def look() -> None:
            if process.poll() is None:
                qt.QTimer.singleShot(20, look)
                return
            for line in process.stdout.read().splitlines():
                on_line(line)
            on_end(process.returncode)

        look()

    return run


def test_the_row_is_hidden_while_nothing_is_missing(row):
    import numpy  # noqa: F401

    shown = row(packages=[Package("numpy", "numpy", "1.0", "arrays")])
    assert shown.section.complete
    assert not shown.ui.installBox.isVisible()


def test_the_row_says_what_is_missing_what_for_and_how_big(row):
    shown = row(optional=EXTRA)
    shown.look("missing")
    assert not shown.section.complete
    assert shown.ui.installBox.isVisible()
    for words in ("semiseg-tiny 1.0 or newer", "computes a little", "12 MB"):
        assert words in shown.ui.installLacks.text
    assert "semiseg-extra (85 MB): makes it faster" in shown.ui.installOptional.text
    assert shown.ui.installButton.isEnabled()
    assert not shown.ui.installTorch.isVisible(), "PyTorch is not among them"
    assert not shown.ui.installFolder.isVisible()
    assert not shown.ui.installReport.isVisible()


def test_nothing_happens_without_a_yes(row):
    asked = []
    shown = row(pip=lambda *told: asked.append(told))
    shown.answer = False
    application.click(shown.ui.installButton)
    assert len(shown.questions) == 1
    assert "semiseg-tiny" in shown.questions[0]
    assert asked == []
    assert not shown.section.running


def test_from_a_folder_the_row_installs_and_goes(row, pip, wheels):
    shown = row(pip=pip)
    shown.choose(shown.ui.installSource, 1)
    application.click(shown.ui.installButton)
    assert str(Path.cwd()) in shown.errors.pop().cause, "none was chosen yet"
    shown.errors.clear()
    shown.ui.installFolder.directory = str(wheels)
    shown.look("folder")
    assert shown.ui.installFolder.isVisible()
    assert shown.ui.installCommand.isVisible()
    application.click(shown.ui.installButton)
    assert shown.section.running
    assert shown.ui.installProgress.isVisible()
    assert shown.ui.installStatus.text == "Installing semiseg-tiny"
    assert not shown.ui.installButton.isEnabled()
    assert "running" in shown.ui.installButton.toolTip
    shown.look("running")
    assert application.wait_until(lambda: shown.installed, 60)
    assert shown.errors == [None], "an old message is taken away, and no new one comes"
    assert shown.section.complete
    assert not shown.ui.installBox.isVisible()
    assert "semiseg_tiny" not in sys.modules


def test_a_failure_is_told_and_its_report_can_be_copied(row, pip, wheels):
    import qt

    shown = row(packages=[TINY, EXTRA], pip=pip)
    shown.choose(shown.ui.installSource, 1)
    shown.ui.installFolder.directory = str(wheels)
    application.click(shown.ui.installButton)
    assert application.wait_until(lambda: not shown.section.running, 60)
    assert shown.installed == 0
    assert shown.errors[-1].code == "install-no-build"
    assert "semiseg-extra" in shown.errors[-1].cause
    assert shown.ui.installButton.isEnabled()
    shown.look("failed")
    application.click(shown.ui.installReport)
    copied = qt.QApplication.clipboard().text()
    assert "No matching distribution found for semiseg-extra" in copied
    assert "Missing: " in copied


def test_the_command_that_fills_a_folder_can_be_copied(row):
    import qt

    shown = row()
    shown.choose(shown.ui.installSource, 1)
    application.click(shown.ui.installCommand)
    assert '"semiseg-tiny>=1.0"' in qt.QApplication.clipboard().text()
    assert "Copied" in shown.ui.installStatus.text


def test_while_the_panel_computes_nothing_is_installed(row):
    shown = row()
    shown.section.refresh(types.SimpleNamespace(busy=True, welcome=None))
    assert not shown.ui.installButton.isEnabled()
    assert "segmentation" in shown.ui.installButton.toolTip
    shown.section.refresh(types.SimpleNamespace(busy=False, welcome=None))
    assert shown.ui.installButton.isEnabled()


def test_the_optional_package_can_be_offered_alone(row):
    shown = row(packages=[], optional=EXTRA)
    assert shown.section.complete
    assert not shown.ui.installBox.isVisible()
    assert shown.section.can_offer
    shown.section.offer()
    application.process_events()
    shown.look("optional")
    assert shown.ui.installBox.isVisible()
    assert shown.ui.installOptional.checked
    assert shown.ui.installButton.isEnabled()
    shown.ui.installOptional.setChecked(False)
    application.process_events()
    assert not shown.ui.installButton.isEnabled()
    assert "Nothing is chosen" in shown.ui.installButton.toolTip


@pytest.mark.parametrize(("card_works", "suggested"), [(False, True), (True, False)])
def test_without_a_graphics_card_the_optional_package_is_suggested_in_one_line(row, card_works, suggested):
    devices = (Device("cuda", "a card", card_works), Device("cpu", "a processor", True))
    state = types.SimpleNamespace(busy=False, welcome=Welcome("3.12", {}, devices, 2))
    shown = row(packages=[], optional=EXTRA)
    shown.section.refresh(state)
    application.process_events()
    assert shown.ui.installBox.isVisible() is suggested
    if suggested:
        shown.look("suggested")
        assert shown.ui.installBox.collapsed
        assert shown.ui.installBox.text == "Could be faster: install semiseg-extra"
        shown.ui.installBox.collapsed = False
        shown.section.refresh(state)
        assert not shown.ui.installBox.collapsed, "it is suggested once, and stays as the user left it"


def test_torch_without_its_extension_is_offered_by_pip_and_the_extension_explained(row, monkeypatch):
    from SemiSegCervicalLib.panel import install, installing

    for module in (install, installing):
        monkeypatch.setattr(module, "TORCH", TORCH)
    shown = row(packages=[TORCH, TINY], optional=EXTRA)
    assert shown.ui.installTorch.isVisible()
    assert shown.ui.installTorch.currentIndex == 2
    assert shown.ui.installButton.isEnabled()
    shown.choose(shown.ui.installTorch, 0)
    shown.look("torch")
    assert not shown.ui.installButton.isEnabled()
    assert "Extension Manager" in shown.ui.installHint.text
    assert "3 GB" in shown.ui.installLacks.text
    shown.choose(shown.ui.installTorch, 1)
    assert "0.2 GB" in shown.ui.installLacks.text
    shown.choose(shown.ui.installSource, 1)
    assert not shown.ui.installTorch.isVisible(), "a folder has what it has"


def test_with_the_extension_it_is_the_first_choice(row, monkeypatch, tmp_path):
    from SemiSegCervicalLib.panel import install, installing

    (tmp_path / "PyTorchUtils.py").write_text("raise AssertionError('not imported to know that it is there')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for module in (install, installing):
        monkeypatch.setattr(module, "TORCH", TORCH)
    shown = row(packages=[TORCH])
    assert shown.ui.installTorch.currentIndex == 0
    assert shown.ui.installButton.isEnabled()
    assert not shown.ui.installHint.isVisible()


def test_the_real_list_with_everything_missing(row, monkeypatch):
    from SemiSegCervicalLib.panel import install

    monkeypatch.setattr(
        install, "find_lacks", lambda packages: [Lack(package) for package in packages if not package.with_slicer]
    )
    shown = row(packages=NEEDED, optional=install.OPENVINO)
    shown.look("everything")
    for name in ("PyTorch 2.6", "MONAI", "pydantic", "safetensors"):
        assert name in shown.ui.installLacks.text
    assert "numpy" not in shown.ui.installLacks.text
    shown.choose(shown.ui.installSource, 1)
    for label in (shown.ui.installIntro, shown.ui.installLacks, shown.ui.installHint):
        assert label.height >= label.heightForWidth(label.width), "it is read whole"


def test_closing_during_an_installation_is_quiet(row, wheels):
    told = []
    shown = row(pip=lambda *told_: told.append(told_))
    application.click(shown.ui.installButton)
    shown.section.close()
    _, on_line, on_end = told[0]
    on_line("late")
    on_end(1)
    assert shown.installed == 0
    assert shown.errors == [None]


def test_opening_the_row_is_quick_and_imports_nothing_heavy(row):
    shown = row(packages=NEEDED)
    assert application.longest_call().seconds < 0.5
    del shown
    code = "import sys\nfrom SemiSegCervicalLib.panel import installing\nprint({'torch', 'monai'} & set(sys.modules))"
    library = UI.parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=library, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
