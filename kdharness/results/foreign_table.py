"""Somebody's CSV file as text by column; what keeps it from being a table is said with its place."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdharness.errors import UserError, nearest
from kdharness.plain_files import open_plain
from kdharness.results.formulas import unguarded
from kdharness.results.rows import Row
from kdharness.text import plain

# Some 300,000 cells; what is read of it takes ten times as much memory.
MOST_BYTES = 2**28
MOST_NAMED = 5
SEPARATORS = {";": "semicolons", "\t": "tabs"}
WIDE_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# What spreadsheets call the right one.
SAVE_AS = "save it as 'CSV UTF-8', with commas between values and points in numbers"


@dataclass(frozen=True)
class ForeignTable:
    """A table as its file has it.

    path: the file. columns: its header. rows: values as text, without what guards them from being formulas.
    places: by row its number in a spreadsheet, where the header is row 1.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    places: tuple[int, ...]

    def fault(self, at: int | None, what: str, more: int = 0) -> UserError:
        """An error that names the file and the row. at: which of `rows`; None for the whole of it. more: how many
        faults there are beside this one.
        """
        place = "" if at is None else f", row {self.places[at]}"
        rest = f" (and {more} more like this or others)" if more else ""
        return UserError(f"{plain(f'{self.path}{place}: {what}')}{rest}")

    def check_columns(self, wanted: Sequence[str], what: str) -> None:
        """UserError where some are missing. what: the table that it should be."""
        missing = [name for name in wanted if name not in self.columns]
        if not missing:
            return
        more = len(missing) - MOST_NAMED
        names = ", ".join(missing[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
        columns = "column" if len(missing) == 1 else "columns"
        raise self.fault(None, f"it is no {what}: it lacks the {columns} {names}{self._instead(missing, wanted)}")

    def _instead(self, missing: Sequence[str], wanted: Sequence[str]) -> str:
        """The nearest of its own names."""
        strange = {name.casefold().strip(): name for name in self.columns if name not in wanted}
        close = [strange[found] for name in missing[:MOST_NAMED] for found in nearest(name, strange, 1, 0.75)]
        return f"; there is '{close[0]:.40}'" if close else ""


def read_foreign(path: Path) -> ForeignTable:
    """UserError, in one line, for what is no table: no UTF-8 text, other separators, lines of other lengths."""
    lines = _lines(path)
    columns = _header(path, next(lines, (1, []))[1])
    rows, places = [], []
    for place, line in lines:
        if not any(line):  # a blank line, or one that a spreadsheet left
            continue
        if len(line) != len(columns):
            what = f"it has {_values(len(line))}, and the header {_values(len(columns))}"
            raise UserError(f"{plain(f'{path}, row {place}: {what}')}; is a comma in a number or an unquoted text?")
        rows.append(dict(zip(columns, map(unguarded, line), strict=True)))
        places.append(place)
    return ForeignTable(path, columns, tuple(rows), tuple(places))


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each with its number, from 1 on; one that is quoted over several lines of text is one."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    place = 0
    try:
        for line in reader:
            place += 1
            yield place, line
    except csv.Error as error:
        raise UserError(plain(f"{path}, row {place + 1}: it cannot be read as CSV, {error}")) from None


def _text(path: Path) -> str:
    try:
        with open_plain(path, MOST_BYTES) as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    if data.startswith(WIDE_MARKS):
        raise UserError(f"{path}: it is UTF-16 text, and tables are UTF-8; {SAVE_AS}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: byte {data[error.start]:#x} is no UTF-8 text; {SAVE_AS}") from None
    if "\0" in text:
        raise UserError(f"{path}, line {text.count(chr(10), 0, text.index(chr(0))) + 1}: a zero byte; it is no text")
    return text


def _header(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    if not any(names):
        raise UserError(f"{path}: it is no table, for its first line is empty")
    for separator, what in SEPARATORS.items():
        if len(names) == 1 and separator in names[0]:
            raise UserError(f"{path}: {what} are between its values; {SAVE_AS}")
    for name in names:
        if names.count(name) > 1:
            what = f"two columns are called '{name:.40}'" if name else "two columns have no name"
            raise UserError(plain(f"{path}: {what}"))
    return tuple(names)
