"""The jobs of ``Testing/run.py``: each is a command run in the environment, and its exit status."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from house.environment import FULL, ROOT, TORCH_FREE, Environment, SetupError, prepare, with_libraries

BENCHMARKS = ROOT / "Testing" / "Benchmarks"
# Tests run on one thread each: two runs then give the same figures, and a shared machine is not overrun.
ONE_THREAD = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
        "VTK_SMP_MAX_THREADS",
    ),
    "1",
)
_MOST_AT_ONCE = 4  # processes of tests; each may take 2 GB
USAGE = """\
usage: python3 Testing/run.py JOB ...

  demo [--out DIR]            the main job on shipped samples, with a report at its end
  test [--without-torch] ...  style, types and tests; what follows goes to pytest, which then runs alone
  bench NAME [--data DIR]     one benchmark; without NAME: which there are

The first call sets up what is needed in a folder of its own in the repository (or in the folder that
SEMISEG_ENV names); the next ones reuse it. `test --without-torch` leaves out PyTorch and what needs it."""


def main(arguments: list[str]) -> int:
    """Run one job and return its exit status: 2 for the user's fault, with one line that says what to do."""
    jobs = {"demo": _demo, "test": _test, "bench": _bench}
    job = arguments[0] if arguments else ""
    if job in ("-h", "--help"):
        print(USAGE)
        return 0
    if job not in jobs:
        fault = f"there is no job named {job}" if job else "a job is missing"
        print(f"{USAGE}\n\nSemiSeg: {fault}. There are: {', '.join(jobs)}.", file=sys.stderr)
        return 2
    try:
        return jobs[job](arguments[1:])
    except SetupError as error:
        print(f"SemiSeg: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nSemiSeg: stopped. The same command starts again where that is possible.", file=sys.stderr)
        return 130


def _demo(rest: list[str]) -> int:
    return _run(prepare(FULL), ["-m", "demo", *rest])


def _bench(rest: list[str]) -> int:
    available = sorted(path.stem for path in BENCHMARKS.glob("*.py") if not path.stem.startswith("_"))
    if not rest or rest[0] not in available:
        wanted = f"there is no benchmark named {rest[0]}" if rest else "a benchmark's name is missing"
        raise SetupError(f"{wanted}. There are: {', '.join(available) or 'none yet'}.")
    return _run(prepare(FULL), [str(BENCHMARKS / f"{rest[0]}.py"), *rest[1:]])


def _test(rest: list[str]) -> int:
    without_torch = "--without-torch" in rest
    rest = [argument for argument in rest if argument != "--without-torch"]
    environment = prepare(TORCH_FREE if without_torch else FULL)
    variables = dict(ONE_THREAD)
    failed = []
    concise = ["--output-format", "concise", "."]
    steps = {"Style": ["ruff", "check", *concise], "Format": ["ruff", "format", "--check", *concise]}
    if not without_torch:  # the types of torch are needed to check those of the rest
        steps["Types"] = ["mypy"]
    for title, command in {} if rest else steps.items():
        started = time.monotonic()
        print(f"{title}: {' '.join(command)}", flush=True)
        if _run(environment, ["-m", *command], variables, ROOT) != 0:
            failed.append(title.lower())
        print(f"  {time.monotonic() - started:.0f} s", flush=True)
    if without_torch:
        variables["SEMISEG_WITHOUT_TORCH"] = "1"
    # The job runs in the repository, so paths that were given relative to somewhere else are made absolute.
    rest = [os.path.abspath(given) if Path(given.split("::")[0]).exists() else given for given in rest]
    # A file's tests stay together: they share what is dear to make.
    every = ["-n", str(min(_MOST_AT_ONCE, _cores())), "--dist", "loadfile"]
    status = _run(environment, ["-m", "pytest", *(rest or every)], variables, ROOT)
    if failed:
        print(f"SemiSeg: {' and '.join(failed)} failed: see above.", file=sys.stderr)
    return status or (1 if failed else 0)


def _cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run(
    environment: Environment,
    command: list[str],
    variables: dict[str, str] | None = None,
    folder: Path | None = None,
) -> int:
    """Run the environment's Python with both libraries on its path and return its exit status."""
    settings = with_libraries(**(variables or {}))
    # Where it is set, it names another Python's library.
    settings.pop("PYTHONHOME", None)
    process = subprocess.Popen([str(environment.python), *command], cwd=folder, env=settings)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue  # the job gets the same signal, cleans up and ends by itself
