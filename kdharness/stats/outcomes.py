"""What the planned cells that are not ok share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from kdharness.planning.cell import SPREAD, STEP, TEACHER
from kdharness.stats.settings import as_dicts, competitor_of, pair_of

# What failed first, then what is not done.
ORDER = ("failed", "oom", "timeout", "unreadable", "not_run", "interrupted", "running", "incomplete", "skipped")


@dataclass(frozen=True)
class Problem:
    """Cells that share a status and a reason.

    status: of the table, or "incomplete": ok, but some metric raised. what: methods (with pairs, where the table has
    several) and their number of cells. cell: the key of the first of them.
    """

    status: str
    count: int
    reason: str
    what: tuple[tuple[str, int], ...]
    cell: str = field(default="", compare=False)


def problems_of(frame: pd.DataFrame) -> tuple[Problem, ...]:
    """Cells that are not ok, and those that are but lack a metric that raised, in ORDER; the most cells first."""
    lacking = (frame["status"] == "ok") & (frame["error_message"] != "")
    once = frame.drop_duplicates("cell")  # a cell that stands in two tracks is one problem
    rows = once.assign(status=frame["status"].mask(lacking, "incomplete"))
    rows = rows[rows["status"] != "ok"]
    several = len(rows[["teacher", "student"]].drop_duplicates()) > 1
    problems = []
    for (status, kind, message), group in rows.groupby(["status", "error_type", "error_message"]):
        reason = ": ".join(str(part) for part in (kind, message) if part)
        problems.append(Problem(str(status), len(group), reason, _listed(group, several), str(group["cell"].iloc[0])))
    return tuple(sorted(problems, key=lambda p: (_place(p.status), -p.count, p.reason)))


def _place(status: str) -> int:
    """Last for a status that only somebody else's table has."""
    return ORDER.index(status) if status in ORDER else len(ORDER)


def _listed(group: pd.DataFrame, several: bool) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for row in as_dicts(group[["role", "method", "variant", "teacher", "student"]]):
        name = _name(row, several)
        counts[name] = counts.get(name, 0) + 1
    return tuple(counts.items())


def _name(row: Mapping[str, Any], several: bool) -> str:
    """What a list calls a cell: 'kd', 'teacher conv32', 'step kd conv32:conv24', 'spread kd conv32:conv16'. several:
    whether pairs are named.
    """
    if row["role"] == TEACHER:
        return f"teacher {row['student']}"
    name = competitor_of(row)
    if row["role"] in (STEP, SPREAD):
        return f"{row['role']} {name} {pair_of(row)}"
    return f"{name} {pair_of(row)}" if several else name
