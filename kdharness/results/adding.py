"""Somebody's rows beside those that a leaderboard is made from: what is new, what is known, and what cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdharness.results.expected import Expected
from kdharness.results.record import Status
from kdharness.results.row_faults import faults_of_row, label_of, text_of
from kdharness.results.rows import Row
from kdharness.results.submission import Submission

# What a training gives whichever machine measures its time: two results of one key are the same where these are.
COMPARED = (
    "selection", "top1", "top5", "nll", "ece", "top1_last10", "top1_test_oracle", "val_top1", "teacher_top1",
    "teacher_agreement", "epochs", "student_parameters", "student_macs", "teacher_digest",
)  # fmt: skip


@dataclass(frozen=True)
class Addition:
    """What becomes of the rows.

    rows: all that the leaderboard is made from then.
    added: how many were not there, or had not been ok. known: how many say what is there already.
    """

    rows: tuple[Row, ...]
    added: int
    known: int


def faults_of(submission: Submission, expected: Mapping[str, Expected], trusts_keys: bool) -> Iterator[str]:
    """What is wrong with it by itself and beside what is planned, one line each. expected: by benchmark."""
    yield from submission.faults
    seen: dict[tuple[str, str], Row] = {}
    for row in submission.rows:
        own = list(faults_of_row(row))
        first = seen.setdefault(_identity(row), row)
        if not own and (difference := _difference(first, row)):
            own = [f"it is there twice, with {difference}"]
        plan = expected.get(text_of(row, "benchmark"))
        if not own and plan is not None:
            own = list(_against(plan, row, submission, trusts_keys))
        yield from (f"{label_of(row)}: {fault}" for fault in own)


def _against(plan: Expected, row: Row, submission: Submission, trusts_keys: bool) -> Iterator[str]:
    try:
        yield from plan.faults(row, submission.cells.get(text_of(row, "cell")), trusts_keys)
    except (AttributeError, TypeError, KeyError):  # a document of a stranger may be of any shape
        yield "its document is not what it should be"


def add(board: Sequence[Row], rows: Iterable[Row]) -> tuple[Addition, list[str]]:
    """The rows beside a board's, and what stands against it, one line each.

    One key has one result, and one teacher cell one set of weights: what says otherwise is refused.
    """
    kept = {_identity(row): row for row in board}
    weights = dict(_weights(board))
    faults: list[str] = []
    added = known = 0
    for row in rows:
        there = kept.get(_identity(row))
        for teacher, digest in _weights([row]):
            if weights.setdefault(teacher, digest) != digest:
                said = f"its teacher {teacher} has the weights {digest}, and on the leaderboard {weights[teacher]}"
                faults.append(f"{label_of(row)}: {said}; train with the leaderboard's teacher")
        if there is None or not _is_ok(there):
            kept[_identity(row)] = row
            added += 1
        elif _is_ok(row) and (difference := _difference(there, row)):
            faults.append(f"{label_of(row)}: the leaderboard has another result of this key, {difference}")
        else:
            known += 1
    return Addition(tuple(kept.values()), added, known), faults


def _identity(row: Mapping[str, Any]) -> tuple[str, str]:
    return text_of(row, "cell"), text_of(row, "track")


def _is_ok(row: Mapping[str, Any]) -> bool:
    return text_of(row, "status") == Status.OK


def _weights(rows: Iterable[Row]) -> Iterator[tuple[str, str]]:
    """By teachers' cells, the digest of the weights that taught."""
    for row in rows:
        teacher, digest = text_of(row, "teacher_cell"), text_of(row, "teacher_digest")
        if _is_ok(row) and teacher and digest:
            yield teacher, digest


def _difference(one: Row, other: Row) -> str:
    """'top1 91.2 in place of 91.1', of the first number that differs between two results that are ok."""
    if not (_is_ok(one) and _is_ok(other)):
        return ""
    for name in COMPARED:
        here, there = text_of(one, name), text_of(other, name)
        if here != there and not _same_number(here, there):
            return f"{name} {there or 'of none'} in place of {here or 'none'}"
    return ""


def _same_number(one: str, other: str) -> bool:
    """Whether two texts are one number, as 5 and 5.0 are."""
    try:
        return float(one) == float(other)
    except ValueError:
        return False
