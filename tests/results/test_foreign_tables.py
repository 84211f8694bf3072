"""Somebody's results.csv: what is wrong with it is said in one line by every command that reads it, and nothing is
written.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import fabricate
import pytest

import kdharness
from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.results.foreign_rows import read_rows, sound_rows
from kdharness.results.foreign_table import read_foreign
from kdharness.results.record import COLUMNS, ENDLESS_COLUMNS, FLOAT_COLUMNS, INTEGER_COLUMNS
from kdharness.results.row_faults import ALWAYS, MEASURED
from kdharness.results.table import csv_text

Lines = list[list[str]]
Change = Callable[[Lines], Lines]

SCORES: Mapping[str, list[float | None]] = {"kd": [90.0, 91.0, 90.5], "vanilla": [88.0, 88.5, 87.9]}
# Which columns are empty where. The second row of a spreadsheet is the first of the table.
NUMBERS = (*FLOAT_COLUMNS, *INTEGER_COLUMNS)
OK_LINE = 3
CELL_LINE = 4


@pytest.fixture(scope="module")
def lines() -> Lines:
    """Of a sound table: the header, then six students."""
    return list(csv.reader(io.StringIO(csv_text(fabricate.scores_table(SCORES)))))


def text_of(lines: Lines, **form: str) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n", **form).writerows(lines)  # type: ignore[arg-type]
    return file.getvalue()


def cell_is(column: str, value: str, at: int = OK_LINE) -> Change:
    def change(lines: Lines) -> Lines:
        made = [list(line) for line in lines]
        made[at - 1][COLUMNS.index(column)] = value
        return made

    return change


def without(column: str) -> Change:
    at = COLUMNS.index(column)
    return lambda lines: [[*line[:at], *line[at + 1 :]] for line in lines]


def named(column: str, name: str) -> Change:
    at = COLUMNS.index(column)
    return lambda lines: [[*lines[0][:at], name, *lines[0][at + 1 :]], *lines[1:]]


# By condition: what becomes of the lines, of their text, where it is said to be, and what.
Bytes = Callable[[str], bytes]
UTF8: Bytes = str.encode
WIDTH = len(COLUMNS)
CONDITIONS: Mapping[str, tuple[Change, Bytes, str, str]] = {
    "no seed": (cell_is("seed", ""), UTF8, ", row 3", "'seed' is empty"),
    "a word for a number": (cell_is("nll", "low"), UTF8, ", row 3", "nll 'low' is no number"),
    "a decimal comma": (cell_is("top1", "90,5"), UTF8, ", row 3", "top1 '90,5' is no number; did you mean 90.5?"),
    "thousands": (
        cell_is("student_macs", "1 234 567"), UTF8, ", row 3",
        "student_macs '1 234 567' is no number; did you mean 1234567?",
    ),
    "half a seed": (cell_is("seed", "1.5"), UTF8, ", row 3", "seed 1.5 is no whole number"),
    "out of range": (cell_is("top1", "190"), UTF8, ", row 3", "top1 190 is not between 0 and 100"),
    "no status": (cell_is("status", "fine"), UTF8, ", row 3", "status 'fine' is none of ok, failed,"),
    "no key": (cell_is("cell", "7"), UTF8, ", row 3", "cell '7' is no key of 20 hexadecimal digits"),
    "one row twice": (lambda lines: [*lines, lines[1]], UTF8, ", row 8", "its cell is in row 2 already"),
    "two tables": (lambda lines: [*lines, *lines], UTF8, ", row 8", "it is the header once more"),
    "a column less": (
        without("seed"), UTF8, "", "it is no results table of this release: it lacks the column seed",
    ),
    "a column misspelt": (
        named("top1", "Top1"), UTF8, "",
        "it is no results table of this release: it lacks the column top1; there is 'Top1'",
    ),
    "a name twice": (named("top5", "top1"), UTF8, "", "two columns are called 'top1'"),
    "a short line": (
        lambda lines: [*lines[:3], lines[3][:-1]], UTF8, ", row 4", f"it has {WIDTH - 1} values, and the header",
    ),
    "a long line": (
        lambda lines: [*lines[:3], [*lines[3], "5"]], UTF8, ", row 4",
        f"it has {WIDTH + 1} values, and the header {WIDTH} values; is a comma in a number",
    ),
    "semicolons": (list, lambda text: text.replace(",", ";").encode(), "", "semicolons are between its values; save"),
    "tabs": (list, lambda text: text.replace(",", "\t").encode(), "", "tabs are between its values; save it as"),
    "utf-16": (list, lambda text: text.encode("utf-16"), "", "it is UTF-16 text, and tables are UTF-8; save it as"),
    "latin-1": (
        cell_is("error_message", "déjà vu"), lambda text: text.encode("latin-1"), ", line 3",
        "byte 0xe9 is no UTF-8 text; save it as",
    ),
    "a zero byte": (cell_is("teacher", "a\0"), UTF8, ", line 3", "a zero byte; it is no text"),
    "an open quote": (list, lambda text: (text + '"never closed').encode(), ", row 8", "it cannot be read as CSV"),
    "nothing": (lambda lines: [], UTF8, "", "it is no table, for its first line is empty"),
    "a leaderboard": (named("top1", "top1_mean"), UTF8, "", "it is a leaderboard; name the results.csv beside it"),
}  # fmt: skip
COMMANDS: Mapping[str, list[str]] = {
    "status": ["status", "DIR"],
    "report": ["report", "DIR"],
    "page": ["report", "DIR", "--format", "html", "--out", "OUT.html"],
    "leaderboard": ["leaderboard", "DIR", "--out", "OUT.csv"],
    "add": ["leaderboard", "add", "DIR/results.csv", "--to", "BOARD"],
    "board": ["leaderboard", "add", "GOOD", "--to", "DIR"],
    "compare": ["compare", "DIR", "--out", "OUT.txt"],
    "two": ["compare", "GOOD", "DIR", "--out", "OUT.txt"],
    "export": ["results", "export", "DIR", "--out", "BOARD"],
}
# These list all that is wrong, each row by its cell.
LISTS = {"add"}


def entries(path: Path) -> set[str]:
    return {str(each.relative_to(path)) for each in path.rglob("*")} - {"theirs/.lock"}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("condition", CONDITIONS)
def test_what_is_wrong_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lines: Lines,
    condition: str,
    command: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    change, encoded, place, said = CONDITIONS[condition]
    made = encoded(text_of(change(lines)))
    for name, content in (("theirs", made), ("good", text_of(lines).encode())):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.csv").write_bytes(content)
    if command == "board":
        monkeypatch.setattr("kdharness.cli.board_adding._faults", lambda *_: ())
    before = entries(tmp_path)
    places = {"DIR": "theirs", "GOOD": "good", "BOARD": "board", "DIR/results.csv": "theirs/results.csv"}
    code = execute([places.get(word, word) for word in COMMANDS[command]])
    output = capsys.readouterr()
    assert code == 2
    assert output.out == ""
    assert said in output.err
    assert entries(tmp_path) == before
    assert (tmp_path / "theirs" / "results.csv").read_bytes() == made
    assert "Traceback" not in output.err
    if command not in LISTS:
        (line,) = (line for line in output.err.splitlines() if line.startswith("error: "))
        assert line.startswith(f"error: theirs/results.csv{place}: {said}")


@pytest.mark.parametrize("condition", CONDITIONS)
def test_what_is_wrong_is_one_line_in_python(tmp_path: Path, lines: Lines, condition: str) -> None:
    change, encoded, place, said = CONDITIONS[condition]
    (tmp_path / "results.csv").write_bytes(encoded(text_of(change(lines))))
    with pytest.raises(UserError) as raised:
        kdharness.load(tmp_path).cells  # noqa: B018 - it raises
    assert str(raised.value).startswith(f"{tmp_path / 'results.csv'}{place}: {said}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("column", COLUMNS)
def test_every_column_may_be_empty_or_is_asked_for(tmp_path: Path, lines: Lines, column: str) -> None:
    path = tmp_path / "results.csv"
    path.write_text(text_of(cell_is(column, "")(lines)))
    if column in (*ALWAYS, *MEASURED, "track"):
        with pytest.raises(UserError, match=f"results.csv, row 3: .*'{column}' is empty"):
            sound_rows(path)
    else:
        assert sound_rows(path)[1][column] == ""


@pytest.mark.parametrize("column", NUMBERS)
@pytest.mark.parametrize("value", ["x", "-1", "1e999", "nan", "9" * 400])
def test_every_number_is_one(tmp_path: Path, lines: Lines, column: str, value: str) -> None:
    path = tmp_path / "results.csv"
    path.write_text(text_of(cell_is(column, value)(lines)))
    if column in ENDLESS_COLUMNS and value in ("1e999", "9" * 400):
        assert len(sound_rows(path)) == 6
        return
    with pytest.raises(UserError, match=rf"results.csv, row 3: {column} .* is "):
        sound_rows(path)


@pytest.mark.parametrize(
    "encoded",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: f"{text}\n\n{',' * (len(COLUMNS) - 1)}\n".encode(),
        lambda text: text.replace("\n", "\n\n", 1).encode(),
        lambda text: text.rstrip("\n").encode(),
    ],
    ids=["byte order mark", "CRLF", "CR", "empty lines at the end", "an empty line between", "no last newline"],
)
def test_what_spreadsheets_do_is_read(tmp_path: Path, lines: Lines, encoded: Bytes) -> None:
    sound, theirs = tmp_path / "sound.csv", tmp_path / "results.csv"
    sound.write_text(text_of(lines))
    theirs.write_bytes(encoded(text_of(lines)))
    assert sound_rows(theirs) == sound_rows(sound)


def test_rows_are_counted_as_a_spreadsheet_counts(tmp_path: Path, lines: Lines) -> None:
    """A text over two lines is in one row, an empty line is one."""
    path = tmp_path / "results.csv"
    made = cell_is("error_message", "one\ntwo", at=2)(cell_is("seed", "", at=CELL_LINE)(lines))
    path.write_text(text_of([*made[:2], [], *made[2:]]))
    with pytest.raises(UserError, match=f"row {CELL_LINE + 1}: 'seed' is empty"):
        sound_rows(path)


def test_further_faults_are_counted(tmp_path: Path, lines: Lines) -> None:
    path = tmp_path / "results.csv"
    path.write_text(text_of(cell_is("top1", "x")(cell_is("seed", "")(lines))))
    with pytest.raises(UserError, match=r"row 3: 'seed' is empty \(and 1 more like this or others\)"):
        sound_rows(path)
    assert len(read_rows(path)) == 6


def test_hostile_names_are_one_printable_line(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("\x1b[31mred,\x1b[31mred\n")
    with pytest.raises(UserError) as raised:
        read_foreign(path)
    assert str(raised.value).isprintable()


def test_what_is_no_file_or_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "results.csv"
    with pytest.raises(UserError, match=r"cannot read .*results.csv: No such file or directory"):
        read_foreign(path)
    os.mkfifo(path)
    with pytest.raises(UserError, match=r"cannot read .*results.csv: it is no plain file"):
        read_foreign(path)
    path.unlink()
    path.write_text("a,b\n" * 1000)
    monkeypatch.setattr("kdharness.results.foreign_table.MOST_BYTES", 2**10)
    with pytest.raises(UserError, match=r"cannot read .*results.csv: it is larger than 1 KiB"):
        read_foreign(path)


def test_a_table_of_another_name_is_told_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "theirs.csv").write_text("a,b\n")
    assert execute(["report", str(tmp_path / "theirs.csv")]) == 2
    assert "put it into a folder of its own as results.csv" in capsys.readouterr().err
