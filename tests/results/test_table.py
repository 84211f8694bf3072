"""The table: a row for every planned cell, exact columns, typed values."""

from __future__ import annotations

import math
from pathlib import Path

import fabricate
import pandas as pd
import pytest

from kdharness.errors import UserError
from kdharness.planning.cell import TeacherSource
from kdharness.results.foreign_rows import read_rows
from kdharness.results.record import COLUMNS, Status
from kdharness.results.store import ResultsFolder
from kdharness.results.table import frame_of, write_csv


def test_every_planned_cell_has_a_row_with_its_status(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    frame = folder.load().frame
    assert sorted(frame["cell"]) == sorted(folder.load().planned)
    counts = frame["status"].value_counts().to_dict()
    assert counts == {"ok": 26, "failed": 5, "skipped": 5, "interrupted": 1, "not_run": 1}
    assert frame["role"].tolist().count("teacher") == 1
    skipped = frame[frame["status"] == "skipped"]
    assert set(skipped["error_message"]) == {"the student has no stage of the teacher's shape"}
    assert frame[frame["status"] == "not_run"]["error_message"].tolist() == [""]


def test_columns_are_exact_and_extra_ones_sorted(tmp_path: Path) -> None:
    records = [fabricate.record(fabricate.cell(seed=s), **{f"x_{n}": 1.0, "private": 3}) for s, n in enumerate("ba")]
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records)
    assert folder.load().frame.columns.tolist() == [*COLUMNS, "x_a", "x_b"]


def test_a_column_that_a_later_row_brings_is_empty_before_and_after() -> None:
    rows = [{"cell": "a"}, {"cell": "b", "x_late": 2.0}, {"cell": "c"}]
    frame = frame_of(iter(rows))
    assert frame["cell"].tolist() == ["a", "b", "c"]
    assert frame["x_late"].isna().tolist() == [True, False, True]
    assert frame["x_late"][1] == 2.0


def test_an_empty_table_has_all_columns() -> None:
    assert frame_of([]).columns.tolist() == list(COLUMNS)


def test_numbers_are_numbers_and_what_was_not_measured_is_empty(tmp_path: Path) -> None:
    frame = fabricate.tiny_world(tmp_path).load().frame
    assert frame["seed"].dtype == "Int64"
    assert frame["peak_memory_bytes"].dtype == "Int64"
    assert frame["top1"].dtype == "float64"
    failed = frame[frame["status"] == "failed"].iloc[0]
    assert math.isnan(failed["top1"])
    assert failed["epochs"] is pd.NA
    assert failed["teacher_digest"] == ""
    assert not frame.drop(columns=frame.select_dtypes("number").columns).isna().any().any()


def test_a_failed_teacher_is_the_reason_of_what_rests_on_it(tmp_path: Path) -> None:
    teacher, student = fabricate.teacher_cell("resnet56"), fabricate.cell(teacher="resnet56")
    broken = fabricate.record(teacher, None, Status.FAILED, "loss became nan")
    frame = fabricate.write(tmp_path / "tiny", [teacher, student], [broken]).load().frame
    row = frame[frame["role"] == "student"].iloc[0]
    assert (row["status"], row["error_message"]) == ("not_run", "teacher resnet56 failed: loss became nan")


def test_a_reason_passes_through_a_chain_of_teachers(tmp_path: Path) -> None:
    top = fabricate.teacher_cell("resnet56")
    assistant = fabricate.cell("kd", student="resnet20", teacher="resnet56", role="teacher")
    student = fabricate.cell("kd", teacher=TeacherSource("resnet20", assistant.key))
    cells = [top, assistant, student]
    frame = fabricate.write(tmp_path / "tiny", cells, [fabricate.record(top, None, Status.OOM)]).load().frame
    assert set(frame.set_index("cell").loc[[assistant.key, student.key], "error_message"]) == {"teacher resnet56 oom"}


def test_a_teacher_of_a_file_is_known_by_its_digest(tmp_path: Path) -> None:
    cell = fabricate.cell(teacher=TeacherSource("conv32", sha256="f" * 64, path="/somewhere"))
    row = fabricate.write(tmp_path / "tiny", [cell], []).load().frame.iloc[0]
    assert row["teacher_digest"] == "f" * 16
    assert row["teacher_cell"] == ""


def test_stale_records_are_not_in_the_table(tmp_path: Path) -> None:
    old, new = fabricate.cell(), fabricate.cell(method_revision="2")
    folder = fabricate.write(tmp_path / "tiny", [old], [fabricate.record(old)])
    folder.plans.write(fabricate.plan([new]))
    assert folder.load().frame["cell"].tolist() == [new.key]
    assert folder.load().metrics_frame.empty


def test_the_order_of_rows_does_not_depend_on_the_order_of_plans(tmp_path: Path) -> None:
    cells = [fabricate.cell(m, s) for m in ("kd", "at", "vanilla") for s in (10, 9)]
    one = fabricate.write(tmp_path / "one", cells, [])
    other = fabricate.write(tmp_path / "other", cells[::-1], [])
    pd.testing.assert_frame_equal(one.load().frame, other.load().frame)
    assert one.load().frame["seed"].tolist() == [9, 10] * 3


def test_a_csv_comes_back_as_it_was(tmp_path: Path) -> None:
    cell = fabricate.cell("nan", variant="1e-3")
    message = 'a "quoted", odd\nmessage \x1b[31m \ud800'
    records = [
        fabricate.record(cell, 1 / 3 * 100, x_kd_rank=3, x_kd_note="null"),
        fabricate.record(fabricate.cell("null"), None, Status.FAILED, message),
    ]
    frame = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load().frame
    write_csv(frame, tmp_path / "results.csv")
    pd.testing.assert_frame_equal(frame_of(read_rows(tmp_path / "results.csv")), frame)
    assert set(frame["method"]) == {"nan", "null"}
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 3


def test_a_folder_with_a_csv_alone_gives_its_rows(tmp_path: Path) -> None:
    frame = fabricate.tiny_world(tmp_path).load().frame
    (tmp_path / "shared").mkdir()
    write_csv(frame, tmp_path / "shared" / "results.csv")
    pd.testing.assert_frame_equal(ResultsFolder(tmp_path / "shared").load().frame, frame)


def test_a_csv_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    """As spreadsheets save it, with the first name in quotes or not."""
    frame = fabricate.tiny_world(tmp_path).load().frame
    path = tmp_path / "results.csv"
    write_csv(frame, path)
    for first in (b"benchmark,", b'"benchmark",'):
        path.write_bytes(b"\xef\xbb\xbf" + first + path.read_bytes().partition(b",")[2])
        pd.testing.assert_frame_equal(frame_of(read_rows(path)), frame)


def test_a_csv_that_lacks_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("method,top1\nkd,90\n")
    with pytest.raises(UserError, match="it lacks the columns benchmark"):
        read_rows(tmp_path / "results.csv")


def test_metrics_are_long(tmp_path: Path) -> None:
    frame = fabricate.tiny_world(tmp_path).load().metrics_frame
    assert frame.columns.tolist() == ["cell", "predictor", "split", "metric", "value"]
    assert len(frame) == 26
