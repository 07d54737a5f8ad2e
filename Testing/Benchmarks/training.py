"""How fast is a training step, what does it need, and how does it compare with a loop that one writes with MONAI?

    python3 Testing/run.py bench training [--data DIR] [--threads N] [--repeats N] [--methods NAME ...] [--device NAME]
        [--fresh]

Every method on images of 96 x 160 (both networks of a new 2D model) and on windows of 40 x 56 x 56 (a new 3D model):
steps per second, the share of a step that goes into its data, and the peak memory of a process of its own. Then
`supervised` and method A against the same arithmetic with MONAI's transforms item by item in a data loader: reading
files as they come, one forward pass per view; and with cached images and one forward pass. Both with the transforms in
the loop itself and in a worker process of each loader; the faster one is compared. All in one process in turn,
repetition by repetition; figures are medians. On a busy computer the processor's time tells more than the clock's: it
is compared with that of the loops without worker processes, whose time it does not hold. With data images are real
(`DIR/fugc/datalist.json`), else drawn from a seed; volumes are always drawn. Parts that the results hold already at the
same settings are skipped.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from _command import add_data
from _memory import peak
from _results import RESULTS, machine, read, write
from _training_figure import draw
from SemiSegCervicalLib.engine.branch import Branch
from SemiSegCervicalLib.engine.schema import InputSpec
from SemiSegTrainerLib.learning.data import TrainingData, gather_cases, load_training_data
from SemiSegTrainerLib.learning.datalist import Datalist, read_datalist
from SemiSegTrainerLib.learning.method import get_method, method_names
from SemiSegTrainerLib.learning.planning import plan_branches
from SemiSegTrainerLib.learning.targets import every_class
from SemiSegTrainerLib.learning.training import Settings, Training, choose_precision, versions
from TrainingRig import cases

SIZES: dict[str, tuple[int, ...]] = {"2d": (96, 160), "3d": (40, 56, 56)}
GOALS = {"loader": 1.5, "cached": 1.0}
COMPARED = ("supervised", "cross_supervision")
INSIDE, OUTSIDE = "transforms in the loop", "transforms in worker processes"
PICTURE, PICTURES, VOLUME, VOLUMES = (336, 544), (25, 75), (48, 88, 88), (3, 5)


def main() -> None:
    """Measure, write the results and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the arithmetic")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=method_names(), choices=method_names())
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--fresh", action="store_true", help="measure again what is there already")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results: dict[str, Any] = {
        "benchmark": "training",
        "command": "python3 Testing/run.py bench training" + " --data DIR" * bool(arguments.data),
        "machine": {**machine(), "vectors": torch.backends.cpu.get_cpu_capability()},
        "device": arguments.device,
        "threads": arguments.threads,
        "repeats": arguments.repeats,
        "seed": 0,
        "versions": versions(),
        "precision": choose_precision("auto", torch.device(arguments.device)),
        "data": {"2d": "fugc, datalist.json" if arguments.data else f"drawn pictures of {PICTURE}",
                 "3d": f"drawn volumes of {VOLUME}"},
        "sizes": SIZES,
        "goals": GOALS,
    }  # fmt: skip
    file = arguments.out / "training.json"
    before = {} if arguments.fresh else read(file)
    same = all(before.get(k) == v for k, v in json.loads(json.dumps(results)).items())
    results["methods"] = before["methods"] if same else {}
    results["against"] = before["against"] if same else {}

    def store(kind: str, name: str, found: dict[str, Any]) -> None:
        results[kind][name] = found
        write(file, results)
        print(json.dumps({name: found}, indent=1), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        datalist = pictures(arguments.data, Path(folder))
        data = {"2d": load_training_data(datalist, input_of(2)), "3d": volumes()}
        for name in COMPARED:
            if name not in results["against"]:
                store("against", name, against(name, datalist, data["2d"], arguments.repeats, arguments.device))
        for dims in SIZES:
            if set(arguments.methods) - set(results["methods"].get(dims, ())):
                found = methods(arguments.methods, data[dims], arguments.repeats, arguments.device)
                for name, peak in memories(arguments.methods, dims, arguments.device, arguments.threads).items():
                    found[name]["memory_gib"] = peak
                store("methods", dims, found)
    draw(results, arguments.out / "training.png")


def pictures(data: Path | None, folder: Path) -> Datalist:
    """Return real cervix pictures, or write drawn ones of their size."""
    if data is not None:
        return read_datalist(data / "fugc" / "datalist.json")
    return read_datalist(cases.write_pictures(folder, PICTURE, *PICTURES))


def volumes() -> TrainingData:
    """Draw volumes in memory, the first ones labelled."""
    pairs = []
    for number in range(sum(VOLUMES)):
        rng = np.random.default_rng(number)
        z, y, x = (np.linspace(-1, 1, n).reshape([-1 if a == k else 1 for a in range(3)]) for k, n in enumerate(VOLUME))
        inside = z**2 + (y - rng.uniform(-0.2, 0.2)) ** 2 + (x - rng.uniform(-0.2, 0.2)) ** 2 < 0.3
        image = torch.from_numpy((inside + rng.normal(0, 0.5, VOLUME)).astype(np.float32))
        known = torch.from_numpy(np.where(inside, 2, 1).astype(np.int32))
        pairs.append((image[None], known if number < VOLUMES[0] else torch.full_like(known, every_class(2))))
    return gather_cases(pairs, input_of(3), 2)


def input_of(dims: int, modalities: tuple[str, ...] = ("image",)) -> InputSpec:
    """Return what the networks see."""
    if dims == 2:
        return InputSpec(modalities=modalities, size=SIZES["2d"])
    return InputSpec(spatial_dims=3, modalities=modalities, sampling="windows", spacing=(1.0,) * 3, size=SIZES["3d"])


def training(name: str, data: TrainingData, device: str, precision: str = "auto") -> Training:
    """Prepare a run with the networks of a new model."""
    method, dims, modalities = get_method(name), len(data.size), ("image",)
    if method.by_modality:  # a second modality: the first one inverted
        data = replace(data, images=tuple(torch.cat([image, -image]) for image in data.images))
        modalities = ("image", "inverted")
    parts, reads = plan_branches(input_of(dims, modalities), method.by_modality, None)
    classes = int(max(p.max() for p in data.possible)).bit_length()
    torch.manual_seed(0)
    branches = [Branch(n, a, 1, classes, dims, **method.projectors) for n, a in parts]
    settings = Settings(iterations=10**6, precision=precision)
    return Training(branches, method, data, classes, settings, None, device, reads)


def settle(device: torch.device) -> None:
    """Wait until a GPU has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Ours:
    """A run of ours, step by step.

    Attributes:
        waited: seconds spent on views so far.
        ahead: no step's views are made in advance.
    """

    def __init__(self, run: Training) -> None:
        self.run, self.device, self.iteration, self.waited, self.ahead = run, run.device, 0, 0.0, 0
        self.plan = run.plan
        run.plan = self  # type: ignore[assignment]
        for module in run.modules:
            module.train()

    def build(self, *arguments: Any) -> Any:
        """Build the views in place of the plan, and say how long it took."""
        settle(self.device)
        started = time.perf_counter()
        views = self.plan.build(*arguments)
        settle(self.device)
        self.waited += time.perf_counter() - started
        return views

    def step(self) -> None:
        """Do one iteration."""
        self.run.step(self.iteration)
        self.iteration += 1


def in_turn(contenders: dict[str, Any], repeats: int, steps: int) -> dict[str, dict[str, list[float]]]:
    """Let the contenders do some steps each, in turn, repetition by repetition.

    Returns:
        Per contender, seconds per step by the clock and of the processor (this process only), and share of data, of
        every repetition; the first repetition does not count.
    """
    kinds = ("seconds", "processor", "data_share")
    found: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in kinds} for name in contenders}
    for repetition in range(repeats + 1):
        for name, contender in contenders.items():
            for _ in range(contender.ahead):  # what workers made while others had their turn
                contender.step()
            settle(contender.device)
            waited, used, started = contender.waited, time.process_time(), time.perf_counter()
            for _ in range(steps):
                contender.step()
            settle(contender.device)
            seconds = time.perf_counter() - started
            if repetition:
                found[name]["seconds"].append(seconds / steps)
                found[name]["processor"].append((time.process_time() - used) / steps)
                found[name]["data_share"].append((contender.waited - waited) / seconds)
            if contender.ahead:
                time.sleep(2 * contender.ahead * seconds / steps)  # workers work ahead, and then rest
    return found


def methods(names: list[str], data: TrainingData, repeats: int, device: str) -> dict[str, Any]:
    """Measure every method."""
    contenders = {name: Ours(training(name, data, device)) for name in names}
    measured = in_turn(contenders, repeats, steps=4 - len(data.size))
    table = {}
    for name, found in measured.items():
        seconds = median(found["seconds"])
        table[name] = {
            "steps_per_second": round(1 / seconds, 3),
            **steps_of(found),
        }
    return table


def against(name: str, datalist: Datalist, data: TrainingData, repeats: int, device: str) -> dict[str, Any]:
    """Compare a method with the plain loops."""
    from _training_plain import PlainLoop

    classes = len(datalist.classes) + 1
    contenders: dict[str, Any] = {"ours": Ours(training(name, data, device, "32-true"))}
    if choose_precision("auto", torch.device(device)) != "32-true":
        contenders["ours, default precision"] = Ours(training(name, data, device))
    for kind in GOALS:
        for workers in (0, 1):
            contenders[f"{kind}, {OUTSIDE if workers else INSIDE}"] = PlainLoop(
                datalist, SIZES["2d"], classes, kind == "cached", workers, name != "supervised",
                contenders["ours"].device,
            )  # fmt: skip
    measured = in_turn(contenders, repeats, steps=5)
    found: dict[str, Any] = {"contenders": {n: steps_of(m) for n, m in measured.items()}}
    for kind, goal in GOALS.items():
        variants = {n: m["seconds"] for n, m in measured.items() if n.startswith(kind)}
        fastest = min(variants, key=lambda n: median(variants[n]))
        for mine in (n for n in measured if n.startswith("ours")):
            key = f"speedup_over_{kind}" + ("" if mine == "ours" else "_default_precision")
            found[key] = {
                **ratio(variants[fastest], measured[mine]["seconds"]), "against": fastest, "goal": goal,
                "processor": ratio(measured[f"{kind}, {INSIDE}"]["processor"], measured[mine]["processor"])["median"],
            }  # fmt: skip
    return found


def steps_of(measured: dict[str, list[float]]) -> dict[str, float]:
    """Return the medians over the repetitions."""
    names = {"seconds": "seconds_per_step", "processor": "processor_seconds_per_step", "data_share": "data_share"}
    return {name: round(median(measured[kind]), 4) for kind, name in names.items()}


def ratio(theirs: list[float], mine: list[float]) -> dict[str, float]:
    """Return how many times as fast we are: median and range over the repetitions."""
    ratios = [a / b for a, b in zip(theirs, mine, strict=True)]
    return {"median": round(median(ratios), 3), "lowest": round(min(ratios), 3), "highest": round(max(ratios), 3)}


def memories(names: list[str], dims: str, device: str, threads: int) -> dict[str, float]:
    """Return the peak memory of a few steps of every method, each in a process of its own, GiB."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["SemiSegTrainerLib.learning.training", "_training_figure"])
    with processes.Pool(1, maxtasksperchild=1) as pool:
        peaks = pool.starmap(memory, [(n, dims, device, threads) for n in names], 1)
        pool.close()
        pool.join()
    return dict(zip(names, peaks, strict=True))


def memory(name: str, dims: str, device: str, threads: int) -> float:
    """Do three steps on drawn data and return the process's peak memory, or the GPU's where one was used, GiB."""
    torch.set_num_threads(threads)
    if dims == "3d":
        data = volumes()
    else:
        pairs = []
        for number in range(12):
            picture, labels = cases.draw(number, SIZES["2d"])  # type: ignore[arg-type]
            known = torch.from_numpy(1 << labels.astype(np.int32))
            known = known if number < 4 else torch.full_like(known, every_class(3))
            pairs.append((torch.from_numpy(picture[None] / 64.0 - 2).float(), known))
        data = gather_cases(pairs, input_of(2), 3)
    run = Ours(training(name, data, device))
    for _ in range(3):
        run.step()
    if run.run.device.type == "cuda":
        return round(torch.cuda.max_memory_allocated() / 2**30, 3)
    return round(peak(), 3)


if __name__ == "__main__":
    main()
