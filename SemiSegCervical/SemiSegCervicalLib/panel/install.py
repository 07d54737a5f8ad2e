"""The panel's first row: what is missing, and the button that installs it. It is shown only while something is."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer

from ..errors import SemiSegError
from ..packages import NEEDED, OPENVINO, TORCH, Lack, Package, find_lacks
from .connections import Connections
from .installing import EXTENSION, EXTENSION_CPU, PIP, Choice, Installing, Pip, download_command, has_extension

_ONLINE, _FOLDER = 0, 1
_TORCH_BY = (EXTENSION, EXTENSION_CPU, PIP)
_LINE_LENGTH = 90


class InstallSection:
    """Shows what is missing, asks, installs, and tells the panel when everything is there."""

    def __init__(
        self,
        ui: Any,
        *,
        on_installed: Callable[[], None],
        on_error: Callable[[SemiSegError | None], None],
        confirm: Callable[[str], bool] | None = None,
        packages: Sequence[Package] = NEEDED,
        optional: Package | None = OPENVINO,
        pip: Pip | None = None,
    ) -> None:
        """Fill the row; nothing is installed before the user presses *Install* and agrees.

        Args:
            ui: the widgets of ``SemiSegCervicalInstall.ui``.
            on_installed: called after a successful installation: the worker must be started anew.
            on_error: shows what went wrong; with None, what it shows is out of date.
            confirm: asks before anything is installed; None for Slicer's own question.
            packages: what the module needs.
            optional: what it can do without, offered beside; None for nothing.
            pip: runs pip; None for Slicer's own.
        """
        self._ui, self._on_installed, self._on_error = ui, on_installed, on_error
        self._confirm = confirm or _confirm
        self._packages, self._optional, self._pip = tuple(packages), optional, pip
        self._running: Installing | None = None
        self._last: Installing | None = None
        self._busy = False
        self._offered = self._suggested = False
        self._fresh = True  # what was seen when it was made still holds
        ui.installSource.addItems(["From the internet", "From a folder (without internet)"])
        ui.installTorch.addItems(
            [
                "By its extension, for this graphics card",
                "By its extension, processor only",
                "Without the extension, by pip",
            ]
        )
        if not has_extension():
            ui.installTorch.setCurrentIndex(_TORCH_BY.index(PIP))
        self._connections = Connections(
            (ui.installSource, "currentIndexChanged(int)", self._show),
            (ui.installTorch, "currentIndexChanged(int)", self._show),
            (ui.installOptional, "toggled(bool)", self._show),
            (ui.installFolder, "directoryChanged(QString)", self._show),
            (ui.installExtensions, "clicked()", _open_extension_manager),
            (ui.installButton, "clicked()", self._install),
            (ui.installCommand, "clicked()", self._copy_command),
            (ui.installReport, "clicked()", self._copy_report),
        )
        ui.installReport.setVisible(False)
        ui.installProgress.setVisible(False)
        self.look()

    @property
    def complete(self) -> bool:
        """Whether everything that the module needs was there when last looked."""
        return not self._lacks

    @property
    def running(self) -> bool:
        """Whether an installation is under way."""
        return self._running is not None

    @property
    def can_offer(self) -> bool:
        """Whether the optional package is missing while all else is there."""
        return not self._lacks and self._optional_lacking

    def offer(self) -> None:
        """Show the row although nothing is missing but the optional package."""
        if self.can_offer:
            self._offered = True
            self._ui.installOptional.setChecked(True)
            self._show()

    def enter(self) -> None:
        """The module was opened: packages may have come or gone since it was opened last."""
        if not self._fresh:
            self.look()
        self._fresh = False

    def look(self) -> list[Lack]:
        """Look again at what is there, show it, and return what is missing; takes a few milliseconds."""
        self._lacks = find_lacks(self._packages)
        self._optional_lacking = bool(self._optional and find_lacks([self._optional]))
        self._show()
        return self._lacks

    def refresh(self, state: Any) -> None:
        """Follow the panel: while it computes (`state.busy`) nothing is installed under it.

        Where the worker (`state.welcome`) has found no graphics card that works, what makes the processor faster is
        suggested, in one folded line.
        """
        if bool(state.busy) != self._busy:
            self._busy = bool(state.busy)
            self._show()
        if state.welcome is not None and not self._suggested:
            self._suggested = True
            if not state.welcome.working_cards and self.can_offer:
                self.offer()
                self._ui.installBox.collapsed = True

    def close(self) -> None:
        """Disconnect; an installation under way ends by itself."""
        self._connections.close()
        if self._running is not None:
            self._running.forget()
            self._running = None

    def _choice(self) -> Choice:
        ui = self._ui
        wants_optional = self._optional is not None and self._optional_lacking and ui.installOptional.checked
        return Choice(
            lacks=tuple(self._lacks),
            extras=(self._optional,) if wants_optional and self._optional else (),
            # Before one is chosen it is ".", of which nobody knows where it is.
            folder=Path(ui.installFolder.directory).absolute() if ui.installSource.currentIndex == _FOLDER else None,
            torch=_TORCH_BY[ui.installTorch.currentIndex],
        )

    def _show(self, _: Any = None) -> None:
        ui = self._ui
        ui.installBox.setVisible(bool(self._lacks) or self._offered or self.running)
        extra = self._optional.label if self._optional is not None else ""
        ui.installBox.text = "Install what is missing" if self._lacks else f"Could be faster: install {extra}"
        choice = self._choice()
        online, torch = choice.folder is None, TORCH in choice.packages
        ui.installIntro.setText(
            "SemiSeg computes with free Python packages that Slicer does not bring along. "
            "Nothing is downloaded before you press Install."
            if self._lacks
            else "Everything needed is installed."
        )
        ui.installLacks.setText(_table(self._lacks, choice))
        ui.installLacks.setVisible(bool(self._lacks))
        for widget in (ui.installTorchLabel, ui.installTorch):
            widget.setVisible(online and torch)
        for widget in (ui.installFolderLabel, ui.installFolder, ui.installCommand):
            widget.setVisible(not online)
        wants_extension = online and torch and choice.torch != PIP and not has_extension()
        ui.installHint.setText(_hint(choice, wants_extension))
        ui.installHint.setVisible(bool(ui.installHint.text))
        ui.installExtensions.setVisible(wants_extension and _has_extension_manager())
        ui.installOptional.setVisible(self._optional_lacking)
        if self._optional is not None:
            also = "Also " if self._lacks else ""
            size = f"{self._optional.megabytes} MB"
            ui.installOptional.setText(f"{also}{extra} ({size}): {self._optional.purpose}")
        why_not = self._why_not(choice, wants_extension)
        ui.installButton.setEnabled(not why_not)
        ui.installButton.setToolTip(why_not or "Asks once more before anything is installed")
        for widget in (ui.installSource, ui.installTorch, ui.installFolder, ui.installOptional):
            widget.setEnabled(not self.running)

    def _why_not(self, choice: Choice, wants_extension: bool) -> str:
        if self.running:
            return "An installation is running"
        if self._busy:
            return "Wait until the segmentation is done, or cancel it"
        if wants_extension:
            return "The PyTorch extension is not installed: install it first, or choose PyTorch without it"
        own = [lack for lack in choice.lacks if lack.package.with_slicer]
        if not choice.packages and not own:
            return "Nothing is chosen"
        return ""

    def _install(self) -> None:
        choice = self._choice()
        if self.running or not self._confirm(choice.question):
            return
        self._on_error(None)
        self._running = self._last = Installing(choice, self._line, self._ended, self._pip)
        self._ui.installReport.setVisible(False)
        self._ui.installProgress.setVisible(True)
        self._show()
        self._running.start()

    def _line(self, line: str) -> None:
        line = " ".join(line.split())
        if line:
            self._ui.installStatus.setText(line if len(line) <= _LINE_LENGTH else f"{line[: _LINE_LENGTH - 1]}…")

    def _ended(self, error: SemiSegError | None) -> None:
        self._running = None
        self._offered = False
        self._ui.installProgress.setVisible(False)
        self._ui.installReport.setVisible(error is not None)
        self._ui.installStatus.setText("" if error is None else "Not installed: the message says why.")
        self.look()
        if error is not None:
            self._on_error(error)
        else:
            self._on_installed()

    def _copy_command(self) -> None:
        _copy(download_command(self._choice().packages))
        self._ui.installStatus.setText(
            "Copied. Run it on a computer of the same kind with internet and the same Slicer, where Slicer's "
            "program PythonSlicer lies; then bring the folder semiseg-wheels here."
        )

    def _copy_report(self) -> None:
        if self._last is not None:
            _copy(self._last.report())
            self._ui.installStatus.setText("The report is copied: paste it where you ask for help.")


def _table(lacks: Sequence[Lack], choice: Choice) -> str:
    rows = []
    for lack in lacks:
        if lack.package is TORCH:
            size = Choice((lack,), folder=choice.folder, torch=choice.torch).download.removeprefix("about ")
        else:
            size = f"{lack.package.megabytes} MB" if lack.package.megabytes else "comes with newer Slicer versions"
        cells = (lack.text, lack.package.purpose, "" if choice.folder else size)
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}&nbsp;&nbsp;</td>" for cell in cells) + "</tr>")
    return f"<table>{''.join(rows)}</table>"


def _hint(choice: Choice, wants_extension: bool) -> str:
    if wants_extension:
        return (
            "The PyTorch extension is not installed yet. Open the Extension Manager, install PyTorch and restart "
            "Slicer; or choose PyTorch without the extension."
        )
    if choice.folder is not None:
        return (
            "A folder with the packages' files (.whl), filled on a computer with internet and the same Slicer. "
            "The button copies the command that fills it."
        )
    return ""


def _confirm(question: str) -> bool:
    return bool(slicer.util.confirmOkCancelDisplay(question, "SemiSeg: install packages"))


def _copy(text: str) -> None:
    qt.QApplication.clipboard().setText(text)


def _has_extension_manager() -> bool:
    return hasattr(slicer.app, "openExtensionsManagerDialog")


def _open_extension_manager() -> None:
    slicer.app.openExtensionsManagerDialog()
