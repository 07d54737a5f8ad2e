"""The locks are complete, agree with each other, and leave out what differs by platform."""

from __future__ import annotations

import re

import pytest
from house.environment import REQUIREMENTS


def entries(text: str) -> dict[str, tuple[str, int]]:
    """Return what a lock pins: name and marker, with the version and the number of hashes."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE))
    found = {}
    for line in joined.splitlines():
        if line.strip():
            name, _, rest = line.partition("==")
            version, _, marker = rest.split("--hash")[0].strip().partition(";")
            found[f"{name.strip()} {marker.strip()}".strip()] = (
                version.strip(),
                line.count("--hash=sha256:"),
            )
    return found


FULL = entries((REQUIREMENTS / "full.txt").read_text(encoding="utf-8"))
TORCH_FREE = entries((REQUIREMENTS / "torch-free.txt").read_text(encoding="utf-8"))


@pytest.mark.parametrize("lock", [FULL, TORCH_FREE], ids=["full", "torch-free"])
def test_every_package_has_version_and_hashes(lock):
    assert len(lock) > 40
    assert [name for name, (version, hashes) in lock.items() if not version or not hashes] == []


def test_both_locks_name_the_same_versions():
    assert set(TORCH_FREE) < set(FULL)
    assert {name: TORCH_FREE[name][0] for name in TORCH_FREE} == {name: FULL[name][0] for name in TORCH_FREE}


def test_torch_and_its_cuda_parts_are_in_no_lock():
    parts = re.compile(r"torch$|triton|nvidia-|cuda-")
    assert [name for name in FULL if parts.match(name.split()[0])] == []
    heavy = {"monai", "lightning-fabric", "safetensors", "torchmetrics"}
    assert [name for name in TORCH_FREE if name in heavy] == []


def test_torch_is_pinned_by_itself():
    lines = (REQUIREMENTS / "torch.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["torch==2.13.0"]


def test_an_entry_without_hash_is_seen():
    text = "# note\na==1.0 ; python_version < '3.11' \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\nb==2\n"
    assert entries(text) == {"a python_version < '3.11'": ("1.0", 2), "b": ("2", 0)}
