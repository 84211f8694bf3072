"""The columns of `Results.leaderboard` and `claims` that are not those of the cells they are about."""

from __future__ import annotations

from collections.abc import Sequence

from kdharness.frames.cell_columns import CELLS
from kdharness.frames.column import (
    COST,
    IDENTITY,
    OUTCOME,
    PRIVACY,
    QUALITY,
    Column,
    by_name,
    flags,
    integers,
    numbers,
    texts,
)
from kdharness.stats.board_schema import AS_THERE, JOINED, PANDAS_TYPES, SCHEMA_COLUMN, BoardColumn, board_columns
from kdharness.stats.claims import CLAIM_COLUMNS
from kdharness.stats.standings import REFERENCES

# Of columns that no cell has and that tell of something else than quality.
_GROUPS = {
    **dict.fromkeys((SCHEMA_COLUMN, "teacher_source", "superseded_by"), IDENTITY),
    **dict.fromkeys(("planned", "ok", "failed", "pending", "skipped", "complete", "superseded_by"), OUTCOME),
    **dict.fromkeys(("epsilon_of_all", "delta_of_all"), PRIVACY),
    "pareto": COST,
}
_CLAIMS = (
    *texts(
        IDENTITY,
        ("teacher_source", "first digits of the SHA-256 of an external teacher file"),
        ("claim", "the claim, as the benchmark puts it"),
        ("paper", "who claims it"),
        ("better", "the method, with its variant, that is said to be better"),
        ("predictor", "its output that is meant"),
        ("metric", "the number that is compared"),
        ("than", "what it is compared with"),
        ("than_predictor", "the output of that"),
        ("than_metric", "the number of that"),
    ),
    *flags(IDENTITY, ("smaller", "whether less is better")),
    *numbers(IDENTITY, ("at_least", "the metric's", "by how much it is said to be better")),
    *texts(QUALITY, ("seeds", "the seeds that both have")),
    *integers(
        QUALITY,
        ("n", "", "number of these seeds"),
        ("teachers", "", "how many teachers stand behind the numbers"),
        ("tests", "", "how many tests the correction counts"),
        ("seeds_needed", "", "where undecided: about how many more seeds would settle it"),
    ),
    *numbers(
        QUALITY,
        ("difference", "the metric's", "by how much it is better, whichever way is better"),
        ("sd", "the metric's", "standard deviation of the difference over seeds"),
        ("ci_low", "the metric's", "lower end of the difference's 95 % t interval"),
        ("ci_high", "the metric's", "upper end of the difference's 95 % t interval"),
        ("p", "", "two-sided p of the sign-flip test, by itself"),
        ("p_holm", "", "the same after Holm's correction over tests"),
        ("t_p_holm", "", "p of Student's paired test after Holm's correction; what answers use"),
    ),
    *texts(
        QUALITY,
        ("answer", "holds, does not hold, undecided, or not measured"),
        ("reason", "what must be known of it"),
    ),
)


def of_board(references: Sequence[str] = REFERENCES) -> tuple[Column, ...]:
    """The leaderboard's columns, in order."""
    known = by_name(CELLS)
    return tuple(_of_board(each, known.get(each.name)) for each in board_columns(references))


def _of_board(column: BoardColumn, of_cells: Column | None) -> Column:
    """of_cells: the column of that name of single cells."""
    dtype, meaning = PANDAS_TYPES[column.dtype], column.meaning
    if of_cells is None:
        return Column(column.name, dtype, column.unit, _GROUPS.get(column.name, QUALITY), meaning)
    if meaning in (AS_THERE, JOINED):
        meaning = meaning.replace(AS_THERE, of_cells.meaning)
    return Column(column.name, dtype, column.unit, of_cells.group, meaning)


def of_claims() -> tuple[Column, ...]:
    """The columns of claims, in order."""
    known = {**by_name(CELLS), **by_name(_CLAIMS)}
    return tuple(known[name] for name in CLAIM_COLUMNS)
