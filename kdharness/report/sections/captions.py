"""Over what the intervals of a table run, and what each seed drew anew."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

OF_EACH_SEED = {
    "student+teacher": "a teacher",
    "student+data": "a draw of the data",
    "student+teacher+data": "a teacher and a draw of the data",
}
CLEAN = "clean"


def over_seeds(names: Mapping[str, Any], counts: Iterable[int]) -> str:
    """'over 5 student seeds, one teacher', 'over 5 seeds, each with a teacher and a draw of the data of its own'.

    names: the columns seeding, teacher and scenario. counts: of seeds, of what the table compares.
    """
    known = sorted({int(count) for count in counts if count})
    if not known:
        return ""
    number = str(known[-1]) if len(known) == 1 else f"{known[0]} to {known[-1]}"
    seeds = "seed" if known[-1] == 1 else "seeds"
    if names["seeding"] in OF_EACH_SEED:
        return f"over {number} {seeds}, each with {OF_EACH_SEED[names['seeding']]} of its own"
    teacher = names["teacher"]
    same = "" if not teacher else ", the same teachers" if "+" in teacher else ", one teacher"
    return f"over {number} student {seeds}{same}{_one_draw(names)}"


def over_seeds_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """The same of rows that may have several rules, each said once; rows without a value say nothing."""
    columns = ("seeding", "teacher", "scenario")
    counts: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        counts.setdefault(tuple(str(row[name]) for name in columns), []).append(int(row["n"]))
    each = (over_seeds(dict(zip(columns, key, strict=True)), found) for key, found in counts.items())
    return "; ".join(dict.fromkeys(filter(None, each)))


def drawn(row: Mapping[str, Any]) -> str:
    """What a row of claims rests on: '5 students, one teacher, one draw of the data', '5 students, 5 teachers'."""
    parts = [_counted(row["n"], "student")]
    if row["teachers"]:
        parts.append(_counted(row["teachers"], "set of teachers" if "+" in row["teacher"] else "teacher"))
    if "data" in row["seeding"].split("+"):
        parts.append(_counted(row["n"], "draw of the data"))
    return ", ".join(parts) + _one_draw(row)


def _one_draw(names: Mapping[str, Any]) -> str:
    """Clean data is not drawn."""
    fixed = names["scenario"] != CLEAN and "data" not in names["seeding"].split("+")
    return ", one draw of the data" if fixed else ""


def _counted(number: int, what: str) -> str:
    if number == 1:
        return f"one {what}"
    first, _, rest = what.partition(" ")
    return f"{number} {first}s {rest}".rstrip()
