"""A computing process uses freed memory again, and gives it back when it waits. Only GNU's C library needs telling."""

import json
import subprocess
import sys

import pytest
from house.environment import with_libraries
from SemiSegCervicalLib import heap

pytestmark = pytest.mark.skipif(heap._gnu() is None, reason="not GNU's C library")
# Blocks as a training of volumes has them: pages that the system had to hand out for them, and what is held after.
# Each is smaller than the least limit that is tried; more than twice as much together is given back by itself.
_TELL = """
import json, resource
from pathlib import Path
import numpy as np
from SemiSegCervicalLib import heap

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    blocks = [np.ones(mib * 2**17) for mib in (30, 30, 30)]
    return sum(block[-1] for block in blocks)

library = heap._gnu()

class Old:  # before version 2.35: blocks of up to 32 MiB can be kept, and no others
    malloc_trim = library.malloc_trim

    def mallopt(self, what, value):
        return 0 if what == heap._MMAP_THRESHOLD and value > 2**25 else library.mallopt(what, value)

if OLD:
    heap._gnu = Old
kept = KEEP and heap.keep_freed_memory()
for _ in range(3):
    step()
before = pages()
for _ in range(10):
    step()
faults, holding = pages() - before, resident()
heap.give_back_freed_memory()
print(json.dumps({"kept": kept, "faults": faults, "given back": holding - resident()}))
"""


def told(keep: bool, old: bool = False, **variables: str) -> dict:
    own = {k: v for k, v in with_libraries().items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    own["NUMPY_MADVISE_HUGEPAGE"] = "0"  # else the system hands out pages of 4 KiB or of 2 MiB, as it has them
    command = [sys.executable, "-c", f"KEEP, OLD = {keep}, {old}\n{_TELL}"]
    child = subprocess.run(command, env={**own, **variables}, capture_output=True, text=True, check=True)
    return json.loads(child.stdout)


@pytest.mark.parametrize("old", [False, True], ids=["this C library", "one before 2.35"])
def test_freed_memory_is_used_again_and_given_back_in_the_end(old):
    kept, left = told(True, old), told(False)
    assert kept["kept"]
    assert kept["faults"] < left["faults"] / 10
    assert kept["given back"] > 50


@pytest.mark.parametrize("variable", [("MALLOC_ARENA_MAX", "8"), ("GLIBC_TUNABLES", "glibc.malloc.arena_max=8")])
def test_who_set_the_allocator_himself_is_left_alone(variable):
    assert not told(True, **dict([variable]))["kept"]


@pytest.mark.torch
def test_the_library_changes_nothing_where_it_is_only_imported():
    code = "from SemiSegCervicalLib import heap; heap._gnu = None\n"  # calling it would fail
    code += "import SemiSegCervicalLib.engine, SemiSegCervicalLib.worker.server_main, SemiSegTrainerLib.cli.app"
    subprocess.run([sys.executable, "-c", code], env=with_libraries(), check=True)
