"""Seeds as they are written, and the random streams that they stand for."""

from __future__ import annotations

import hashlib


def parse_seeds(text: object) -> tuple[int, ...]:
    """Seeds from "0-4" (inclusive), "0,3", or a list of integers. Repeated ones count once.

    ValueError when it is none of them, or empty.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    if isinstance(text, str):
        found = [seed for part in text.split(",") for seed in _range(part.strip())]
    elif isinstance(text, list | tuple) and all(type(s) is int and s >= 0 for s in text):
        found = list(text)
    else:
        raise ValueError("seeds are a range like '0-4', or a list of non-negative integers")
    if not found:
        raise ValueError(f"'{text}' holds no seed")
    return tuple(dict.fromkeys(found))


def _range(part: str) -> range:
    first, dash, last = part.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        raise ValueError(f"'{part}' is neither a seed nor a range like 0-4")
    return range(int(first), int(last or first) + 1)


def stream(*axes: str | int) -> int:
    """A 63-bit seed from named axes by SHA-256, so that methods are compared on the same draws.

    E.g. stream("batches", subset, 64, "standard", seed). Order and names count; nothing else does.
    """
    text = "\x1f".join(f"{type(axis).__name__}:{axis}" for axis in axes)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
