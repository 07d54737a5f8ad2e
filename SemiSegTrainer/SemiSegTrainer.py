"""Slicer module SemiSegTrainer: for now it says what it will do, and what already works without it."""

from __future__ import annotations

import qt
import slicer
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

COMMAND = "semiseg train DATALIST.json --method cross_supervision --out RUN --minutes 10"


class SemiSegTrainer(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = "SemiSegTrainer"
        parent.categories = ["Segmentation"]
        parent.dependencies = []
        parent.contributors = ["SemiSeg contributors"]
        parent.helpText = (
            "Will fine-tune a segmentation model from the open scene, in which only some slices, frames or segments "
            "are segmented, and will also learn from the images that nobody has segmented. This part is not built "
            "yet: the panel says what works today. To segment with a model, open <b>SemiSegCervical</b>."
        )
        parent.acknowledgementText = (
            "The training methods follow F. Wang, K. Curran, G. Silvestre (arXiv:2503.17057) and "
            "Y. Lu, Y. Wu, R. Kateb, A. Chaddad (arXiv:2505.17690, arXiv:2509.13084)."
        )


class SemiSegTrainerWidget(ScriptedLoadableModuleWidget):
    """A page of text and two buttons."""

    def setup(self):
        """Build the panel."""
        ScriptedLoadableModuleWidget.setup(self)
        page = slicer.util.loadUI(self.resourcePath("UI/SemiSegTrainer.ui"))
        self.layout.addWidget(page)
        self.layout.addStretch(1)
        self.ui = slicer.util.childWidgetVariables(page)
        self.ui.trainerCommand.setText(COMMAND)
        self.ui.trainerCommand.setCursorPosition(0)  # its beginning is shown, not its end
        self.ui.trainerCopy.connect("clicked()", self.copy_command)
        self.ui.trainerSegment.connect("clicked()", self.open_segmenting)

    def cleanup(self):
        """Let go of the buttons."""
        self.ui.trainerCopy.disconnect("clicked()", self.copy_command)
        self.ui.trainerSegment.disconnect("clicked()", self.open_segmenting)

    def copy_command(self):
        """Put the command for training on files on the clipboard."""
        qt.QApplication.clipboard().setText(COMMAND)

    def open_segmenting(self):
        """Go to the module that segments."""
        slicer.util.selectModule("SemiSegCervical")


class SemiSegTrainerTest(ScriptedLoadableModuleTest):
    """Runs in Slicer's own test runner."""

    def runTest(self):
        """Run all tests."""
        self.test_the_page_is_honest()

    def test_the_page_is_honest(self):
        """The panel opens, says that the trainer is not there yet, and copies the command that is."""
        ui = slicer.modules.semisegtrainer.widgetRepresentation().self().ui
        assert "not built yet" in ui.trainerState.text
        ui.trainerCopy.click()
        assert qt.QApplication.clipboard().text() == ui.trainerCommand.text
        assert ui.trainerCommand.readOnly
