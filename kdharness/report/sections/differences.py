"""What two folders differ in: how many cells, since which release, by how much, and what of their identity."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from kdharness.planning.cell import STUDENT
from kdharness.report.sections.grid import COST, GAIN, Column, Grid
from kdharness.report.sections.section import Section, SectionKind
from kdharness.report.sections.titles import place_of
from kdharness.results.differences import Differences, Moved, Origin, Pair
from kdharness.stats.settings import competitor_of, pair_of
from kdharness.text import seeds_text

MOST_ROWS = 40
MOST_NUMBERS = 3
MOST_LETTERS = 40
WORDS = {
    "kdharness_version": "kdharness", "torch_version": "torch", "method_revision": "revision",
    "fingerprint": "fingerprint", "teacher_digest": "teacher's weights",
}  # fmt: skip

Row = Mapping[str, Any]
Names = tuple[str, str]


def difference_sections(found: Differences, names: Names, tolerance: float) -> Iterator[Section]:
    yield _counts(found, names, tolerance)
    if found.other or found.near:
        yield _since(found)
    if found.other:
        yield _numbers(found.other, names)
    if found.fates:
        yield _fates(found.fates, names)
    if found.moved:
        yield _moved(found.moved, names)
    for rows, name, other in ((found.only_here, *names), (found.only_there, *names[::-1])):
        if rows:
            yield _only(rows, name, other)


def _section(title: str, columns: Sequence[Column], remarks: Iterable[str] = (), how: Iterable[str] = ()) -> Section:
    return Section(SectionKind.DIFFERENCES, title, Grid(tuple(columns)), remarks=tuple(remarks), how=tuple(how))


def _counts(found: Differences, names: Names, tolerance: float) -> Section:
    counts = {
        "the same, to the last bit": len(found.same),
        f"the same within {tolerance:g}" if tolerance else "the same numbers, other weights": len(found.near),
        "other numbers": len(found.other),
        "another status": len(found.fates),
        "another key at the same address": len(found.moved),
        f"in {names[0]} alone": len(found.only_here),
        f"in {names[1]} alone": len(found.only_there),
    }
    shown = {what: count for what, count in counts.items() if count}
    remark = () if shown else ("no cell in common that is ok, and no other",)
    how = "numbers: all of results.csv and metrics.csv but times, memory and latencies; and whether weights are equal"
    columns = (Column("cells", tuple(map(str, shown.values()))), Column("", tuple(shown), name=True))
    return _section(f"{names[0]} and {names[1]}", columns, remark, (how,))


# -- numbers -----------------------------------------------------------------------------------------------------------


def _since(found: Differences) -> Section:
    """What else is another one, of cells that are equal and of those that differ."""
    counts: dict[Origin, Counter[str]] = {}
    for what, pairs in (("same", (*found.same, *found.near)), ("other", found.other)):
        for pair in pairs:
            counts.setdefault(pair.origin, Counter())[what] += 1
    rows = sorted(counts.items(), key=lambda item: (-item[1]["other"], item[0]))
    columns = (
        Column("what else differs", tuple(origin_text(origin) for origin, _ in rows), name=True),
        Column("same", tuple(str(count["same"]) for _, count in rows)),
        Column("differ", tuple(str(count["other"]) for _, count in rows)),
    )
    return _section("since when they differ", columns)


def origin_text(origin: Origin) -> str:
    """'kdharness 0.1.0 -> 0.2.0'."""
    return ", ".join(f"{WORDS[name]} {a or '-'} -> {b or '-'}" for name, a, b in origin) or "nothing that is on record"


def _numbers(pairs: Sequence[Pair], names: Names) -> Section:
    groups: dict[tuple[str, str, Origin], list[Pair]] = {}
    for pair in pairs:
        groups.setdefault((label_of(pair.here), where_of(pair.here), pair.origin), []).append(pair)
    rows = sorted(groups.items(), key=lambda item: -max(pair.most for pair in item[1]))
    shown = rows[:MOST_ROWS]
    columns = (
        Column("cells", tuple(label for (label, _, _), _ in shown), name=True),
        Column("where", tuple(where for (_, where, _), _ in shown), name=True, dropped=GAIN),
        Column("seeds", tuple(_seeds(pair.here for pair in group) for _, group in shown), words=True),
        Column("largest difference", tuple(_largest(group) for _, group in shown), name=True),
        Column("with", tuple(origin_text(origin) for (_, _, origin), _ in shown), name=True, dropped=COST),
    )
    how = f"by how much a number of {names[0]} is from that of {names[1]}, at most, over the seeds"
    return _section("cells with other numbers", columns, _more(rows), (how,))


def _largest(group: Sequence[Pair]) -> str:
    """'top1 0.25, nll 0.0031 and 4 others'."""
    most: dict[str, float] = {}
    for pair in group:
        for name, (a, b) in pair.numbers.items():
            gap = math.inf if math.isnan(a - b) else abs(a - b)
            most[name] = max(most.get(name, 0.0), gap)
    listed = [f"{name} {'in one alone' if gap == math.inf else format(gap, '.3g')}" for name, gap in most.items()]
    more = len(listed) - MOST_NUMBERS
    return ", ".join(listed[:MOST_NUMBERS]) + (f" and {more} more" if more > 0 else "")


def _fates(pairs: Sequence[Pair], names: Names) -> Section:
    groups: dict[tuple[str, ...], list[Pair]] = {}
    for pair in pairs:
        fates = (_fate(pair.here), _fate(pair.there))
        groups.setdefault((label_of(pair.here), where_of(pair.here), *fates), []).append(pair)
    shown = list(groups.items())[:MOST_ROWS]
    columns = (
        Column("cells", tuple(key[0] for key, _ in shown), name=True),
        Column("where", tuple(key[1] for key, _ in shown), name=True, dropped=GAIN),
        Column("seeds", tuple(_seeds(pair.here for pair in group) for _, group in shown), words=True),
        *(Column(names[i], tuple(key[2 + i] for key, _ in shown), name=True) for i in (0, 1)),
    )
    return _section("cells with another status", columns, _more(list(groups.items())))


def _fate(row: Row) -> str:
    return f"{row['status']} ({row['error_message']})" if row["error_message"] else str(row["status"])


# -- other keys --------------------------------------------------------------------------------------------------------


def _moved(found: Sequence[Moved], names: Names) -> Section:
    """Grouped by what of their documents differs."""
    groups: dict[str, list[Moved]] = {}
    for each in found:
        groups.setdefault(changes_text(each.changes), []).append(each)
    rows = sorted(groups.items(), key=lambda item: -len(item[1]))
    shown = rows[:MOST_ROWS]
    columns = (
        Column("cells", tuple(str(len(group)) for _, group in shown)),
        Column("which", tuple(_which(each.here for each in group) for _, group in shown), name=True),
        Column("what of their identity differs", tuple(text for text, _ in shown), name=True),
    )
    how = f"what {names[0]} has -> what {names[1]} has; a source is the key of what a cell was taught by"
    return _section("cells with another key", columns, _more(rows), (how,))


def changes_text(changes: Sequence[tuple[str, Any, Any]]) -> str:
    """'recipe.epochs 100 -> 3'. Keys of teachers are said where nothing else differs."""
    own = [change for change in changes if not change[0].endswith((".source", "teacher_cell"))]
    listed = [f"{path} {_short(a)} -> {_short(b)}" for path, a, b in own]
    if not own:
        return "what they were taught by" if changes else "nothing that is on record"
    return ", ".join(listed)


def _short(value: Any) -> str:
    text = "none" if value is None else value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."


def _only(rows: Sequence[Row], name: str, other: str) -> Section:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((label_of(row), where_of(row)), []).append(row)
    shown = list(groups.items())[:MOST_ROWS]
    columns = (
        Column("cells", tuple(label for (label, _), _ in shown), name=True),
        Column("where", tuple(where for (_, where), _ in shown), name=True),
        Column("seeds", tuple(_seeds(group) for _, group in shown), words=True),
    )
    return _section(f"in {name}, and not in {other}", columns, _more(list(groups.items())))


# -- words -------------------------------------------------------------------------------------------------------------


def label_of(row: Row) -> str:
    """'kd', 'teacher conv32', 'step kd'."""
    if row["role"] == STUDENT:
        return competitor_of(row)
    return f"{row['role']} {row['student'] if row['role'] == 'teacher' else competitor_of(row)}"


def where_of(row: Row) -> str:
    """'digits few100 conv32:conv16'."""
    names = {name: str(row[name]) for name in ("scenario", "recipe", "track")}
    return " ".join(filter(None, (str(row["dataset"]), *place_of(names), pair_of(row))))


def _which(rows: Iterable[Row]) -> str:
    labels = list(dict.fromkeys(map(label_of, rows)))
    more = len(labels) - MOST_NUMBERS
    return ", ".join(labels[:MOST_NUMBERS]) + (f" and {more} more" if more > 0 else "")


def _seeds(rows: Iterable[Row]) -> str:
    return seeds_text(int(row["seed"]) for row in rows)


def _more(rows: Sequence[object]) -> tuple[str, ...]:
    more = len(rows) - MOST_ROWS
    return (f"and {more} more rows",) if more > 0 else ()
