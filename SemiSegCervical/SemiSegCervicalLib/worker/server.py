"""The worker process, started by its path; only the standard library is needed to begin.

python -X utf8 -I -u server.py PRIVATE_FOLDER LIBRARY_FOLDER...
"""

import sys
from pathlib import Path


def main(folder: str, *libraries: str) -> None:
    """Put the libraries on the path, which ``-I`` and other programs' interpreters leave out, and serve."""
    sys.path[:0] = libraries
    from SemiSegCervicalLib.worker.server_main import serve

    serve(Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
