"""The worker process, started by its path; only the standard library is needed to begin.

python -X utf8 -s -u server.py PRIVATE_FOLDER LIBRARY_FOLDER...

Not isolated (``-I``): an installed Slicer has its Python in ``bin`` and the library of that in ``lib/Python``, where it
is found by PYTHONHOME alone, which isolation ignores.
"""

import os
import sys


def own_path(path: list[str], others: str) -> list[str]:
    """Return Python's path without the folder of this file and what PYTHONPATH (`others`) added from outside of Python.

    Slicer's own folders are there, and whatever a user has set for another Python.
    """

    def plain(folder: str) -> str:
        return os.path.normcase(os.path.realpath(folder))

    homes = {plain(prefix) for prefix in (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)}
    foreign = {plain(folder) for folder in others.split(os.pathsep) if folder}
    foreign = {folder for folder in foreign if not any(folder.startswith(os.path.join(home, "")) for home in homes)}
    foreign.add(plain(os.path.dirname(__file__)))
    return [folder for folder in path if folder and plain(folder) not in foreign]


def main(folder: str, *libraries: str) -> None:
    """Put the libraries on the path, which other programs' interpreters do not know, and serve."""
    sys.path[:] = [*libraries, *own_path(sys.path, os.environ.get("PYTHONPATH", ""))]
    from pathlib import Path

    from SemiSegCervicalLib.worker.server_main import serve

    serve(Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
