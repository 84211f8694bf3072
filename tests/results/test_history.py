"""A cell's curves are written whole."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from kdharness.errors import UserError
from kdharness.results import files
from kdharness.results.history import HISTORY_COLUMNS, HistoryRow, read_history, write_history

ROWS: list[HistoryRow] = [
    (1, "train", "", "ce", 2.2818336486816406),
    (1, "test", "student", "top1", 1 / 3),
    (2, "test", 'a "quoted", odd\nname', "top1", 5e-324),
]


def read(path: Path) -> list[HistoryRow]:
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == HISTORY_COLUMNS
    return [(int(epoch), split, predictor, metric, float(value)) for epoch, split, predictor, metric, value in rows]


def test_rows_come_back_to_the_last_digit(tmp_path: Path) -> None:
    path = tmp_path / "cell" / "history.csv"
    write_history(path, ROWS)
    assert read(path) == ROWS
    assert path.read_text().splitlines()[:2] == ["epoch,split,predictor,metric,value", "1,train,,ce,2.2818336486816406"]


def test_what_is_written_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    write_history(path, ROWS)
    write_history(path, ROWS[:1])
    assert read(path) == ROWS[:1]
    write_history(path, [])
    assert path.read_text() == "epoch,split,predictor,metric,value\n"
    assert read(path) == []


def test_a_process_that_dies_while_it_writes_leaves_the_former_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "history.csv"
    write_history(path, ROWS)

    def die(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", die)
    with pytest.raises(KeyboardInterrupt):
        write_history(path, ROWS[:1])
    assert read(path) == ROWS
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_refuses_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "cell").write_text("a file in the way")
    with pytest.raises(UserError, match="could not write"):
        write_history(tmp_path / "cell" / "history.csv", ROWS)


def test_curves_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    rows: list[HistoryRow] = [(1, "test", "=student", "top1", 12.5), (2, "train", "", "ce", 0.1)]
    write_history(path, rows)
    assert read_history(path) == rows


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"epoch,split,predictor,metric,value\n1,test\n", b"\xff\x00"])
def test_what_is_no_history_has_no_curves(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(content)
    assert read_history(path) == []
    assert read_history(tmp_path / "none.csv") == []
