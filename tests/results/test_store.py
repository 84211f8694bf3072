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
from kdharness.results.store import ResultsFolder


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
    text = folder.cell(written.cell.key).record.read_text()
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
    assert [p.name for p in folder.cell(cell.key).folder.iterdir()] == ["record.json"]
    assert warnings == []


def test_a_leftover_temporary_file_is_ignored(tmp_path: Path) -> None:
    folder, warnings = folder_at(tmp_path)
    written = fabricate.record(fabricate.cell())
    folder.write_record(written)
    folder.plans.write(fabricate.plan([written.cell]))
    (folder.cell(written.cell.key).folder / ".record.json.1.abc.tmp").write_text('{"schema": 2, "cell"')
    (folder.plans.folder / ".20250101.json.1.abc.tmp").write_text("{")
    assert list(folder.records()) == [written.cell.key]
    assert len(folder.plans.read()) == 1
    assert warnings == []


@pytest.mark.parametrize("text", ["", '{"schema": 2, "cell": {"ke', "[]", '{"schema": 2}', '{"schema": 2, "cell": 3}'])
def test_an_unreadable_record_counts_as_absent_with_one_warning(tmp_path: Path, text: str) -> None:
    folder, warnings = folder_at(tmp_path)
    written = fabricate.record(fabricate.cell())
    folder.write_record(written)
    path = folder.cell(written.cell.key).record
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
    folder.cell(written.cell.key).folder.rename(folder.cell("0123456789").folder)
    assert folder.records() == {}
    assert written.cell.key in warnings[0]


def test_a_record_of_another_schema_names_file_and_versions(tmp_path: Path) -> None:
    folder, _ = folder_at(tmp_path)
    written = fabricate.record(fabricate.cell())
    folder.write_record(written)
    path = folder.cell(written.cell.key).record
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 7}))
    with pytest.raises(UserError) as error:
        folder.records()
    assert str(path) in str(error.value)
    assert "version 7" in str(error.value)
    assert "reads 2" in str(error.value)


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
    assert str(folder.cell(written.cell.key).record) in str(caught.value)
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
    assert folder.cell(cell.key).traceback.read_text() == "Traceback ..."
    folder.write_record(fabricate.record(cell))
    assert not folder.cell(cell.key).traceback.exists()


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
    folder.progress.write({"pid": process.pid})
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


def test_records_know_their_schema() -> None:
    written = fabricate.record(fabricate.cell())
    assert Record.from_json(json.loads(json.dumps(written.to_json()))) == written
