"""How fast is the engine, against what a user would write with the same networks? And does it stay so as images grow?

    python3 Testing/run.py bench inference [--data DIR] [--pack2d PACK] [--pack3d PACK] [--fresh]

The plain way is both networks in turn through MONAI's sliding windows in eager float32 PyTorch, with the same input
size, windows, overlap and Gaussian weights, then softmax, mean and entropy; one or four windows at once, whatever is
faster. Every comparison runs in one process, the ways in turn, repetition by repetition; figures are medians, ratios
are medians of the repetitions' ratios. Once more in 3D in a process that uses freed memory again, as those of ours do
and a user's do not: it helps PyTorch there, and not OpenVINO. Parts that the work folder holds already for the same
models are skipped (`--fresh` measures them again). Without packs, two are trained for a few minutes and kept; without
data, images are drawn from a seed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
import SemiSegCervicalLib.engine  # noqa: F401  before PyTorch, as in every process of ours
from _command import add_data

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from _inference_parts import (
    FRAME,
    SIZE_2D,
    SIZE_3D,
    VOLUME,
    agreement,
    busy_computer,
    compare,
    frames,
    one_by_one,
    plain,
    plain_frames,
    sized,
    trained,
    volumes,
    where,
)
from _results import RESULTS, read, write
from SemiSegCervicalLib.engine.backends.agreement import TOLERANCE
from SemiSegCervicalLib.engine.backends.runtime import installed_version
from SemiSegCervicalLib.engine.backends.selection import open_backend
from SemiSegCervicalLib.engine.image import Image
from SemiSegCervicalLib.engine.pack import Pack, save_pack
from SemiSegCervicalLib.engine.predict import Predictor

FRAMES_COMPARED, VOLUMES_COMPARED = 24, 2
CINE = 48
SMALL_3D = (48, 64, 64)
# Of 2D and 3D, in the default precision; and in float32.
GOALS, GOAL_F32 = {"2d": 3.0, "3d": 2.5}, 2.0


def main() -> None:
    """Measure what is missing, write the results and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_data(parser)
    parser.add_argument("--pack2d", type=Path, help="a trained 2D model with two branches")
    parser.add_argument("--pack3d", type=Path, help="a trained 3D model with two branches")
    parser.add_argument("--work", type=Path, default=Path(__file__).resolve().parents[2] / "build" / "bench-inference")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a short try-out; its results stay in the work folder")
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    arguments = parser.parse_args()
    if installed_version() is None:
        parser.error("OpenVINO is not installed: pip install openvino")
    bench = Bench(arguments)
    bench.run()
    print(json.dumps({k: v for k, v in bench.results.items() if not isinstance(v, dict)}, indent=1))


class Bench:
    """The parts, one after the other; each stores what it found at once."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.quick = arguments.quick
        self.data = Path(arguments.data) if arguments.data else None
        self.work, self.repeats, self.given = arguments.work, arguments.repeats, (arguments.pack2d, arguments.pack3d)
        self.cache = self.work / "compiled"
        self.file = self.work / ("parts-quick.json" if self.quick else "parts.json")
        self.work.mkdir(parents=True, exist_ok=True)
        if arguments.fresh:
            self.file.unlink(missing_ok=True)
        self.parts: dict[str, Any] = {}
        self.results: dict[str, Any] = {}

    def run(self) -> None:
        """Do every part that is missing."""
        pack2d = sized(trained(2, self.data, self.work, self.given[0]), SIZE_2D, "fit")
        pack3d = trained(3, self.data, self.work, self.given[1])
        self.resume(pack2d, pack3d)
        large, small = sized(pack3d, SIZE_3D, "windows"), sized(pack3d, SMALL_3D, "windows")
        full = sized(pack2d, [-(-n // 32) * 32 for n in FRAME], "fit")
        pictures = frames(self.data, FRAMES_COMPARED)
        scans = volumes(self.data, VOLUMES_COMPARED, VOLUME, pack3d.manifest.input.spacing)
        repeats = 1 if self.quick else self.repeats
        self.part("speed_2d", lambda: self.speed(pack2d, pictures[:4], repeats))
        self.part("speed_2d_cine", lambda: self.cine(pack2d, pictures, repeats))
        self.part("speed_2d_cine_busy", lambda: self.cine_on_a_busy_computer(pack2d, pictures, min(3, repeats)))
        self.part("speed_2d_full_size", lambda: self.speed(full, pictures[:2], repeats))
        self.part("speed_3d", lambda: self.speed(large, scans[:1], min(3, repeats)))
        self.part("speed_3d_small", lambda: self.speed(small, [self.cropped(scans[0])], min(3, repeats)))
        given = [self.data] if self.data else []
        self.part("speed_3d_kept", lambda: self.child("kept", large, min(3, repeats), *given))
        self.part("agreement_2d", lambda: self.agreement(pack2d, pictures))
        self.part("agreement_3d", lambda: self.agreement(large, scans))
        self.part("frame", lambda: self.frame(pack2d, pictures))
        for count in (10, 100, 1000):
            self.part(f"frames_{count}", lambda n=count: self.child("frames", pack2d, n))
        for side, windows in ((128, 0), (256, 0), (384, 100), (512, 0)):
            windows = 12 if self.quick else windows
            self.part(f"volume_{side}", lambda n=side, w=windows: self.child("volume", large, n, w))
        self.write()

    def resume(self, *packs: Pack) -> None:
        """Take over what was measured on the same models, images, versions and machine."""
        digest = hashlib.sha256()
        for pack in packs:
            for branch in pack.branches:
                for tensor in branch.network.state_dict().values():
                    digest.update(tensor.numpy().tobytes())
        about = {"models": digest.hexdigest(), "data": str(self.data), **where(), "repeats": self.repeats}
        if (found := read(self.file)).get("about") == about:
            self.parts = found
        self.parts["about"] = about

    def part(self, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Measure one part unless it is there, and store it with the machine's load at its start."""
        if name in self.parts:
            return
        load, started = os.getloadavg()[0], time.monotonic()
        found = measure()
        self.parts[name] = {**found, "load_before": round(load, 2), "took": round(time.monotonic() - started, 1)}
        write(self.file, self.parts)
        print(f"{name}: {json.dumps(self.parts[name])[:300]}", flush=True)

    def predictor(self, pack: Pack, precision: str) -> Predictor:
        """Return the engine on OpenVINO, compiled; ``auto`` decides by the images that it is given first."""
        return Predictor(pack, backend=open_backend(pack, "cpu", "openvino", precision, self.cache))

    def speed(self, pack: Pack, images: Sequence[Image], repeats: int) -> dict[str, Any]:
        """Time the plain way and ours in turn."""
        default, exact = self.predictor(pack, "auto"), self.predictor(pack, "float32")
        ways = {"plain": plain(pack), "default": default.predict, "f32": exact.predict}
        if pack.manifest.input.sampling == "windows":
            # Several at once spare PyTorch its slow convolution of single volumes; large windows may take longer.
            ways["plain, 4 windows at once"] = plain(pack, batch=4)
        backend = default.backend
        return {
            **compare({name: one_by_one(way) for name, way in ways.items()}, images, repeats),
            "precision": backend.precision, "backend": backend.name, "notes": backend.notes,
            "size": list(pack.manifest.input.size),
        }  # fmt: skip

    def cine(self, pack: Pack, images: Sequence[Image], repeats: int) -> dict[str, Any]:
        """Time the frames of a cine: one after the other or four at once in the plain way, ours as a cine."""
        frames = [images[k % len(images)] for k in range(CINE)]
        default, exact = self.predictor(pack, "auto"), self.predictor(pack, "float32")
        ways: dict[str, Callable[[Sequence[Image]], list[Any]]] = {
            "plain": one_by_one(plain(pack)), "plain, 4 frames at once": plain_frames(pack, 4),
            "default": lambda images: list(default.predict_frames(images)),
            "f32": lambda images: list(exact.predict_frames(images)),
        }  # fmt: skip
        return {
            **compare(ways, frames, repeats), "frames": CINE, "precision": default.backend.precision,
            "backend": default.backend.name, "notes": default.backend.notes, "size": list(pack.manifest.input.size),
        }  # fmt: skip

    def cine_on_a_busy_computer(self, pack: Pack, images: Sequence[Image], repeats: int) -> dict[str, Any]:
        """Time the frames of a cine while other processes want the cores: ours as a cine, and frame by frame."""
        frames = [images[k % len(images)] for k in range(CINE)]
        default = self.predictor(pack, "auto")
        ways: dict[str, Callable[[Sequence[Image]], list[Any]]] = {
            "plain": one_by_one(plain(pack)), "plain, 4 frames at once": plain_frames(pack, 4),
            "default": lambda images: list(default.predict_frames(images)),
            "frame by frame": one_by_one(default.predict),
        }  # fmt: skip
        with busy_computer():
            found = compare(ways, frames, repeats)
        return {**found, "frames": CINE, "others": os.cpu_count(), "precision": default.backend.precision}

    def agreement(self, pack: Pack, images: Sequence[Image]) -> dict[str, Any]:
        """Compare whole predictions on the images' own grids with float32 PyTorch: both precisions of ours."""
        reference = Predictor(pack, backend=open_backend(pack, "cpu", "torch", "float32"))
        default = self.predictor(pack, "auto")
        found: dict[str, Any] = {}
        wanted = [reference.predict(image) for image in images]
        for name in ("bfloat16", "float32"):
            predictor = self.predictor(pack, name)
            found[name] = agreement([predictor.predict(image) for image in images], wanted, TOLERANCE)
        stored = default.backend.agreement
        return {
            **found, "images": len(images), "chosen": default.backend.precision,
            "stored": stored.as_dict() if stored else None,
            "foreground": float(np.mean([(p.labels > 0).mean() for p in wanted])),
        }  # fmt: skip

    def frame(self, pack: Pack, images: Sequence[Image]) -> dict[str, Any]:
        """Time single frames, each a call of its own."""
        predictor = self.predictor(pack, "auto")
        times = []
        for repeat in range(3):
            for image in images:
                started = time.perf_counter()
                predictor.predict(image)
                if repeat:
                    times.append(1000 * (time.perf_counter() - started))
        return {
            "ms": median(times), "ms_95": float(np.percentile(times, 95)), "ms_least": min(times),
            "precision": predictor.backend.precision,
        }  # fmt: skip

    def child(self, kind: str, pack: Pack, *more: object) -> dict[str, Any]:
        """Measure in a process of its own."""
        path = save_pack(self.work / f"{kind}.semiseg", pack, overwrite=True)
        # Compiled here, so that the child's memory is that of every later use.
        precision = self.predictor(pack, "auto").backend.precision
        script = Path(__file__).with_name("_inference_child.py")
        command = [sys.executable, str(script), kind, str(path), str(self.cache), precision, *map(str, more)]
        return json.loads(
            subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()[-1]
        )

    @staticmethod
    def cropped(image: Image) -> Image:
        """Return the inside of a volume, so that small windows take no longer than large ones on the whole."""
        return Image(np.ascontiguousarray(image.array[:, :72, 20:116, 40:136]), image.spacing)

    def write(self) -> None:
        """Put the parts together as the flat results, and draw them."""
        p = self.parts
        chosen = {p["speed_2d"]["precision"], p["speed_3d"]["precision"]}
        precisions = {d: p[f"speed_{d}"]["precision"] for d in ("2d", "3d")}
        per_window = {str(n): p[f"volume_{n}"]["per_window"] for n in (128, 256, 384, 512)}
        self.results = {
            "speedup_cpu_3d": p["speed_3d"]["speedup"]["default"],
            "speedup_cpu_2d": p["speed_2d"]["speedup"]["default"],
            "speedup_cpu_3d_f32": p["speed_3d"]["speedup"]["f32"],
            "speedup_cpu_2d_f32": p["speed_2d"]["speedup"]["f32"],
            "speedup_cpu_3d_memory_kept": p["speed_3d_kept"]["speedup"]["default"],
            "speedup_cpu_3d_memory_kept_f32": p["speed_3d_kept"]["speedup"]["f32"],
            "speedup_cpu_3d_small_windows": p["speed_3d_small"]["speedup"]["default"],
            "speedup_cpu_3d_small_windows_f32": p["speed_3d_small"]["speedup"]["f32"],
            "speedup_cpu_2d_cine": p["speed_2d_cine"]["speedup"]["default"],
            "speedup_cpu_2d_cine_f32": p["speed_2d_cine"]["speedup"]["f32"],
            "speedup_cpu_2d_cine_busy": p["speed_2d_cine_busy"]["speedup"]["default"],
            "speedup_cpu_2d_full_size": p["speed_2d_full_size"]["speedup"]["default"],
            "speedup_cpu_2d_full_size_f32": p["speed_2d_full_size"]["speedup"]["f32"],
            "frame_ms_cpu": p["frame"]["ms"],
            "frame_ms_cpu_95": p["frame"]["ms_95"],
            **{
                f"{what}_{d}": p[f"agreement_{d}"][precisions[d]][what]
                for d in ("3d", "2d")
                for what in ("labels_alike", "uncertainty_alike")
            },
            "precision": chosen.pop() if len(chosen) == 1 else ", ".join(f"{d} {v}" for d, v in precisions.items()),
            "extra_gib_512": p["volume_512"]["extra_gib"],
            "time_per_window": per_window,
            "time_per_window_spread": max(per_window.values()) / min(per_window.values()) - 1,
            "frames_ms": {str(n): p[f"frames_{n}"]["ms"] for n in (10, 100, 1000)},
            "frames_extra_gib": {str(n): p[f"frames_{n}"]["extra_gib"] for n in (10, 100, 1000)},
            "parts": {name: part for name, part in p.items() if name != "about"},
            "data": "fugc and la" if self.data else "drawn",
            "seed": 0,
            **where(),
            "command": "python3 Testing/run.py bench inference" + (" --data DIR" if self.data else ""),
        }  # fmt: skip
        folder = self.work if self.quick else RESULTS
        write(folder / "inference.json", self.results)
        draw(self.results, folder / "inference.png")


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw the ratios with their spread and goals, the growth over volumes, and that over frames."""
    parts = results["parts"]
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(13, 3.8), width_ratios=(1.8, 1, 1), layout="constrained"
    )
    names = ["speed_2d", "speed_2d_cine", "speed_2d_full_size", "speed_3d", "speed_3d_small"]
    titles = ["2D frame,\n{}", "2D cine,\n{}", "2D, full size,\n{}", "3D, windows\n{}", "3D, windows\n{}"]
    for shift, (way, colour) in zip((-0.2, 0.2), (("f32", "#5b8db8"), ("default", "#1f3a5f")), strict=True):
        values = [parts[name]["speedup"][way] for name in names]
        spread = [parts[name]["speedup_spread"][way] for name in names]
        errors = [[v - low for v, (low, _) in zip(values, spread, strict=True)],
                  [high - v for v, (_, high) in zip(values, spread, strict=True)]]  # fmt: skip
        label = "float32" if way == "f32" else f"default ({results['precision']})"
        bars = left.bar(np.arange(len(names)) + shift, values, 0.38, color=colour, label=label, yerr=errors, capsize=3)
        left.bar_label(bars, fmt="%.1f", padding=4, fontsize=8)
    for place, dims in ((0, "2d"), (1, "2d"), (3, "3d")):
        goal = GOALS[dims]
        left.hlines(goal, place + 0.01, place + 0.39, color="#d1495b", lw=2, label="goal" if not place else None)
        left.hlines(GOAL_F32, place - 0.39, place - 0.01, color="#d1495b", lw=2)
    sizes = [" x ".join(map(str, parts[name]["size"])) for name in names]
    left.set_xticks(np.arange(len(names)), [t.format(s) for t, s in zip(titles, sizes, strict=True)], fontsize=8)
    left.set_ylabel("times as fast as the plain way")
    left.set_ylim(0, 1.2 * max(parts[name]["speedup_spread"]["default"][1] for name in names))
    left.legend(fontsize=8)
    left.set_title(f"processor only, threads: {results['machine']['threads']}", fontsize=10)
    sides = list(results["time_per_window"])
    times = [1000 * results["time_per_window"][side] for side in sides]
    middle.plot([int(s) for s in sides], times, "o-", color="#1f3a5f")
    middle.axhspan(times[0] * 0.85, times[0] * 1.15, color="#1f3a5f", alpha=0.1, label="within 15 % of 128 cubed")
    middle.set(xlabel="side of the volume (voxels)", ylabel="ms per window", ylim=(0, 1.4 * max(times)))
    middle.set_xticks([int(s) for s in sides])
    middle.legend(fontsize=8, loc="lower right")
    middle.set_title(f"{results['extra_gib_512'] or 0:.1f} GiB above the image at 512 cubed", fontsize=10)
    counts = list(results["frames_ms"])
    right.plot([int(c) for c in counts], [results["frames_ms"][c] for c in counts], "o-", color="#1f3a5f")
    right.axhline(33, color="#d1495b", lw=1.5, label="goal for one frame")
    right.set(xscale="log", xlabel="frames of a cine", ylabel="ms per frame")
    right.set_ylim(0, 1.4 * max(33, *results["frames_ms"].values()))
    right.legend(fontsize=8, loc="lower right")
    memory = max(results["frames_extra_gib"].values())
    right.set_title(f"a single frame: {results['frame_ms_cpu']:.0f} ms; {memory:.2f} GiB", fontsize=10)
    for axis in (left, middle, right):
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
