"""One reading of a folder gives plans, records and tables; no command reads a file twice."""

from __future__ import annotations

import gc
import io
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import fabricate
import pytest

from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.protocol.claim import Claim
from kdharness.report.leaderboard import write_tables
from kdharness.results.record import Status
from kdharness.results.store import ResultsFolder
from kdharness.results.table import write_csv


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each path was opened."""
    found: Counter[str] = Counter()

    def counted(real: Callable[..., object]) -> Callable[..., object]:
        def counting(file: object, *arguments: object, **named: object) -> object:
            found[str(file)] += 1
            return real(file, *arguments, **named)

        return counting

    # What pathlib calls, and what the harness opens plain files with.
    monkeypatch.setattr(io, "open", counted(io.open))
    monkeypatch.setattr(os, "open", counted(os.open))
    return found


def several_plans(path: Path) -> ResultsFolder:
    """Three plans, claims and an ablation among them, and a stale record."""
    folder = fabricate.tiny_world(path)
    old = fabricate.cell("old")
    folder.write_record(fabricate.record(old))
    cells = [fabricate.cell("kd", seed) for seed in range(5)]
    parts = {cell.key: ("kd",) for cell in cells}
    folder.plans.write(fabricate.plan(cells, ablated="kd", parts=parts))
    claim = Claim(text="Soft targets help", better="kd", than="vanilla")
    folder.plans.write(fabricate.plan(cells, claims=(claim,)))
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ("status",),
        ("report",),
        ("report", "--plots", "drawn"),
        ("report", "--format", "html", "--out", "page.html"),
        ("leaderboard",),
        ("leaderboard", "--out", "board.csv"),
    ],
    ids=" ".join,
)
def test_a_command_reads_each_file_once(
    tmp_path: Path, opened: Counter[str], monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = several_plans(tmp_path)
    opened.clear()
    verb, *options = command
    assert execute([verb, str(folder.path), *options]) == 0
    own = {path: count for path, count in opened.items() if path.startswith(str(folder.path))}
    read = {path: count for path, count in own.items() if path.endswith(".json") and "progress" not in path}
    records = [str(path) for path in folder.cells_path.glob("*/record.json")]
    assert read == dict.fromkeys([*map(str, folder.plans.paths()), *records], 1)


def test_all_tables_come_from_one_reading(tmp_path: Path, opened: Counter[str]) -> None:
    contents = several_plans(tmp_path).load()
    opened.clear()
    write_tables(contents)
    assert [path for path in opened if path.endswith(".json")] == []
    assert {path.name for path in contents.tables.written()} == {
        "results.csv", "metrics.csv", "leaderboard.csv", "claims.csv", "ablation.csv",
    }  # fmt: skip


def test_what_follows_is_made_once(tmp_path: Path) -> None:
    contents = several_plans(tmp_path).load()
    assert contents.planned is contents.planned
    assert contents.frame is contents.frame
    assert contents.metrics_frame is contents.metrics_frame


def test_plans_records_and_what_is_stale(tmp_path: Path) -> None:
    contents = several_plans(tmp_path).load()
    assert contents.name == "tiny"
    assert len(contents.plans) == 3
    assert contents.newest is contents.plans[-1]
    assert contents.newest.claims[0].better == "kd"
    assert list(contents.stale) == [fabricate.cell("old").key]
    assert len(contents.planned) == 38
    assert contents.progress is None


def test_each_status_is_counted(tmp_path: Path) -> None:
    records = [
        fabricate.record(fabricate.cell(f"m{number}", seed), None, status)
        for number, status in enumerate(fabricate.Status, 1)
        for seed in range(number)
    ]
    contents = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load()
    assert contents.counts == {
        "ok": 1, "failed": 2, "oom": 3, "timeout": 4, "interrupted": 5, "skipped": 6, "not_run": 7,
    }  # fmt: skip


def test_counts_are_those_of_the_table(tmp_path: Path) -> None:
    contents = fabricate.tiny_world(tmp_path).load()
    assert contents.counts == {"failed": 5, "interrupted": 1, "not_run": 1, "ok": 26, "skipped": 5}
    assert contents.counts == contents.frame["status"].value_counts().to_dict()


def test_cells_at_work_count_as_running(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    keys = [fabricate.cell("slow", seed).key for seed in (0, 1)]
    folder.progress.write({"running": [{"cells": keys[:1]}, {"cells": keys[1:]}, {}]})
    contents = folder.load()
    assert contents.running == set(keys)
    assert contents.counts == {"failed": 5, "ok": 26, "running": 2, "skipped": 5}
    assert set(contents.frame["status"]) >= {"interrupted", "not_run"}


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    contents = ResultsFolder(tmp_path / "tiny").load()
    assert (contents.plans, contents.records, contents.faults) == ((), {}, {})
    assert contents.progress is None
    assert contents.foreign is None
    assert contents.newest is None
    assert contents.counts == {}
    assert contents.frame.empty
    assert contents.metrics_frame.empty


def test_somebody_elses_table_stands_in_for_plans(tmp_path: Path) -> None:
    own = fabricate.tiny_world(tmp_path).load()
    shared = ResultsFolder(tmp_path / "shared")
    write_csv(own.frame, shared.tables.results)
    contents = shared.load()
    assert contents.counts == own.counts
    assert contents.frame.equals(own.frame)
    assert contents.metrics_frame.empty
    write_tables(own)
    assert ResultsFolder(own.path).load().foreign is None


def test_a_damaged_file_is_warned_of_once_and_the_others_are_read(tmp_path: Path) -> None:
    warnings: list[str] = []
    folder = ResultsFolder(several_plans(tmp_path).path, warnings.append)
    key = fabricate.cell("kd", 0).key
    folder.cell(key).record.write_text("{")
    folder.plans.paths()[0].write_text("[]")
    contents = folder.load()
    folder.load()
    assert len(warnings) == 2
    assert key not in contents.records
    assert len(contents.plans) == 2
    assert contents.counts == {"not_run": 1, "ok": 4}


def test_a_record_of_another_schema_ends_the_reading_and_the_collector_goes_on(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    folder.cell(fabricate.cell("kd", 0).key).record.write_text('{"schema": 7}')
    with pytest.raises(UserError, match="schema version 7"):
        folder.load()
    assert gc.isenabled()


def test_what_is_no_cells_folder_is_passed_over(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    (folder.cells_path / "notes.txt").write_text("mine")
    (folder.cells_path / "empty").mkdir()
    assert len(folder.load().records) == 32


def test_a_file_in_the_place_of_the_cells_is_a_user_error(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    folder.path.mkdir()
    folder.cells_path.write_text("in the way")
    with pytest.raises(UserError, match=r"cannot read .*cells"):
        folder.load()


def test_a_status_is_known_by_the_record_not_by_the_plan(tmp_path: Path) -> None:
    cell = fabricate.cell()
    record = fabricate.record(cell, None, Status.OOM)
    contents = fabricate.write(tmp_path / "tiny", [cell], [record], skips={cell.key: "no stages"}).load()
    assert contents.counts == {"oom": 1}


def test_a_cell_that_the_system_does_not_show_is_unreadable_and_never_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = fabricate.tiny_world(tmp_path)
    hidden = folder.cell(fabricate.cell("kd", 0).key).record
    hidden.unlink()
    hidden.mkdir()
    contents = folder.load()
    assert contents.counts == {"failed": 5, "interrupted": 1, "not_run": 1, "ok": 25, "skipped": 5, "unreadable": 1}
    assert contents.counts == contents.frame["status"].value_counts().to_dict()
    (row,) = contents.frame[contents.frame["status"] == "unreadable"].to_dict("records")
    assert (row["method"], row["error_message"]) == ("kd", "record.json: Is a directory")
    assert execute(["status", str(folder.path)]) == 0
    assert "unreadable" in capsys.readouterr().out


def test_an_edited_record_is_in_no_table_and_its_row_says_why(tmp_path: Path) -> None:
    warnings: list[str] = []
    folder = ResultsFolder(fabricate.tiny_world(tmp_path).path, warnings.append)
    path = folder.cell(fabricate.cell("kd", 0).key).record
    path.write_text(path.read_text().replace("91.0", "99.9"))
    frame = folder.load().frame
    assert not (frame["top1"] == 99.9).any()
    (message,) = frame.loc[(frame["method"] == "kd") & (frame["status"] == "not_run"), "error_message"]
    assert message == "record.json: its values do not match its digest"
    assert [str(path) in warning for warning in warnings] == [True]


@pytest.mark.parametrize("command", ["report", "leaderboard"])
def test_a_replaced_file_is_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    folder = fabricate.tiny_world(tmp_path)
    record = fabricate.record(fabricate.cell("kd", 0), 91.0)
    files = folder.cell(record.cell.key)
    files.predictions.write_bytes(b"logits")
    folder.write_record(record)
    assert execute([command, str(tmp_path)]) == 0
    assert "not as the record" not in "".join(capsys.readouterr())
    files.predictions.write_bytes(b"better logits")
    assert execute([command, str(tmp_path)]) == 0
    said = " ".join("".join(capsys.readouterr()).split())
    assert "1 file is not as the record beside it says" in said
    assert f"{record.cell.key}/predictions.npz" in said.replace("- ", "-")


def test_records_that_nothing_guards_are_said(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    for seed in (0, 1):
        path = folder.cell(fabricate.cell("kd", seed).key).record
        data = json.loads(path.read_text())
        del data["digest"]
        path.write_text(json.dumps(data))
    (doubt,) = folder.load().doubts
    assert doubt.startswith("2 records have no digest")


def test_a_table_edited_by_hand_is_never_read_where_there_are_records(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    frame = folder.load().frame
    write_csv(frame.assign(top1=99.9), folder.tables.results)
    assert not (folder.load().frame["top1"] == 99.9).any()
    for path in folder.plans.paths():
        path.unlink()
    contents = folder.load()
    assert contents.foreign is None
    assert not (contents.frame["top1"] == 99.9).any()
    assert contents.counts["ok"] == 26


def test_a_table_that_stands_alone_is_said_to_be_without_records(tmp_path: Path) -> None:
    shared = ResultsFolder(tmp_path / "shared")
    write_csv(fabricate.tiny_world(tmp_path).load().frame, shared.tables.results)
    (doubt,) = shared.load().doubts
    assert "no records to hold its numbers against" in doubt


def test_the_note_is_that_of_the_latest_plan_that_has_one(tmp_path: Path) -> None:
    """A plan of other data alone has none, and the rows of the earlier one are still there."""
    folder = fabricate.write(tmp_path / "tiny", [fabricate.cell("kd")], [])
    assert folder.load().note == ""
    for note in ("first", "second", ""):
        folder.plans.write(fabricate.plan([fabricate.cell("kd")], note=note))
    assert folder.load().note == "second"


def test_a_note_of_some_datasets_stands_with_these(tmp_path: Path) -> None:
    """A plan's note is of the benchmark's own data, also where the same command adds other data."""
    own, added = fabricate.cell("kd"), fabricate.cell("kd", dataset="photos", deviations="epochs=3; dataset=photos")
    folder = fabricate.write(tmp_path / "tiny", [own, added], [], note="A smoke test.")
    contents = folder.load()
    assert (contents.note, contents.notes) == ("", {("tiny", "digits"): "A smoke test."})
    folder.plans.write(fabricate.plan([fabricate.cell("kd", dataset="svhn")], note="Of svhn."))
    contents = folder.load()
    assert contents.note == ""
    assert contents.notes == {("tiny", "digits"): "A smoke test.", ("tiny", "svhn"): "Of svhn."}
