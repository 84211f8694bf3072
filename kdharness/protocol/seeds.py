"""Seeds as they are written, and the random streams that they stand for."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field

# Seeds are kept in 64 bits with a sign, by torch and in tables.
LARGEST_SEED = 2**63 - 1
MOST_SEEDS = 10_000

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]


def parse_seeds(text: object) -> tuple[int, ...]:
    """Seeds from "0-4" (inclusive), "0,3", or a list of integers. Repeated ones count once.

    ValueError when it is none of them, empty, or beyond LARGEST_SEED and MOST_SEEDS.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    if isinstance(text, str):
        ranges = [_range(part.strip()) for part in text.split(",")]
        _check_number(sum(max(0, each.stop - each.start) for each in ranges))
        found = [seed for each in ranges for seed in each]
    elif isinstance(text, list | tuple) and all(type(s) is int and s >= 0 for s in text):
        _check_number(len(text))
        found = [*map(_checked, text)]
    else:
        raise ValueError("seeds are a range like '0-4', or a list of non-negative integers")
    if not found:
        raise ValueError(f"'{text}' holds no seed")
    return tuple(dict.fromkeys(found))


def _range(part: str) -> range:
    first, dash, last = part.partition("-")
    if not _is_number(first) or (dash and not _is_number(last)):
        raise ValueError(f"'{part[:60]}' is neither a seed nor a range like 0-4")
    return range(_checked(first), _checked(last or first) + 1)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _checked(seed: str | int) -> int:
    """The seed. ValueError for one that is too large."""
    # Python itself refuses to read numbers of many digits, in other words.
    if (isinstance(seed, str) and len(seed.lstrip("0")) > len(str(LARGEST_SEED))) or int(seed) > LARGEST_SEED:
        raise ValueError(f"a seed is at most {LARGEST_SEED} (63 bits)")
    return int(seed)


def _check_number(seeds: int) -> None:
    if seeds > MOST_SEEDS:
        raise ValueError(f"these are {seeds} seeds, and a run has at most {MOST_SEEDS}")


def stream(*axes: str | int) -> int:
    """A 63-bit seed from named axes by SHA-256, so that methods are compared on the same draws.

    E.g. stream("batches", subset, 64, "standard", seed). Order and names count; nothing else does.
    """
    text = "\x1f".join(f"{type(axis).__name__}:{axis}" for axis in axes)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
