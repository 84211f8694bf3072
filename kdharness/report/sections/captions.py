"""Over what the intervals of a table run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

OF_EACH_SEED = {
    "student+teacher": "a teacher",
    "student+data": "a split",
    "student+teacher+data": "a teacher and a split",
}


def over_seeds(seeding: str, counts: Iterable[int], teacher: str = "") -> str:
    """'over 5 student seeds, one teacher', 'over 5 seeds, each with a teacher and a split of its own'.

    seeding: the column. counts: of seeds, of what the table compares. teacher: the column; "" without one.
    """
    known = sorted({int(count) for count in counts if count})
    if not known:
        return ""
    number = str(known[-1]) if len(known) == 1 else f"{known[0]} to {known[-1]}"
    seeds = "seed" if known[-1] == 1 else "seeds"
    if seeding in OF_EACH_SEED:
        return f"over {number} {seeds}, each with {OF_EACH_SEED[seeding]} of its own"
    same = "" if not teacher else ", the same teachers" if "+" in teacher else ", one teacher"
    return f"over {number} student {seeds}{same}"


def over_seeds_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """The same of rows that may have several rules, each said once; rows without a value say nothing."""
    counts: dict[tuple[str, str], list[int]] = {}
    for row in rows:
        counts.setdefault((str(row["seeding"]), str(row["teacher"])), []).append(int(row["n"]))
    return "; ".join(dict.fromkeys(filter(None, (over_seeds(s, found, t) for (s, t), found in counts.items()))))
