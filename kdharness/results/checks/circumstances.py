"""What a cell's document decides of its record beside the numbers: the epoch that counts, the precision, the files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kdharness.results.checks.finding import Finding, Kind, shown
from kdharness.results.checks.identity import part_of
from kdharness.results.checks.numbers import HISTORY, PREDICTIONS
from kdharness.results.record import Record

VALIDATION = "validation"
# Of a parameter, that it says how long something is trained.
_LENGTH = re.compile("epoch|length|share")


def faults_of_circumstances(record: Record, splits: frozenset[str]) -> Iterator[str]:
    """A line for each that is otherwise. Only of a record that is ok.

    splits: those that its curves are of.
    """
    share = part_of(record.cell.document, "evaluation").get(VALIDATION, 0)
    expected = {"selection": VALIDATION if share else "last", "precision": record.cell.recipe.get("precision")}
    for name, value in expected.items():
        if value is not None and record.values.get(name) != value:
            yield f"{name} is {shown(record.values.get(name, ''))}, its document says {shown(value)}"
    if VALIDATION in splits and not share:
        yield f"{HISTORY} has a validation split, and its document keeps none"


def findings_of_evidence(records: Iterable[Record]) -> Iterator[Finding]:
    """A doubt for each file that cells leave which are ok, and that some of these records do not name. Those of former
    releases, without a digest, name none.
    """
    guarded = [record for record in records if record.digest]
    for name in (PREDICTIONS, HISTORY):
        if lacking := [record for record in guarded if name not in record.files]:
            first, more = lacking[0], len(lacking) - 1
            count = f" and {more} more" if more else ""
            what = f"{first.cell.label}{count}: ok without a {name}, which such cells leave, to count from"
            yield Finding(Kind.DOUBT, f"cells/{first.cell.key}/record.json", what)


def findings_of_length(records: Iterable[Record]) -> Iterator[Finding]:
    """Doubts: competitors whose training was longer or shorter than the recipe says, and no parameter says why."""
    found: dict[str, list[Record]] = {}
    for record in records:
        stated, planned = record.values.get("epochs"), record.cell.recipe.get("epochs")
        if stated and planned and stated != planned and not _is_said(record, stated, planned):
            found.setdefault(_competitor(record), []).append(record)
    for name, own in sorted(found.items()):
        first, cells = own[0], "1 cell" if len(own) == 1 else f"{len(own)} cells"
        epochs = f"{first.values['epochs']} epochs, its recipe says {first.cell.recipe['epochs']}"
        what = f"{name} was trained for {epochs}, and none of its parameters says why ({cells})"
        yield Finding(Kind.DOUBT, f"cells/{first.cell.key}/record.json", what)


def _competitor(record: Record) -> str:
    cell = record.cell
    return f"{cell.method}[{cell.variant}]" if cell.variant else cell.method


def _is_said(record: Record, stated: float, planned: float) -> bool:
    """By a parameter that is called so: the number of epochs, of further ones, or a share of the recipe's."""
    called = (value for name, value in record.cell.parameters.items() if _LENGTH.search(name))
    numbers = [v for v in called if isinstance(v, int | float) and not isinstance(v, bool)]
    lengths = (length for v in numbers for length in (v, planned + v, planned * v, planned * (1 + v)))
    return any(abs(stated - length) < 1 for length in lengths)
