"""A program whose worker trains, to be killed together with it.

python -m TrainingRig.program MESSAGE TEMPORARY

MESSAGE is a `Train` as JSON. It says the worker's process id and each step that it hears of.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from SemiSegCervicalLib.worker.protocol import Hello
from SemiSegCervicalLib.worker.subprocess_transport import local_client
from SemiSegCervicalLib.worker.validation import build
from SemiSegTrainerLib.worker.protocol import LIBRARIES, SERVER_MODULE, Train


def main(message: str, temporary: str) -> None:
    """Train."""
    place = Path(temporary)
    hello = Hello(modules=(SERVER_MODULE,))
    with local_client(libraries=LIBRARIES, hello=hello, temporary=place, log=place / "worker.log") as client:
        train = build(Train, json.loads(message))
        client.wait(client.submit(train, on_progress=lambda p: print(client.pid, p.stage, p.done, flush=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
