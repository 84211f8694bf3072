"""leaderboard.csv: columns as they are documented, and the same bytes from the same results."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import fabricate
import pandas as pd
import pytest

from kdharness.report.leaderboard import merge, write_tables
from kdharness.results.record import Record
from kdharness.results.store import ResultsFolder
from kdharness.results.table import write_csv
from kdharness.stats.board import leaderboard
from kdharness.stats.board_schema import (
    BOARD_COLUMNS,
    LEADERBOARD_SCHEMA,
    PANDAS_TYPES,
    SCHEMA_COLUMN,
    BoardColumn,
    board_columns,
)
from kdharness.stats.former_rows import SUPERSEDED
from kdharness.stats.standings import REFERENCES, columns

README = Path(__file__).parents[2] / "results" / "README.md"
HOSTILE = ("<script>alert(1)</script>", "=1+1", "nan", "a,b", "a|b", "50%", "a&b", 'say "x"', "Öl 蒸留 🧪")


def records() -> list[Record]:
    teacher = fabricate.record(fabricate.teacher_cell(), 97.0)
    return [teacher, *fabricate.records_of(fabricate.SCORES)]


def written(frame: pd.DataFrame, path: Path) -> bytes:
    write_csv(leaderboard(frame), path)
    return path.read_bytes()


def as_row(column: BoardColumn) -> str:
    return f"| `{column.name}` | {column.dtype} | {column.meaning} | {column.unit} |"


def test_the_dictionary_shows_the_schema_as_it_is() -> None:
    section = README.read_text(encoding="utf-8").split("\n## leaderboard.csv\n")[1].split("\n## ")[0]
    assert [line for line in section.splitlines() if line.startswith("| `")] == [as_row(c) for c in BOARD_COLUMNS]


@pytest.mark.parametrize("references", [REFERENCES, ("kd",), ("plain", "vanilla", "kd")])
def test_the_schema_names_the_columns_in_order(references: tuple[str, ...]) -> None:
    names = [column.name for column in board_columns(references)]
    assert names == [SCHEMA_COLUMN, *columns(references), SUPERSEDED]
    assert leaderboard(fabricate.table_of([]), references).columns.to_list() == names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("made", [[], records()], ids=["empty", "full"])
def test_each_column_is_of_its_type(made: list[Record]) -> None:
    board = leaderboard(fabricate.table_of(made))
    found = {name: str(dtype) for name, dtype in board.dtypes.items()}
    assert found == {column.name: PANDAS_TYPES[column.dtype] for column in board_columns(REFERENCES)}


def test_numeric_columns_hold_numbers_alone(tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.csv"
    written(fabricate.table_of(records()), path)
    kept = pd.read_csv(path, dtype=str, keep_default_na=False)
    forms = {"integer": r"-?\d+|", "float": r"-?\d+(\.\d+)?(e-?\d+)?|inf|", "boolean": "True|False"}
    for column in board_columns(REFERENCES):
        if column.dtype in forms:
            assert all(re.fullmatch(forms[column.dtype], value) for value in kept[column.name]), column.name
    assert set(kept[SCHEMA_COLUMN]) == {str(LEADERBOARD_SCHEMA)}
    assert kept.loc[kept["method"] == "kd", "top1_mean"].astype(float).max() == 91.16


def test_numbers_are_written_so_that_they_are_read_back_to_the_last_bit(tmp_path: Path) -> None:
    frame = fabricate.scores_table({"kd": [91.1, 91.2, 91.30000000000001]})
    written(frame, tmp_path / "board.csv")
    kept = pd.read_csv(tmp_path / "board.csv", dtype=str)
    assert [float(text) for text in kept["top1_sd"]] == leaderboard(frame)["top1_sd"].to_list()


def test_the_order_of_rows_changes_no_byte(tmp_path: Path) -> None:
    made, path = records(), tmp_path / "board.csv"
    first = written(fabricate.table_of(made), path)
    random.Random(0).shuffle(made)
    assert written(fabricate.table_of(made), path) == first


def test_names_in_any_script_and_hostile_ones_are_kept_apart_and_read_back(tmp_path: Path) -> None:
    frame = fabricate.table_of([fabricate.record(fabricate.cell("kd", variant=name)) for name in HOSTILE])
    written(frame, tmp_path / "board.csv")
    kept = pd.read_csv(tmp_path / "board.csv", dtype=str, keep_default_na=False)
    guarded = {f"'{name}" if name.startswith("=") else name for name in HOSTILE}
    assert set(kept["variant"]) == guarded


def halves(tmp_path: Path) -> tuple[ResultsFolder, ResultsFolder, ResultsFolder]:
    """What two machines trained, teacher and all, and one folder that holds both."""
    teacher = fabricate.record(fabricate.teacher_cell(), 97.0, train_seconds=3.0)
    slower = fabricate.record(fabricate.teacher_cell(), 97.0, train_seconds=9.0)
    students = fabricate.records_of(fabricate.SCORES)
    one, two = students[::2], students[1::2]
    folders = ((tmp_path / "a" / "tiny", [teacher, *one]), (tmp_path / "b" / "tiny", [slower, *two]))
    left, right = (fabricate.write(path, [r.cell for r in made], made) for path, made in folders)
    both = fabricate.write(tmp_path / "c" / "tiny", [r.cell for r in students], [teacher, *students])
    both.plans.write(fabricate.plan([teacher.cell], created_at="2024-01-01T00:00:00+00:00"))
    return left, right, both


def test_the_halves_of_two_machines_are_the_leaderboard_of_one(tmp_path: Path) -> None:
    left, right, both = halves(tmp_path)
    boards = {written(merge([a.load(), b.load()]).frame, tmp_path / "m.csv") for a, b in ((left, right), (right, left))}
    write_tables(both.load())
    assert boards == {both.tables.leaderboard.read_bytes()}
    kept = pd.read_csv(both.tables.leaderboard)
    assert kept.set_index(["method", "variant"]).loc[("kd", "temperature=2"), "n"] == 5


def test_of_rivals_of_one_moment_the_same_counts_in_any_order(tmp_path: Path) -> None:
    """One cell, two machines, the same second, other numbers."""
    made = [fabricate.write(tmp_path / str(n) / "tiny", [fabricate.cell()], [fabricate.record(fabricate.cell(), top1)])
            for n, top1 in enumerate((90.0, 91.0))]  # fmt: skip
    first, second = (merge([a.load(), b.load()]).frame for a, b in (made, made[::-1]))
    pd.testing.assert_frame_equal(first, second)


def test_neither_locale_nor_hash_seed_changes_a_byte(tmp_path: Path) -> None:
    _, _, both = halves(tmp_path)
    found = set()
    for number, settings in enumerate(({"LC_ALL": "C", "PYTHONHASHSEED": "1"}, {"LC_ALL": "de_DE.UTF-8"})):
        out = tmp_path / f"{number}.csv"
        command = [sys.executable, "-m", "kdharness", "leaderboard", str(both.path), "--out", str(out)]
        subprocess.run(command, check=True, env={**os.environ, **settings}, capture_output=True)
        found.add(out.read_bytes())
    assert len(found) == 1
