"""Where every draw of a run gets its seed from."""

from __future__ import annotations

import hashlib


def mix_seed(*parts: int | str) -> int:
    """Derive an independent 63-bit seed from numbers and names."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "little") >> 1
