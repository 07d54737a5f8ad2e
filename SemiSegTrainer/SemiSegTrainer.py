"""SemiSegTrainer: train a model from the open scene, from whatever part of it is segmented."""

import sys

import slicer
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)

# What the panel consists of is imported when it is first opened: Slicer reads this file at every start.


class SemiSegTrainer(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "SemiSegTrainer"
        # As Slicer's own modules say it: in another language the menu would else have the folder twice.
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []
        self.parent.contributors = ["The SemiSeg contributors"]
        self.parent.helpText = (
            "Trains a segmentation model from the open scene, in which only some slices, frames or segments are "
            "segmented, and learns from the images that nobody has segmented as well. Everything happens on this "
            "computer. To segment with a model, open <b>SemiSegCervical</b>. SemiSeg is a research tool and not a "
            "medical device: look at every result before using it."
        )
        self.parent.acknowledgementText = (
            "The training methods follow F. Wang, K. Curran, G. Silvestre (arXiv:2503.17057) and "
            "Y. Lu, Y. Wu, R. Kateb, A. Chaddad (arXiv:2505.17690, arXiv:2509.13084)."
        )


class SemiSegTrainerWidget(ScriptedLoadableModuleWidget):
    """Slicer's side of the panel; `SemiSegTrainerLib.panel.widget.Panel` is the panel."""

    def __init__(self, parent=None):
        self.logic = self.panel = None  # before Slicer, which calls setup here where there is no parent
        ScriptedLoadableModuleWidget.__init__(self, parent)

    def setup(self):
        """Build the panel; nothing is installed or started."""
        ScriptedLoadableModuleWidget.setup(self)
        from SemiSegTrainerLib.panel.widget import Panel

        self.logic = SemiSegTrainerLogic()
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
        for name in [name for name in sys.modules if name.partition(".")[0] == "SemiSegTrainerLib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)


class SemiSegTrainerLogic(ScriptedLoadableModuleLogic):
    """For scripts, and what the panel works with.

    from SemiSegTrainer import SemiSegTrainerLogic
    logic = SemiSegTrainerLogic()
    for finding in logic.preflight().findings:
        print(finding.text, finding.remedy)
    version = logic.train(minutes=10, name="Prostate")
    print(version.path, version.summary["validation"])
    logic.close()
    """

    def __init__(self):
        ScriptedLoadableModuleLogic.__init__(self)
        from SemiSegTrainerLib.panel.jobs import Jobs

        self.jobs = Jobs()

    def trainingSet(self):
        """Read the open scene as a training set; nothing in it is changed.

        Returns:
            The images and frames, and what each of them is used for
            (`SemiSegTrainerLib.scene.training_set.TrainingSet`).

        Raises:
            SemiSegError: why it cannot be read, with `cause` and `remedy`.
        """
        from SemiSegTrainerLib.scene.collect import collect_training_set

        return collect_training_set(slicer.mrmlScene)

    def preflight(self, method=None):
        """Say what a training on the open scene would work with, and what would keep it from learning.

        Args:
            method: name of a method; by default the one that suits the scene.

        Returns:
            `SemiSegTrainerLib.scene.facts.Facts`: `findings` with their remedies, the gravest first; `refused` is the
            one for which a training must not start, or None.

        Raises:
            SemiSegError: the scene cannot be read, with `cause` and `remedy`.
        """
        from SemiSegTrainerLib.panel import scripts

        return scripts.preflight(method)

    def train(
        self,
        minutes=10.0,
        iterations=None,
        method=None,
        start=None,
        name="My model",
        size=None,
        spacing=None,
        seed=0,
        device="auto",
        calibrate="auto",
        waitForCompletion=True,
        onProgress=None,
    ):
        """Train on the open scene, and install the model; works without the panel.

        Args:
            minutes: how long everything may take.
            iterations: how many steps, instead of a time.
            method: name of a method; by default the one that suits the scene.
            start: an installed model's name, the path of a file, or "scratch"; by default an installed model that the
                method can train further and that knows exactly the segments of the scene, if there is one.
            name: of the new model; one that is there already is kept as an earlier version.
            size: grid of a new model, in array order; None chooses.
            spacing: voxels of a new 3D model in mm, in array order; None chooses.
            seed: of everything that is drawn.
            device: "auto", "gpu" or "cpu".
            calibrate: "auto", or "none".
            waitForCompletion: return when it is done. Otherwise Slicer's event loop does the work.
            onProgress: called with the training (`SemiSegTrainerLib.panel.training.Training`) whenever it has changed.

        Returns:
            The installed model (`SemiSegTrainerLib.versions.Version`: `name`, `path`, `summary`); the training where it
            is not waited for: it can be paused, kept or discarded.

        Raises:
            SemiSegError: why it cannot be done or failed, with `cause` and `remedy`.
        """
        from SemiSegTrainerLib.panel import scripts

        training = scripts.train(
            self.jobs,
            method=method,
            start=start,
            on_change=onProgress,
            name=name,
            minutes=minutes,
            iterations=iterations,
            size=size,
            spacing=spacing,
            seed=seed,
            device=device,
            calibrate=calibrate,
        )
        return training.wait() if waitForCompletion else training

    def suggestNext(self, model=None, count=4, device="auto"):
        """Say which frames and slices of the open scene teach most if they are annotated next; nothing is changed.

        Args:
            model: whose doubts count: its name, or a file; by default the first installed one that knows exactly the
                segments of the scene, or fits its images where nothing is annotated yet.
            count: how many suggestions at most.
            device: ``auto`` or ``cpu``.

        Returns:
            The best first (`SemiSegTrainerLib.panel.asking.Idea`): `case` and `slice`, `score`, `reasons`, and in
            `labels` what the model draws there.

        Raises:
            SemiSegError: why there are none, with `cause` and `remedy`.
        """
        from SemiSegTrainerLib.panel.asking import suggest_next

        return suggest_next(self.jobs, self.trainingSet(), model, count, device)

    def close(self):
        """Cancel what runs and end the process that computes; it is started again when it is needed."""
        self.jobs.close()


class SemiSegTrainerTest(ScriptedLoadableModuleTest):
    """The module's own test; the repository's tests look much closer."""

    def setUp(self):
        """Begin with an empty scene."""
        slicer.mrmlScene.Clear(0)

    def runTest(self):
        """Run everything."""
        from SemiSegTrainerLib.panel import selftest

        for test in (selftest.panel_opens, selftest.scene_is_read):
            self.setUp()
            test()
        self.delayDisplay("Test passed")
