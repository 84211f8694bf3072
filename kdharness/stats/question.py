"""What is to be compared with what, and by which number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from pandas.api.types import is_numeric_dtype

from kdharness.errors import UnknownName, UserError
from kdharness.planning.cell import STUDENT
from kdharness.stats.settings import COMPETITOR, as_dicts, competitor_of

# A method and its variant.
Competitor = tuple[str, str]

ALL = "all"
# Numbers of a row that measure nothing.
NO_METRICS = ("seed", "epsilon", "delta")
# A comma that stands in no variant's brackets.
_COMMA = re.compile(r",(?![^\[]*\])")


@dataclass(frozen=True)
class Question:
    """How competitors are compared.

    reference: what they are held against.
    metric: the number's name; column: where the table has it.
    smaller: whether less of it is better. points: whether it is in percent, so that differences are points.
    equal_within: half of the band around zero in which a difference counts as none; 0 for no such band.
    chosen: the competitors that are asked about, in that order; None for all.
    """

    reference: Competitor
    metric: str = "top1"
    column: str = "top1"
    smaller: bool = False
    points: bool = True
    equal_within: float = 0.0
    chosen: tuple[Competitor, ...] | None = None

    @property
    def shown(self) -> frozenset[Competitor] | None:
        """The chosen ones and the reference; None for all."""
        return None if self.chosen is None else frozenset((*self.chosen, self.reference))

    @property
    def reference_name(self) -> str:
        return competitor_of(dict(zip(COMPETITOR, self.reference, strict=True)))

    @property
    def is_accuracy(self) -> bool:
        """Whether a teacher's top-1 bounds it."""
        return self.column == "top1"


def competitors_of(frame: pd.DataFrame) -> dict[str, Competitor]:
    """The students' methods and variants, by the name that tables show."""
    students = frame[frame["role"] == STUDENT]
    rows = as_dicts(students[list(COMPETITOR)].drop_duplicates())
    return {competitor_of(row): (str(row["method"]), str(row["variant"])) for row in rows}


def chosen_of(text: str, known: dict[str, Competitor], where: str) -> tuple[Competitor, ...] | None:
    """The competitors that a text names, 'kd,kd[temperature=2]'; None for 'all'. UserError for no name or another."""
    if text.strip() == ALL and ALL not in known:
        return None
    names = [name for part in _COMMA.split(text) if (name := part.strip())]
    if not names:
        raise UserError(f"{where} names no method; 'all', or names a,b")
    return tuple(dict.fromkeys(named(name, known, where) for name in names))


def named(name: str, known: dict[str, Competitor], where: str) -> Competitor:
    """UnknownName for one that is not among them."""
    if name not in known:
        raise UnknownName("method", name, tuple(known), where)
    return known[name]


def column_of(metric: str, frame: pd.DataFrame) -> str:
    """The column that holds a metric: its own, or that with x_ before. UnknownName where there is none, or no number
    in it.
    """
    numbers = {_short(str(name)): str(name) for name in frame.columns if _holds_numbers(frame, str(name))}
    if metric in numbers.values():
        return metric
    if metric not in numbers:
        raise UnknownName("metric", metric, tuple(numbers), "--metric")
    return numbers[metric]


def _short(column: str) -> str:
    return column.removeprefix("x_")


def _holds_numbers(frame: pd.DataFrame, column: str) -> bool:
    return column not in NO_METRICS and is_numeric_dtype(frame[column])


def reference_of(name: str | None, usual: Sequence[str], known: dict[str, Competitor]) -> Competitor:
    """The reference of a name; without one, the last of the usual ones that is there. UserError where none is."""
    if name is not None:
        return named(name, known, "--reference")
    for each in reversed(usual):
        if each in known:
            return known[each]
    raise UserError(f"none of the usual references is here ({', '.join(usual)}); --reference names another method")


def check_measured(frame: pd.DataFrame, question: Question) -> None:
    """UserError where students are done and none has the metric, or the reference has none."""
    done = frame[(frame["role"] == STUDENT) & (frame["status"] == "ok")]
    measured = done[done[question.column].notna()]
    if len(done) and measured.empty:
        raise UserError(f"no student here has a {question.metric}")
    if len(measured) and question.reference_name not in (others := competitors_of(measured)):
        some = ", ".join(list(others)[:5])
        raise UserError(f"the reference '{question.reference_name}' has no {question.metric}; these have: {some}")
