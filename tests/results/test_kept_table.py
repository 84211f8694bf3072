"""What was read of a large folder is kept until a file of it changes, and never believed beyond that."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pandas as pd
import pytest

from kdharness.cli.main import execute
from kdharness.protocol.claim import Claim
from kdharness.report.page import as_page
from kdharness.report.terminal import as_text
from kdharness.report.view import Report, report_of
from kdharness.results import kept
from kdharness.results.contents import Contents
from kdharness.results.kept_tables import read_table, write_table
from kdharness.results.store import ResultsFolder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ResultsFolder:
    monkeypatch.setattr(kept, "LEAST_CELLS", 1)
    return fabricate.tiny_world(tmp_path)


def read(folder: ResultsFolder) -> tuple[Contents, int]:
    """What there is, and how often all of it was read for that."""
    times = []
    made = ResultsFolder(folder.path).load_kept()
    own = made.read
    counted = replace(made, read=lambda: times.append(1) or own())  # type: ignore[func-returns-value]
    _ = counted.frame, counted.metrics_frame, counted.documents_frame, counted.head, counted.doubts
    return counted, len(times)


def test_what_is_kept_is_what_was_read(folder: ResultsFolder) -> None:
    fresh, (first, times), (again, later) = folder.load(), read(folder), read(folder)
    assert (times, later) == (1, 0)
    for made in (first, again):
        for name in ("frame", "metrics_frame", "documents_frame"):
            pd.testing.assert_frame_equal(getattr(made, name), getattr(fresh, name))
        assert made.head == fresh.head
        assert (made.counts, made.doubts, made.references) == (fresh.counts, fresh.doubts, ("vanilla", "kd"))
        assert (made.note, made.notes) == (fresh.note, fresh.notes)
    assert again.records.keys() == fresh.records.keys()


def test_a_changed_record_is_read(folder: ResultsFolder) -> None:
    read(folder)
    cell = fabricate.cell("kd", 0)
    folder.write_record(fabricate.record(cell, 12.5))
    made, times = read(folder)
    assert times == 1
    assert made.frame.set_index("cell").loc[cell.key, "top1"] == 12.5


def test_an_edit_that_hides_its_time_is_seen(folder: ResultsFolder) -> None:
    read(folder)
    path = folder.cell(fabricate.cell("kd", 0).key).record
    about = path.stat()
    path.write_bytes(path.read_bytes().replace(b"91.0", b"99.0"))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (about.st_size, about.st_mtime_ns)
    with pytest.MonkeyPatch.context() as patch:
        said: list[str] = []
        patch.setattr("kdharness.results.store.to_stderr", said.append)
        made = ResultsFolder(folder.path, said.append).load_kept()
    assert made.faults[fabricate.cell("kd", 0).key].reason == "its values do not match its digest"
    assert len(said) == 1


@pytest.mark.parametrize("name", ["table.npz", "metrics.npz", "documents.npz", "head.json", "doubts.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"stamp": 1}'])
def test_what_is_torn_is_read_anew(folder: ResultsFolder, name: str, content: bytes) -> None:
    first, _ = read(folder)
    (folder.path / kept.FOLDER / name).write_bytes(content)
    made, times = read(folder)
    assert times == 1
    pd.testing.assert_frame_equal(made.frame, first.frame)
    pd.testing.assert_frame_equal(made.metrics_frame, first.metrics_frame)
    assert made.head == first.head
    assert read(folder)[1] == 0


def test_objects_are_never_loaded(folder: ResultsFolder) -> None:
    """A pickle would run what a stranger wrote."""
    first, _ = read(folder)
    assert first.kept is not None
    with (folder.path / kept.FOLDER / "table.npz").open("wb") as file:
        np.savez(file, head=np.array([{"stamp": first.kept.stamp, "columns": []}], dtype=object))
    assert first.kept.table("table") is None


def test_files_beside_records_are_looked_at_again(folder: ResultsFolder) -> None:
    cell = fabricate.cell("kd", 0)
    folder.cell(cell.key).history.write_text("epoch,split,predictor,metric,value\n")
    folder.write_record(fabricate.record(cell, 91.0))
    assert read(folder)[0].doubts == ()
    folder.cell(cell.key).history.write_text("epoch,split,predictor,metric,value\n0,test,student,top1,1\n")
    made, _ = read(folder)
    assert made.doubts == (f"1 file is not as the record beside it says: cells/{cell.key}/history.csv",)


def test_nothing_is_kept_of_a_small_folder_or_where_a_run_is_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = fabricate.tiny_world(tmp_path)
    read(small)
    monkeypatch.setattr(kept, "LEAST_CELLS", 1)
    monkeypatch.setattr("kdharness.results.progress.ProgressFile.running", lambda self: {"running": []})
    read(small)
    assert not (small.path / kept.FOLDER).exists()


def test_where_nothing_can_be_written_nothing_is_kept(folder: ResultsFolder) -> None:
    (folder.path / kept.FOLDER).write_text("a file where the folder would be")
    assert [read(folder)[1] for _ in range(2)] == [1, 1]


def test_commands_say_the_same(folder: ResultsFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for number in range(2):
        out = tmp_path / f"{number}.csv"
        assert execute(["leaderboard", str(folder.path), "--out", str(out)]) == 0
        assert execute(["status", str(folder.path)]) == 0
        said.append((out.read_bytes(), capsys.readouterr().out))
    assert said[0] == said[1]


def whole_report(folder: ResultsFolder) -> tuple[Report, int]:
    """And how often everything was read for it."""
    times = []
    made = ResultsFolder(folder.path).load_kept()
    own = made.read
    counted = replace(made, read=lambda: times.append(1) or own())  # type: ignore[func-returns-value]
    return report_of(counted, appendix=True), len(times)


def test_a_report_of_an_unchanged_folder_reads_the_records_of_its_problems_alone(
    folder: ResultsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, once), fresh = whole_report(folder), report_of(folder.load(), appendix=True)
    asked: list[str] = []
    read_record = ResultsFolder.read_record
    monkeypatch.setattr(ResultsFolder, "read_record", lambda self, key: asked.append(key) or read_record(self, key))  # type: ignore[func-returns-value]
    again, later = whole_report(folder)
    assert (once, later) == (1, 0)
    assert set(asked) == {problem.cell for problem in fresh.problems}
    for made in (first, again):
        assert as_text([made], whole=True) == as_text([fresh], whole=True)
        assert as_page([made]) == as_page([fresh])
    assert "Traceback ..." in fresh.appendix.tracebacks.values()


def test_a_traceback_that_changed_is_shown(folder: ResultsFolder) -> None:
    cell = next(iter(whole_report(folder)[0].appendix.tracebacks))
    failed = folder.load().records[cell]
    folder.write_record(replace(failed, traceback="Traceback of today"))
    report, times = whole_report(folder)
    assert times == 1
    assert report.appendix.tracebacks[cell] == "Traceback of today"


def test_a_further_plan_is_read(folder: ResultsFolder) -> None:
    read(folder)
    claim = Claim(text="kd is better", better="kd", than="vanilla", smaller=False, equal_within=0.2)
    cell = fabricate.cell("kd", 0)
    folder.plans.write(fabricate.plan([cell], claims=(claim,), references=("vanilla",), ablated="kd"))
    (first, once), (again, later) = read(folder), read(folder)
    assert (once, later) == (1, 0)
    for made in (first, again):
        assert (made.claims, made.references) == ((claim,), ("vanilla",))
        assert [plan.ablated for plan in made.ablations] == ["kd"]


def test_results_that_no_plan_produces_any_more_are_counted(folder: ResultsFolder) -> None:
    folder.write_record(fabricate.record(fabricate.cell("former", 0), 50.0))
    (first, _), (again, later) = read(folder), read(folder)
    assert (first.head.left_out, again.head.left_out, later) == (1, 1, 0)


def test_what_other_code_kept_is_read_anew(folder: ResultsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    read(folder)
    monkeypatch.setattr(kept, "_code", lambda: "edited")
    assert [read(folder)[1] for _ in range(2)] == [1, 0]


def test_status_keeps_what_it_counted(folder: ResultsFolder) -> None:
    assert execute(["status", str(folder.path)]) == 0
    assert sorted(path.name for path in (folder.path / kept.FOLDER).iterdir()) == ["head.json"]
    made = ResultsFolder(folder.path).load_kept()
    assert "_reading" not in vars(made)
    assert made.counts == folder.load().counts


def test_a_record_is_read_alone_unless_all_are_there(folder: ResultsFolder) -> None:
    read(folder)
    key = fabricate.cell("kd", 0).key
    made = ResultsFolder(folder.path).load_kept()
    assert made.record(key) == folder.read_record(key)
    assert "_reading" not in vars(made)
    assert made.record(key) == made.records[key]
    assert made.record(key) is made.records[key]
    assert folder.load().record("absent") is None


def test_numbers_of_any_size_and_kind_are_kept(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "whole": pd.Series([1, -(2**62)], dtype="int64"),
            "integer": pd.Series([None, 2**60], dtype="Int64"),
            "number": [0.1, float("nan")],
            "endless": [float("inf"), -0.0],
            "text": pd.Series(["", "\ud800 \u65e5"], dtype="object"),
            "large": pd.Series([2**70, 1], dtype="object"),
        }
    )
    write_table(tmp_path / "t.npz", "now", table)
    again = read_table(tmp_path / "t.npz", "now")
    assert again is not None
    pd.testing.assert_frame_equal(again, table)
    assert read_table(tmp_path / "t.npz", "then") is None
