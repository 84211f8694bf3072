"""Random streams: every seed is derived by SHA-256 from named axes, so that methods are compared on the same draws."""

from __future__ import annotations

import hashlib


def stream(*axes: str | int) -> int:
    """A 63-bit seed from named axes, e.g. stream("batches", subset, 64, "standard", seed). Order and names count;
    nothing else does.
    """
    text = "\x1f".join(f"{type(axis).__name__}:{axis}" for axis in axes)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
