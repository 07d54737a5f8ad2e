"""Make, once, an environment of our own with the locked dependencies; find it again the next time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from house.faults import SetupError, disk_fault, explain

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "Testing" / "requirements"
MARK = "semiseg-environment.json"
LIBRARIES = (ROOT / "SemiSegCervical", ROOT / "SemiSegTrainer", ROOT / "Testing")


def with_libraries(**more: str) -> dict[str, str]:
    """Return the environment variables, and `more`, for a Python that is to find what the repository holds."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, LIBRARIES)), **more}


@dataclass(frozen=True)
class Flavour:
    """One set of dependencies: which locks, and what they cost."""

    suffix: str
    locks: tuple[str, ...]
    download: str
    disk_gb: float


FULL = Flavour(
    suffix="",
    locks=("full.txt", "torch.txt"),
    download="about 0.8 GB with a CPU build of PyTorch, about 3.7 GB where pip chooses the CUDA build",
    disk_gb=3.2,
)
TORCH_FREE = Flavour(suffix="-torch-free", locks=("torch-free.txt",), download="about 0.5 GB", disk_gb=2.0)


@dataclass(frozen=True)
class Environment:
    """A folder with a Python of its own; `ready` tells whether its set-up was completed for these locks."""

    folder: Path
    flavour: Flavour

    @property
    def python(self) -> Path:
        """Return the path of the environment's own interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    def fingerprint(self) -> dict[str, str]:
        """Return what the set-up depends on: the locks' contents, the interpreter and the folder."""
        digest = hashlib.sha256()
        for name in self.flavour.locks:
            digest.update((REQUIREMENTS / name).read_bytes())
        version = ".".join(str(part) for part in sys.version_info[:3])
        return {"locks": digest.hexdigest(), "python": version, "folder": str(self.folder)}

    def ready(self) -> bool:
        """Tell whether the folder holds a completed set-up of today's locks whose Python still starts."""
        try:
            mark = json.loads((self.folder / MARK).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        if mark != self.fingerprint():
            return False
        try:
            return subprocess.run([self.python, "-c", ""], capture_output=True).returncode == 0
        except OSError:  # the Python it was made from is gone
            return False


def locate(flavour: Flavour) -> Environment:
    """Name the environment for this Python version: in the repository, or in the folder SEMISEG_ENV names."""
    home = Path(os.environ.get("SEMISEG_ENV") or ROOT).expanduser().resolve()
    name = f".env-{sys.version_info.major}.{sys.version_info.minor}{flavour.suffix}"
    return Environment(home / name, flavour)


def prepare(flavour: Flavour) -> Environment:
    """Return the environment, after setting it up where it is missing, incomplete or made from other locks.

    Raises:
        SetupError: it cannot be made; the message says why and what to do.
    """
    environment = locate(flavour)
    if environment.ready():
        return environment
    try:
        environment.folder.parent.mkdir(parents=True, exist_ok=True)
        with _alone(environment.folder.with_name(environment.folder.name + ".lock")):
            if not environment.ready():  # another call may have made it while this one waited
                _make(environment)
    except OSError as error:
        fault = explain(str(error), log=str(environment.folder.parent))
        raise fault from error
    return environment


def _make(environment: Environment) -> None:
    """Make the folder anew, install the locks, and mark it complete last."""
    folder, flavour = environment.folder, environment.flavour
    started = time.monotonic()
    if folder.exists():
        print(f"The environment in {folder} is incomplete or out of date and is made anew.", flush=True)
        # SEMISEG_ENV may name any place; only what is an environment is ours to remove.
        if any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
            raise SetupError(f"{folder} holds something else than an environment. Move it away and try again.")
        # The mark goes first: were the removal interrupted, the rest must not look complete.
        (folder / MARK).unlink(missing_ok=True)
        shutil.rmtree(folder)
    free = shutil.disk_usage(folder.parent).free / 1e9
    if free < flavour.disk_gb:
        raise disk_fault(flavour.disk_gb, free)
    print(
        f"Setting up an environment in {folder} (only this once; delete the folder to be rid of it).\n"
        f"Download: {flavour.download}. On disk: at least {flavour.disk_gb:.1f} GB. Time: 1 to 5 minutes, "
        "more on a slow network.",
        flush=True,
    )
    steps = len(flavour.locks) + 1
    log = folder.with_name(folder.name + ".log")
    log.unlink(missing_ok=True)
    _step(f"Step 1 of {steps}: an empty environment", [sys.executable, "-m", "venv", str(folder)], log)
    for number, name in enumerate(flavour.locks, start=2):
        pip = [str(environment.python), "-m", "pip", "install", "--no-compile", "--only-binary=:all:"]
        pip += ["--progress-bar=off", "--disable-pip-version-check", "--no-input", "--retries=3"]
        if name == "torch.txt":
            what = (REQUIREMENTS / name).read_text(encoding="utf-8").splitlines()[-1].replace("==", " ")
        else:
            what = "the locked packages, each checked against its hash"
            # A lock is complete by itself, and torch, which monai asks for, is not in it.
            pip += ["--require-hashes", "--no-deps"]
        _step(f"Step {number} of {steps}: {what}", [*pip, "-r", str(REQUIREMENTS / name)], log)
    _step("Checking that the packages fit together", [str(environment.python), "-m", "pip", "check"], log)
    partial = folder / (MARK + ".part")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(environment.fingerprint(), file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / MARK)
    log.unlink()
    print(f"The environment is ready after {_clock(time.monotonic() - started)}.", flush=True)


def _step(title: str, command: list[str], log: Path) -> None:
    """Run one command, show that it is alive, keep its output in the log, and explain its failure."""
    print(f"{title} ...", flush=True)
    started = told = time.monotonic()
    # Settings made for the caller's own Python must not leak into the new one.
    unwanted = {"PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV"}
    variables = {name: value for name, value in os.environ.items() if name not in unwanted}
    output: list[str] = []
    with (
        log.open("a", encoding="utf-8") as file,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**variables, "PYTHONUNBUFFERED": "1"},
            close_fds=False,  # it takes the lock along: see _alone
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                output.append(line)
                file.write(line)
                words = line.strip()
                if words.startswith(("Downloading", "Installing")) and time.monotonic() - told > 10:
                    told = time.monotonic()
                    print(f"  {_clock(told - started)}  {words[:90]}", flush=True)
        except BaseException:
            process.kill()
            raise
    status = process.returncode
    if status != 0:
        raise explain("".join(output), log=str(log))
    print(f"  done in {_clock(time.monotonic() - started)}", flush=True)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock file, so that two calls do not set up one folder at once; even a kill frees it.

    The steps' processes inherit it: were this process killed, the next call waits until they have ended too.
    """
    with path.open("a+b") as file:
        os.set_inheritable(file.fileno(), True)
        if sys.platform == "win32":
            import msvcrt

            while True:
                with contextlib.suppress(OSError):
                    file.seek(0)
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
        else:
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("Another call is setting the environment up; waiting for it ...", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _clock(seconds: float) -> str:
    """Write seconds as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
