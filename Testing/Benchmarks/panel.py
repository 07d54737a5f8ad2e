"""The panel with large images: how long it holds the main thread, also while it saves, how soon there is something to
see, how it cancels.

python3 Testing/run.py bench panel [--edge N] [--frames N] [--cancels K] [--seed S]

The module runs in the headless Slicer of the tests, on real MRML and the real worker; in Slicer itself drawing the
views comes on top. A cine is segmented with the shipped cervix model, a volume with two small untrained 3D branches,
whose result is noise: what it costs to show one does not depend on what it shows. Writes
Testing/Benchmarks/results/panel.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _command import said
from _panel_driver import SegmentingDriver
from _results import RESULTS, load_average, machine_in_words, versions_of, write
from SlicerRig import application

FRAME = (600, 800)
LIMIT_SECONDS = 2.0
MODULES = ("SemiSegCervical", "SemiSegTrainer")
EMPTY_MODULE = """
from slicer.ScriptedLoadableModule import ScriptedLoadableModule, ScriptedLoadableModuleWidget
class Nothing(ScriptedLoadableModule):
    pass
class NothingWidget(ScriptedLoadableModuleWidget):
    pass
"""


def main() -> int:
    """Run the benchmark and write its result; the status is 1 where a cancellation was slow or left something."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edge", type=int, default=256, help="of the volume, in voxels")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--cancels", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS / "panel.json")
    parser.add_argument("--make-pack", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--open", choices=MODULES, help=argparse.SUPPRESS)
    parser.add_argument("--prepared", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make_pack:
        make_pack(options.make_pack)
        return 0
    if options.open:
        open_once(options.open, options.prepared)
        return 0
    if reason := application.why_not():
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        os.environ.update(SEMISEG_MODELS=str(place / "models"), XDG_DATA_HOME=str(place / "data"))
        (place / "models").mkdir()
        pack = place / "models" / "volume.semiseg"
        # In a process of its own: this one stays free of PyTorch, as Slicer's does.
        subprocess.run([sys.executable, __file__, "--make-pack", str(pack)], check=True)
        result = measure(place, options)
    result.update(
        benchmark="panel",
        command=said(),
        data=f"random: a volume of {options.edge} cubed (int16), {options.frames} frames of {FRAME[0]} x {FRAME[1]}",
        networks="cine: the shipped cervix model; volume: two small untrained branches, windows of 64 cubed",
        seed=options.seed,
        machine=machine_in_words(),
        load_at_the_end=load_average(),
        versions=versions_of("slicer-core", "vtk", "PySide6-Essentials", "numpy", "torch"),
    )  # fmt: skip
    write(options.out, result)
    print(json.dumps({key: value for key, value in result.items() if key != "cancels"}, indent=1))
    return 1 if result["cancels_bad"] else 0


def make_pack(path: Path) -> None:
    """Write the model of the volume."""
    from SemiSegCervicalLib.engine.pack import save_pack
    from SemiSegCervicalLib.engine.schema import InputSpec
    from TrainingRig import parts

    spec = InputSpec(spatial_dims=3, modalities=("ct",), sampling="windows", size=(64, 64, 64), overlap=0.25)
    save_pack(path, parts.pack(spec=spec))


def measure(place: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Open the panel, let it work, cancel it."""
    result: dict[str, Any] = {"opening": {module: opening(module, place) for module in MODULES}}
    application.start()
    temporary = place / "temporary"
    temporary.mkdir()
    run = Run(temporary, place / "worker.log", random.Random(options.seed))
    rng = np.random.default_rng(options.seed)
    from SlicerRig import scenes

    voxels = rng.integers(-1000, 1000, (options.edge,) * 3, dtype=np.int16)
    volume = scenes.add_volume(voxels, "volume", np.diag([-1.0, -1.0, 1.0, 1.0]))
    pictures = [rng.integers(0, 255, FRAME, dtype=np.uint8) for _ in range(options.frames)]
    cine, browser = scenes.add_cine(pictures, "cine")
    shown = browser.GetProxyNode(cine)
    del voxels, pictures
    result["cine"] = run.measure(shown, "cervix")
    result["volume"] = run.measure(volume, "volume")
    rows = []
    while len(rows) < options.cancels:
        node, model = run.moment.choice(((shown, "cervix"), (volume, "volume")))
        if (row := run.cancelled(node, model)) is not None:
            rows.append(row)
            print(f"{len(rows)} of {options.cancels}: {row}", flush=True)
    run.close()
    left = [path.name for path in temporary.iterdir()]
    seconds = [row["seconds"] for row in rows]
    bad = [row for row in rows if row["seconds"] > LIMIT_SECONDS or row["files_left"] or row["nodes_left"]]
    return {
        **result,
        "cancel_seconds_median": statistics.median(seconds) if seconds else None,
        "cancel_seconds_longest": max(seconds, default=None),
        "cancels_bad": len(bad),
        "files_left_at_the_end": left,
        "cancels": rows,
    }


def timed(function: Callable[[], Any]) -> dict[str, float]:
    """Return how many seconds something takes, by the clock and of the processor."""
    started, cpu = time.perf_counter(), time.process_time()
    function()
    return {
        "seconds": round(time.perf_counter() - started, 3),
        "processor_seconds": round(time.process_time() - cpu, 3),
    }


def opening(module: str, place: Path) -> dict[str, Any]:
    """Measure how long a module takes to open, in processes of their own: one that finds Python's compiled files, as
    Slicer does from the second time on, and one in which the stand-in Qt layer has seen the module's widgets before, as
    Slicer's own has when its first window is there."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables["PYTHONPYCACHEPREFIX"] = str(place / "compiled")
    found = {}
    for name, prepared in (("compiling", False), ("first", False), ("prepared", True)):
        command = [sys.executable, __file__, "--open", module, *(["--prepared"] if prepared else [])]
        done = subprocess.run(command, check=True, env=variables, stdout=subprocess.PIPE, text=True)
        found[name] = json.loads(done.stdout.splitlines()[-1])
    print(module, found, flush=True)
    return found


def open_once(module: str, prepared: bool) -> None:
    """Open an empty module, then one of ours, and print what it took; leave this process to it."""
    import slicer

    application.start()
    if prepared:
        for path in sorted((Path(__file__).parents[2] / module / "Resources" / "UI").glob("*.ui")):
            slicer.util.childWidgetVariables(slicer.util.loadUI(str(path)))
    with tempfile.TemporaryDirectory() as name:
        empty = Path(name) / "Nothing.py"
        empty.write_text(EMPTY_MODULE, encoding="utf-8")
        found: dict[str, Any] = {"empty": timed(lambda: application.open_module("Nothing", empty))}
    found["module"] = timed(lambda: application.open_module(module))
    found["imports_torch_or_monai"] = bool({"torch", "monai"} & set(sys.modules))
    application.close_module(module)
    found["again"] = timed(lambda: application.open_module(module))
    print(json.dumps(found))


class Run(SegmentingDriver):
    """The opened panel, with what is measured in it."""

    def __init__(self, temporary: Path, log: Path, moment: random.Random) -> None:
        super().__init__(temporary, log)
        self.moment = moment

    def choose(self, node: Any, model: str) -> None:
        """Choose image and model, and wait until Apply can be pressed and the model is loaded."""
        super().choose(node, model)
        from SemiSegCervicalLib.worker.protocol import Load, Model

        client = self.widget.logic.jobs.client
        loading = client.submit(Load(Model(self.panel.models.card.path, "auto")))
        self.until(lambda: loading.ended)
        client.release(loading)

    def measure(self, node: Any, model: str) -> dict[str, Any]:
        """Segment an image from Apply to its end, and say how long that took."""
        self.choose(node, model)
        load = load_average()
        application.reset()
        started = time.perf_counter()
        job = self.apply()
        first = None
        while not job.ended:
            application.process_events(0.01)
            if first is None and job.kept:
                first = time.perf_counter() - started
        total = time.perf_counter() - started
        application.process_events(0.5)
        if job.error is not None:
            sys.exit(str(job.error))
        longest = application.longest_call()
        row = {
            "seconds": round(total, 2),
            "worker_seconds": round(job.seconds, 2),
            "ratio": round(total / job.seconds, 3),
            "longest_call_seconds": round(longest.seconds, 3),
            "longest_call_processor_seconds": round(longest.cpu, 3),
            "longest_call": longest.function,
            "device": job.record.run["device"],
            "backend": job.record.run["backend"],
            "precision": job.record.run["precision"],
            "load": load,
        }
        if first is not None:
            row["first_frame_seconds"] = round(first, 2)
        row["exports"] = self.exports()
        self.forget(job.record)
        print(model, row, flush=True)
        return row

    def exports(self) -> list[dict[str, Any]]:
        """Save all parts of the result that is shown in all formats, and say how long that took."""
        rows, results = [], self.panel.results.ui
        with tempfile.TemporaryDirectory(dir=self.temporary.parent) as folder:
            for part in ("segmentation", "uncertainty", "table"):
                combo = getattr(results, f"{part}FormatComboBox")
                for number in range(combo.count):
                    combo.setCurrentIndex(number)
                    self.panel.export.choose = lambda title, proposal, files: str(Path(folder) / Path(proposal).name)
                    application.reset()
                    started = time.perf_counter()
                    application.click(getattr(results, f"{part}ExportButton"))
                    self.until(lambda: not self.panel.export.active)
                    longest = application.longest_call()
                    said = str(self.ui.messageLabel.text)
                    if not said.startswith("Saved"):
                        sys.exit(said)
                    rows.append(
                        {
                            "part": part,
                            "format": combo.currentText,
                            "seconds": round(time.perf_counter() - started, 2),
                            "longest_call_seconds": round(longest.seconds, 3),
                            "longest_call_processor_seconds": round(longest.cpu, 3),
                            "longest_call": longest.function,
                        }
                    )
        return rows

    def cancelled(self, node: Any, model: str) -> dict[str, Any] | None:
        """Cancel at a random moment; None where it was done before."""
        self.choose(node, model)
        before = self.nodes()
        job = self.apply()
        wait = self.moment.uniform(0.0, 5.0)
        application.process_events(wait)
        if job.ended:
            self.forget(job.record)
            return None
        state, kept = job.state, job.kept
        started = time.perf_counter()
        application.click(self.ui.applyButton)
        self.until(lambda: job.ended and self.ui.applyButton.text == "Apply")
        seconds = time.perf_counter() - started
        application.process_events(0.2)
        if job.record is not None and job.kept:  # frames that were finished stay
            self.forget(job.record)
        after = self.nodes()
        # What is shared by all results stays: the colours. The worker's own folder stays with the worker.
        left = sorted(name for name in after - before if "ColorTable" not in name)
        files = [p.name for folder in self.temporary.iterdir() for p in folder.rglob("*.npy")]
        return {
            "job": model, "after": round(wait, 2), "state": state, "frames": kept, "seconds": round(seconds, 3),
            "nodes_left": left, "files_left": files,
        }  # fmt: skip

    def forget(self, record: Any) -> None:
        """Remove a result."""
        from SemiSegCervicalLib.scene.removing import remove_record

        if record is not None:
            remove_record(record)
        application.process_events(0.2)

    def nodes(self) -> set[str]:
        """Return the ids of all nodes of the scene, without what only the curve of the panel draws with."""
        import slicer

        nodes = slicer.mrmlScene.GetNodes()
        found = [nodes.GetItemAsObject(i) for i in range(nodes.GetNumberOfItems())]
        return {node.GetID() for node in found if not node.GetName().startswith("SemiSegCervical")}


if __name__ == "__main__":
    sys.exit(main())
