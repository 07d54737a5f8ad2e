"""Start the demo: ``python3 Testing/run.py demo [--out DIR] [--iterations N] [--start PACK] ...``."""

from __future__ import annotations

import time

STARTED = time.monotonic()

import argparse  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from demo import plan  # noqa: E402


def main(arguments: list[str]) -> int:
    """Run the demo and return its exit status: 2 for the user's fault, with one line of cause and remedy."""
    parser = argparse.ArgumentParser(
        prog="run.py demo",
        description="A partly segmented scene teaches a model that segments the rest of it; a report shows how well.",
    )
    parser.add_argument("--out", type=Path, help="new folder for results (default: a fresh one in demo-output/)")
    parser.add_argument("--iterations", type=_positive, default=plan.ITERATIONS, help="of each of the two trainings")
    parser.add_argument("--seed", type=int, default=plan.SEED, help="of everything random")
    parser.add_argument("--device", default="cpu", help="cpu (figures are then the same every time), cuda, mps, auto")
    # Not the shipped model: it has learned from the very images that the demo holds out.
    parser.add_argument("--start", type=Path, metavar="PACK", help="model to fine-tune (default: random weights)")
    chosen = parser.parse_args(arguments)
    out = chosen.out or _fresh_folder(plan.DEFAULT_OUT)
    print("SemiSeg demo: about five minutes on two cores. Loading PyTorch and the scene library ...", flush=True)

    from SemiSegCervicalLib.errors import SemiSegError

    from demo.job import run_demo

    options = plan.DemoOptions(out, chosen.iterations, chosen.seed, chosen.device, chosen.start)
    try:
        summary = run_demo(options, STARTED)
    except SemiSegError as error:
        print(f"SemiSeg: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nSemiSeg: stopped. What was finished so far is in {out}.", file=sys.stderr)
        return 130
    print(_closing_words(summary, out.resolve()))
    return 0


def _closing_words(summary: dict, out: Path) -> str:
    paired = summary["paired_difference"]
    before = f", before {summary['dice_before']:.3f}" if summary["dice_before"] is not None else ""
    paths = summary["paths"]
    lines = [
        "",
        f"Dice on {paired['images']} held-out images: {summary['dice_after']:.3f}{before}; "
        f"without the unlabelled images {summary['dice_supervised']:.3f} ({paired['mean']:+.3f} by them, "
        f"better on {paired['better']} of {paired['images']}).",
        f"{summary['images_segmented']} images segmented; {summary['seconds']:.0f} s in all.",
        "",
        f"  Report         {out / paths['report']}",
        f"  Scene          {out / paths['scene']}   (open it in 3D Slicer)",
        f"  Model          {out / paths['model']}",
        f"  Segmentations  {out / paths['segmentations']}",
        f"  Label maps     {out / paths['labels']}",
        f"  Uncertainty    {out / paths['uncertainty']}",
        f"  Training data  {out / paths['training_set']}",
        f"  Summary        {out / plan.SUMMARY}",
    ]
    return "\n".join(lines)


def _fresh_folder(parent: Path) -> Path:
    number = 1
    while (parent / f"run-{number}").exists():
        number += 1
    return parent / f"run-{number}"


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("it must be 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
