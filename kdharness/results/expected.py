"""What this release plans of a benchmark, and how somebody's rows agree with it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kdharness.planning.cell import STUDENT, TEACHER, UNKNOWN, Cell, digest
from kdharness.planning.selection import MethodChoice
from kdharness.results.row_faults import label_of, text_of
from kdharness.results.rows import cell_row
from kdharness.results.seen_data import seen_data

# Of a row, what its key decides. A role depends on what else was asked for.
STATED = (
    "benchmark", "protocol", "deviations", "dataset", "scenario", "recipe", "seeding", "method", "method_package",
    "method_revision", "parameters", "teacher", "student", "seed", "teacher_cell", "source_cells", "regime",
)  # fmt: skip
PLACE = ("dataset", "scenario", "recipe", "student", "seed")
# Of a document, what all students of one place share.
SHARED = ("schema", "numerics", "dataset", "scenario", "recipe", "evaluation", "student", "seed")
_WITHOUT = re.compile(r"(?:^|,)without=([^,]+)")


def choices_of(
    rows: Iterable[Mapping[str, Any]], references: Sequence[str], installed: Collection[str]
) -> tuple[MethodChoice, ...]:
    """What to plan so that the keys of rows come out, as far as their methods are installed: each with its parameters,
    the references beside them.
    """
    found = {name: MethodChoice(name) for name in references if name in installed}
    for row in rows:
        name, parameters = text_of(row, "method"), text_of(row, "parameters")
        if name in installed and text_of(row, "role") == STUDENT:
            without = tuple(_WITHOUT.findall(text_of(row, "variant")))
            given = json.loads(parameters)
            found[f"{name} {parameters} {without}"] = MethodChoice(name, given, without, label_of(row))
    return tuple(found.values())


@dataclass(frozen=True)
class Expected:
    """What is planned.

    cells: by key.
    installed: names of the submission's methods that are installed here.
    """

    cells: Mapping[str, Cell]
    installed: Collection[str]

    @cached_property
    def _students(self) -> Mapping[tuple[str, ...], list[Cell]]:
        """By place."""
        found: dict[tuple[str, ...], list[Cell]] = {}
        for cell in self.cells.values():
            if cell.role == STUDENT:
                found.setdefault(_place(cell_row(cell)), []).append(cell)
        return found

    def faults(self, row: Mapping[str, Any], cell: Cell | None, trusts_keys: bool) -> Iterator[str]:
        """One line each. cell: with the document that came along, if one did. trusts_keys: whether a key may stand that
        cannot be made anew.
        """
        if deviations := text_of(row, "deviations"):
            yield f"it departs from its benchmark: {deviations}"
            return
        if cell is not None and digest(cell.document) != cell.key:
            yield f"its key is not that of its document, {digest(cell.document)}"
        planned = self.cells.get(text_of(row, "cell"))
        if planned is not None:
            yield from _contradictions(row, planned)
            if (seen := text_of(row, "seen_data")) not in (UNKNOWN, seen_data(planned, self.cells)):
                yield f"seen_data '{seen:.80}' is not that of its key, '{seen_data(planned, self.cells)}'"
            return
        yield from self._of_unplanned(row, cell, trusts_keys)

    def _of_unplanned(self, row: Mapping[str, Any], cell: Cell | None, trusts_keys: bool) -> Iterator[str]:
        peers = self._students.get(_place(row), [])
        is_student = text_of(row, "role") == STUDENT
        if is_student and not peers:
            yield "this release plans no cell of that dataset, scenario, recipe, student and seed"
            return
        if is_student and (protocol := text_of(row, "protocol")) != peers[0].protocol:
            yield f"protocol {protocol} is not the benchmark's, which is {peers[0].protocol} here"
        if is_student:
            yield from _other_teachers(row, peers)
        if cell is not None:
            found = [*_unlike_document(cell), *_unlike_peer(cell, peers[0] if is_student else None, self.cells)]
            yield from found or self._other_key(row)
        elif reason := self._unknown_key(row, trusts_keys):
            yield reason

    def _other_key(self, row: Mapping[str, Any]) -> Iterator[str]:
        """Where the very method is installed, the key that this release makes of the row."""
        alike = [c for c in self._students.get(_place(row), []) if _is_same_choice(row, c)]
        if text_of(row, "method") in self.installed and alike and _provider(cell_row(alike[0])) == _provider(row):
            yield f"its key is not that of its parameters, which is {alike[0].key}"

    def _unknown_key(self, row: Mapping[str, Any], trusts_keys: bool) -> str:
        """Why there is no such key here; "" where that is to be trusted."""
        method = text_of(row, "method")
        what = "so that its key cannot be made anew; hand in the folder with its records, or say --trust-keys"
        if method not in self.installed:
            return "" if trusts_keys else f"method '{method}' is not installed, {what}"
        alike = [c for c in self._students.get(_place(row), []) if _is_same_choice(row, c)]
        if not alike:
            return f"its key is none that this release makes of method '{method}'"
        ours, theirs = _provider(cell_row(alike[0])), _provider(row)
        if ours == theirs:
            return f"its key is not that of its parameters, which is {alike[0].key}"
        return "" if trusts_keys else f"method '{method}' is {theirs}, and {ours} is installed, {what}"


def _place(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(text_of(row, name) for name in PLACE)


def _provider(row: Mapping[str, Any]) -> str:
    return f"{text_of(row, 'method_package')} revision {text_of(row, 'method_revision')}"


def _is_same_choice(row: Mapping[str, Any], cell: Cell) -> bool:
    own = cell_row(cell)
    stands = cell.standings.get(text_of(row, "track")) == text_of(row, "variant")
    return stands and all(_agree(name, row, own) for name in ("method", "parameters", "teacher"))


def _agree(name: str, row: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    """Whether a row says what a planned cell does. Parameters that came since the row was written are not in it: its
    key says that they are neutral.
    """
    given, planned = text_of(row, name), text_of(own, name)
    if name != "parameters" or given == planned:
        return given == planned
    known = json.loads(planned)
    return all(parameter in known and known[parameter] == value for parameter, value in json.loads(given).items())


def _contradictions(row: Mapping[str, Any], planned: Cell) -> Iterator[str]:
    """What a row says that its key does not."""
    own = cell_row(planned)
    for name in STATED:
        if not _agree(name, row, own):
            yield f"{name} '{text_of(row, name):.80}' is not that of its key, '{text_of(own, name):.80}'"
    track, variant = text_of(row, "track"), text_of(row, "variant")
    if (text_of(row, "role") == TEACHER) != (planned.role == TEACHER):
        yield f"its role is '{text_of(row, 'role')}', and its key is a {planned.role}'s"
    elif text_of(row, "role") == STUDENT and planned.standings.get(track) != variant:
        yield f"variant '{variant:.80}' in track '{track}' is not that of its key"


def _other_teachers(row: Mapping[str, Any], peers: Iterable[Cell]) -> Iterator[str]:
    taught = [own for own in map(cell_row, peers) if own["teacher"] and own["teacher"] == text_of(row, "teacher")]
    if taught and text_of(row, "teacher_cell") != taught[0]["teacher_cell"]:
        yield f"teacher_cell {text_of(row, 'teacher_cell') or 'of none'} is not the pair's, {taught[0]['teacher_cell']}"


def _unlike_document(cell: Cell) -> Iterator[str]:
    """What a cell says of itself that its document does not."""
    document = cell.document
    method, student = document.get("method", {}), document.get("student", {})
    own = {"method": cell.method, "student": cell.student, "seed": cell.seed, "dataset": cell.dataset}
    said = {
        "method": method.get("name"),
        "student": student.get("name"),
        "seed": document.get("seed"),
        "dataset": document.get("dataset", {}).get("name"),
    }
    unlike = [name for name in own if own[name] != said[name]]
    yield from (f"{name} '{own[name]}' is not that of its document, '{said[name]}'" for name in unlike)
    parameters = method.get("parameters", {})
    if any(name not in cell.parameters or cell.parameters[name] != value for name, value in parameters.items()):
        yield "its parameters are not those of its document"
    if [part.get("source") for part in document.get("teachers", ())] != [source.identity for source in cell.teachers]:
        yield "its teachers are not those of its document"


def _unlike_peer(cell: Cell, peer: Cell | None, cells: Mapping[str, Cell]) -> Iterator[str]:
    """Where a document is not that of the place where the cell is to stand. peer: another cell there; None for what
    stands in no ranking: then data and evaluation alone are known.
    """
    other = peer or next(iter(cells.values()), None)
    names = SHARED if peer is not None else ("schema", "numerics", "dataset", "evaluation")
    unlike = [name for name in names if other is not None and cell.document.get(name) != other.document.get(name)]
    if unlike:
        yield f"its document is not of this benchmark: {', '.join(unlike)}"
