"""SemiSegCervical: segment what is loaded, and see where not to trust it."""

import sys
from pathlib import Path

import slicer
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

# What the panel consists of is imported when it is first opened: Slicer reads this file at every start.


class SemiSegCervical(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "SemiSegCervical"
        # As Slicer's own modules say it: in another language the menu would else have the folder twice.
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["The SemiSeg contributors"]
        self.parent.helpText = (
            "Segments volumes, single images and ultrasound cine with a pair of networks, and shows where their result "
            "should not be trusted. Choose an image, choose a model, press Apply. To train a model on images of your "
            "own, open <b>SemiSegTrainer</b>. SemiSeg is a research tool and not a medical device: look at every "
            "result before using it."
        )
        self.parent.acknowledgementText = (
            "The networks' building blocks come from MONAI, their computation from PyTorch."
        )
        slicer.app.connect("startupCompleted()", register_samples)


def register_samples():
    """Offer the samples that come along in Slicer's Sample Data module, which is loaded by now."""
    import SampleData
    from SemiSegCervicalLib import samples

    icons = Path(slicer.util.modulePath("SemiSegCervical")).parent / "Resources" / "Icons"
    for source in samples.sources(icons):
        SampleData.SampleDataLogic.registerCustomSampleDataSource(**source)


class SemiSegCervicalWidget(ScriptedLoadableModuleWidget):
    """Slicer's side of the panel; `SemiSegCervicalLib.panel.widget.Panel` is the panel."""

    def __init__(self, parent=None):
        self.logic = self.panel = None  # before Slicer, which calls setup here where there is no parent
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        """Build the panel; nothing is installed or started."""
        ScriptedLoadableModuleWidget.setup(self)
        from SemiSegCervicalLib.panel.widget import Panel

        self.logic = SemiSegCervicalLogic()
        self.panel = Panel(self.layout, self.logic, self.resourcePath)
        # When Slicer ends, cleanup comes first; this is for where it does not come at all.
        slicer.app.connect("aboutToQuit()", self.logic.close)

    def enter(self):
        """The module is shown."""
        if self.panel is not None:
            self.panel.enter()

    def exit(self):
        """Another module is shown."""
        if self.panel is not None:
            self.panel.exit()

    def cleanup(self):
        """End everything: the module is reloaded, or Slicer ends."""
        panel, self.panel = self.panel, None
        if panel is not None:
            panel.close()
        if self.logic is not None:
            slicer.app.disconnect("aboutToQuit()", self.logic.close)
            self.logic.close()

    def onReload(self):
        """Reload the library too, which Slicer would keep as it is."""
        for name in [name for name in sys.modules if name.partition(".")[0] == "SemiSegCervicalLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class SemiSegCervicalLogic(ScriptedLoadableModuleLogic):
    """For scripts, and what the panel works with.

    from SemiSegCervical import SemiSegCervicalLogic
    logic = SemiSegCervicalLogic()
    record = logic.process(volumeNode, model="cervix")
    print(record.segmentation.GetName(), record.run["seconds"])
    logic.close()
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        from SemiSegCervicalLib.panel.jobs import Jobs

        self.jobs = Jobs()

    def process(
        self,
        volumeNode,
        model=None,
        device="auto",
        frames=None,
        slicesAsFrames=False,
        replace=None,
        uncertainty=True,
        waitForCompletion=True,
        onProgress=None,
    ):
        """Segment an image; works without the panel.

        Args:
            volumeNode: a volume; for a cine its sequence, its browser, or the volume that shows its current frame. For
                a model that reads several images a list of them in its order, None for what is not there.
            model: an installed model's name or the path of a file; None for the only one that is installed.
            device: "auto", "gpu" or "cpu".
            frames: numbers of the frames of a cine, from 0, in the order in which they are wanted; None for all.
            slicesAsFrames: segment each slice of a volume by itself, with a model for single images.
            replace: segmentation node whose segments give way to the result; by default there is a new one.
            uncertainty: also make a map of where the model is unsure, in percent.
            waitForCompletion: return when it is done. Otherwise Slicer's event loop does the work.
            onProgress: called with the job (`SemiSegCervicalLib.panel.segmenting.Segmenting`) whenever it has changed.

        Returns:
            The result (`SemiSegCervicalLib.scene.records.Record`: `segmentation`, `uncertainty`, `table`, ...); the job
            where it is not waited for: its `record` grows, and it can be cancelled.

        Raises:
            SemiSegError: why it cannot be done or failed, with `cause` and `remedy`.
        """
        return self.jobs.process(
            volumeNode, model, device, frames, slicesAsFrames, replace, uncertainty, waitForCompletion, onProgress
        )

    def close(self):
        """Cancel what runs and end the process that computes; it is started again when it is needed."""
        self.jobs.close()


class SemiSegCervicalTest(ScriptedLoadableModuleTest):
    """The module's own test; the repository's tests look much closer."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        """Run everything."""
        from SemiSegCervicalLib.panel import selftest

        for test in (selftest.panel_opens, selftest.image_is_segmented_or_lack_is_said):
            self.setUp()
            test()
        self.delayDisplay("Test passed")
