"""What `kdharness compare` was asked, as a question about tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdharness.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from kdharness.results.contents import Contents
    from kdharness.stats.beside import Beside
    from kdharness.stats.question import Competitor, Question


@dataclass(frozen=True)
class Asked:
    """The options as they were given; None for those that were not."""

    method: str | None
    reference: str | None
    metric: str
    smaller: bool | None
    equal_within: float | None


def question_of(asked: Asked, found: Sequence[Contents]) -> Question:
    """Of one folder, or one root. UserError for a name that none of the folders knows."""
    from kdharness.stats.question import ALL, check_measured, chosen_of, competitors_of, reference_of

    frame = _frame(found)
    known = competitors_of(frame)
    against = reference_of(asked.reference, _usual(found), known)
    chosen = chosen_of(asked.method or ALL, known, "--method")
    if chosen == (against,):
        raise UserError(f"--method names the reference alone; --reference names another one than '{asked.method}'")
    question = _question(asked, frame, against, chosen)
    check_measured(frame, question)
    return question


def question_beside(
    asked: Asked, here: Sequence[Contents], there: Sequence[Contents], names: tuple[str, str]
) -> tuple[Question, Beside]:
    """Methods of the first folder, the reference of the second, and both as one table. names: of both, for people.
    UserError for a name that its folder does not know.
    """
    from kdharness.stats.beside import beside
    from kdharness.stats.question import ALL, check_measured, chosen_of, competitors_of, reference_of

    ours, theirs = _frame(here), _frame(there)
    known = competitors_of(ours)
    plain_name = asked.reference.removesuffix(f"@{names[1]}") if asked.reference is not None else None
    against = reference_of(plain_name, _usual(there), competitors_of(theirs))
    chosen = chosen_of(asked.method or ALL, known, "--method") or tuple(known.values())
    joined = beside(ours, theirs, against, names)
    question = _question(asked, joined.frame, joined.reference, chosen)
    check_measured(joined.frame, question)
    return question, joined


def _frame(found: Iterable[Contents]) -> pd.DataFrame:
    from kdharness.results.joining import joined

    return joined(list(found))


def _usual(found: Iterable[Contents]) -> tuple[str, ...]:
    from kdharness.report.leaderboard import references_of

    return tuple(dict.fromkeys(name for contents in found for name in references_of(contents)))


def _question(
    asked: Asked, frame: pd.DataFrame, against: Competitor, chosen: tuple[Competitor, ...] | None
) -> Question:
    """UserError for a metric that is not there."""
    from kdharness.protocol.claim import EQUAL_POINTS
    from kdharness.stats.question import Question, column_of

    column = column_of(asked.metric, frame)
    is_smaller, is_points = _direction(column.removeprefix("x_"), asked.smaller)
    band = (EQUAL_POINTS if is_points else 0.0) if asked.equal_within is None else asked.equal_within
    return Question(against, asked.metric, column, is_smaller, is_points, band, chosen)


def _direction(metric: str, smaller: bool | None) -> tuple[bool, bool]:
    """Whether less is better, and whether it is in percent: as told, else as the metric declares."""
    if metric == "top1":
        return bool(smaller), True
    from kdharness.planning.claims import direction_of, is_declared
    from kdharness.registry.manager import Registry
    from kdharness.results.store import to_stderr

    specs = [each.spec for each in Registry.load().metrics.values()]
    if smaller is None and not is_declared(metric, specs):
        to_stderr(f"nothing installed declares '{metric}': more of it is taken to be better; --smaller says otherwise")
    declared = direction_of(metric, specs)
    return declared.smaller if smaller is None else smaller, declared.points
