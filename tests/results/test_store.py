"""Plans and records on disk survive crashes, other versions and read-only disks."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import fabricate
import pytest

from kdharness.errors import UserError
from kdharness.results import files
from kdharness.results.record import Record, Status
from kdharness.results.store import ResultsFolder, find_folders


def folder_at(path: Path) -> tuple[ResultsFolder, list[str]]:
    warnings: list[str] = []
    return ResultsFolder(path / "tiny", warnings.append), warnings


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    folder, warnings = folder_at(tmp_path)
    written = fabricate.record(fabricate.cell(), 91.25, x_kd_agreement=0.5)
    folder.write_record(written)
    assert folder.read_record(written.cell.key) == written
    assert folder.records() == {written.cell.key: written}
    assert warnings == []


def test_a_record_leaves_out_what_is_not_finite(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    written = fabricate.record(fabricate.cell(), float("nan"), nll=float("inf"))
    folder.write_record(written)
    text = folder.record_path(written.cell.key).read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    read = folder.read_record(written.cell.key)
    assert read is not None
    assert "nll" not in read.values
    assert "top1" not in read.values
    assert read.metrics == ()
    assert read.values["top5"] == 99.0


def test_a_crash_before_the_rename_keeps_the_former_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, warnings = folder_at(tmp_path)
    cell = fabricate.cell()
    first = fabricate.record(cell, None, Status.INTERRUPTED)
    folder.write_record(first)

    def die(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            folder.write_record(fabricate.record(cell, 91.0))
    assert folder.records() == {cell.key: first}
    assert [p.name for p in folder.cell_path(cell.key).iterdir()] == ["record.json"]
    assert warnings == []


def test_a_leftover_temporary_file_is_ignored(tmp_path: Path) -> None:
    folder, warnings = folder_at(tmp_path)
    written = fabricate.record(fabricate.cell())
    folder.write_record(written)
    folder.write_plan(fabricate.plan([written.cell]))
    (folder.cell_path(written.cell.key) / ".record.json.1.abc.tmp").write_text('{"schema": 1, "cell"')
    (folder.plans_path / ".20250101.json.1.abc.tmp").write_text("{")
    assert list(folder.records()) == [written.cell.key]
    assert len(folder.plans()) == 1
    assert warnings == []


def test_temporary_names_are_unique(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def replace(source: Path, target: Path) -> None:
        seen.append(Path(source))
        os.rename(source, target)

    monkeypatch.setattr(files.os, "replace", replace)
    for _ in range(2):
        files.write_atomic(tmp_path / "a.json", "{}")
    assert len(set(seen)) == 2
    assert {p.parent for p in seen} == {tmp_path}


@pytest.mark.parametrize("text", ["", '{"schema": 1, "cell": {"ke', "[]", '{"schema": 1}', '{"schema": 1, "cell": 3}'])
def test_an_unreadable_record_counts_as_absent_with_one_warning(tmp_path: Path, text: str) -> None:
    folder, warnings = folder_at(tmp_path)
    written = fabricate.record(fabricate.cell())
    folder.write_record(written)
    path = folder.record_path(written.cell.key)
    path.write_text(text)
    assert folder.read_record(written.cell.key) is None
    assert folder.records() == {}
    assert len(warnings) == 1
    assert str(path) in warnings[0]
    assert "\n" not in warnings[0]


def test_a_record_in_another_cells_place_counts_as_absent(tmp_path: Path) -> None:
    folder, warnings = folder_at(tmp_path)
    written = fabricate.record(fabricate.cell())
    folder.write_record(written)
    folder.cell_path(written.cell.key).rename(folder.cell_path("0123456789"))
    assert folder.records() == {}
    assert written.cell.key in warnings[0]


def test_a_record_of_another_schema_names_file_and_versions(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    written = fabricate.record(fabricate.cell())
    folder.write_record(written)
    path = folder.record_path(written.cell.key)
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 7}))
    with pytest.raises(UserError) as error:
        folder.records()
    assert str(path) in str(error.value)
    assert "version 7" in str(error.value)
    assert "reads 1" in str(error.value)


def test_a_plan_of_another_schema_names_file_and_versions(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    path = folder.write_plan(fabricate.plan([fabricate.cell()]))
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 9}))
    with pytest.raises(UserError, match="version 9"):
        folder.planned()


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(28, "No space left on device")])
def test_what_cannot_be_written_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    folder, _ = folder_at(tmp_path)
    written = fabricate.record(fabricate.cell())

    def refuse(source: Path, target: Path) -> None:
        raise error

    monkeypatch.setattr(files.os, "replace", refuse)
    with pytest.raises(UserError) as caught:
        folder.write_record(written)
    assert str(folder.record_path(written.cell.key)) in str(caught.value)
    assert str(error.strerror) in str(caught.value)
    assert "kept" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "tiny").write_text("a file in the way")
    folder, _ = folder_at(tmp_path)
    with pytest.raises(UserError, match="could not write"):
        folder.write_record(fabricate.record(fabricate.cell()))
    with pytest.raises(UserError, match="could not write"), folder.lock():
        pass


def test_the_traceback_of_an_earlier_attempt_goes(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    cell = fabricate.cell()
    folder.write_record(fabricate.record(cell, None, Status.FAILED, "bad"))
    assert folder.traceback_path(cell.key).read_text() == "Traceback ..."
    folder.write_record(fabricate.record(cell))
    assert not folder.traceback_path(cell.key).exists()


def test_the_newest_plan_wins_at_each_address(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    old, kept, new = fabricate.cell("kd"), fabricate.cell("fitnets"), fabricate.cell("kd", method_revision="2")
    assert old.key != new.key
    assert old.address == new.address
    folder.write_plan(fabricate.plan([old, kept]))
    folder.write_plan(fabricate.plan([new]))
    assert set(folder.planned()) == {kept.key, new.key}
    for cell in (old, new):
        folder.write_record(fabricate.record(cell))
    assert list(folder.stale()) == [old.key]


def test_the_newer_plan_decides_what_is_skipped(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    cell = fabricate.cell()
    folder.write_plan(fabricate.plan([cell], {cell.key: "no stages"}))
    folder.write_plan(fabricate.plan([cell]))
    assert folder.planned()[cell.key].skip == ""


def test_two_cells_of_one_plan_never_hide_each_other(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    twins = fabricate.cell("kd"), fabricate.cell("kd", method_revision="2")
    folder.write_plan(fabricate.plan(twins))
    assert set(folder.planned()) == {c.key for c in twins}


def test_plans_keep_their_order_when_the_clock_goes_back(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    folder.plans_path.mkdir(parents=True)
    first = folder.write_plan(fabricate.plan([fabricate.cell("kd")]))
    future = first.rename(first.with_name("29990101T000000.000000Z.json"))
    assert folder.write_plan(fabricate.plan([fabricate.cell("fitnets")])) > future
    assert [p.cells[0].cell.method for p in folder.plans()] == ["kd", "fitnets"]


def test_the_same_plan_is_kept_once(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    paths = {folder.write_plan(fabricate.plan([fabricate.cell()], created_at=t)) for t in ("1", "2")}
    assert len(paths) == 1
    assert folder.plan_paths() == list(paths)


def hold(path: Path, ready: Any, release: Any) -> None:
    with ResultsFolder(path).lock():
        ready.set()
        release.wait(30)


def holder(path: Path) -> tuple[Any, Any]:
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    process = context.Process(target=hold, args=(path, ready, release))
    process.start()
    assert ready.wait(30)
    return process, release


def test_a_second_run_waits_and_says_so_once(tmp_path: Path) -> None:
    process, release = holder(tmp_path / "tiny")
    folder, _ = folder_at(tmp_path)
    folder.write_progress({"pid": process.pid})
    said: list[str] = []
    started = time.monotonic()

    def on_wait(message: str) -> None:
        said.append(message)
        release.set()

    with folder.lock(on_wait):
        assert not process.is_alive() or time.monotonic() > started
    process.join(10)
    assert len(said) == 1
    assert str(process.pid) in said[0]


def test_the_lock_goes_with_a_killed_process(tmp_path: Path) -> None:
    process, _ = holder(tmp_path / "tiny")
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    said: list[str] = []
    with folder_at(tmp_path)[0].lock(said.append):
        pass
    assert said == []


def test_progress_tells_whether_its_process_lives(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    assert folder.read_progress() is None
    folder.write_progress({"done": 1, "total": 2, "seconds_left": float("nan")})
    progress = folder.running()
    assert progress is not None
    assert progress["pid"] == os.getpid()
    assert "seconds_left" not in progress
    folder.write_progress({"pid": 2**22 + 1})
    assert folder.running() is None
    folder.write_progress({"host": "another machine"})
    assert folder.running() is not None
    folder.write_progress({"host": "another machine", "updated_at": "2020-01-01T00:00:00+00:00"})
    assert folder.running() is None
    folder.progress_path.write_text("{")
    assert folder.running() is None


def test_history_is_appended_and_trimmed(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    for epoch in (1, 2, 3):
        folder.write_history("k", [(epoch, "test", "student", "top1", 50.0 + epoch)])
    assert folder.history_path("k").read_text().splitlines()[:2] == [
        "epoch,split,predictor,metric,value",
        "1,test,student,top1,51.0",
    ]
    folder.history("k").trim(2)
    assert folder.history("k").read()["epoch"].tolist() == [1, 2]
    folder.history("k").trim(0)
    assert folder.history("k").read().empty


def test_a_line_of_history_that_was_cut_is_not_believed(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    folder.write_history("k", [(1, "test", "student", "top1", 51.0)])
    with folder.history_path("k").open("a") as file:
        file.write("2,test,student,top1,5")
    assert folder.history("k").read()["epoch"].tolist() == [1]
    folder.write_history("k", [(2, "test", "student", "top1", 52.0)])
    assert folder.history("k").read()["value"].tolist() == [51.0, 52.0]


def test_find_folders_accepts_the_root_and_one_benchmark(tmp_path: Path) -> None:
    fabricate.write(tmp_path / "a", [fabricate.cell()], [])
    fabricate.write(tmp_path / "b", [fabricate.cell()], [])
    (tmp_path / "unrelated").mkdir()
    assert [f.name for f in find_folders(tmp_path)] == ["a", "b"]
    assert [f.name for f in find_folders(tmp_path / "b")] == ["b"]


def test_find_folders_says_when_there_is_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        find_folders(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no results"):
        find_folders(tmp_path)


def test_records_know_their_schema() -> None:
    written = fabricate.record(fabricate.cell())
    assert Record.from_json(json.loads(json.dumps(written.to_json()))) == written
