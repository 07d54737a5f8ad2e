"""Run the demo, the tests or a benchmark; on a fresh machine everything they need is set up first.

python3 Testing/run.py demo [--out DIR]
python3 Testing/run.py test [--without-torch] [pytest arguments]
python3 Testing/run.py bench NAME [--data DIR]
"""

import sys

# This file alone must be readable by every Python 3, so that an old one gets a sentence and not a traceback.
if sys.version_info < (3, 10):  # noqa: UP036
    sys.exit(
        "SemiSeg: this is Python %d.%d, and SemiSeg needs 3.10 or newer. "  # noqa: UP031
        "Run the same command with a newer one, for example python3.12." % sys.version_info[:2]
    )

from house.jobs import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
