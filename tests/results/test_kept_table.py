"""What was read of a large folder is kept until a file of it changes, and never believed beyond that."""

from __future__ import annotations

import os
from pathlib import Path

import fabricate
import numpy as np
import pandas as pd
import pytest

from kdharness.cli.main import execute
from kdharness.results import kept
from kdharness.results.contents import Contents
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
    counted = Contents(made.path, lambda: times.append(1) or own(), made.progress, made.foreign, made.kept)  # type: ignore[func-returns-value]
    _ = counted.frame, counted.counts, counted.doubts, counted.references, counted.note
    return counted, len(times)


def test_what_is_kept_is_what_was_read(folder: ResultsFolder) -> None:
    fresh, (first, times), (again, later) = folder.load(), read(folder), read(folder)
    assert (times, later) == (1, 0)
    for made in (first, again):
        pd.testing.assert_frame_equal(made.frame, fresh.frame)
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


@pytest.mark.parametrize("name", ["table.npz", "head.json", "doubts.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"stamp": 1}'])
def test_what_is_torn_is_read_anew(folder: ResultsFolder, name: str, content: bytes) -> None:
    first, _ = read(folder)
    (folder.path / kept.FOLDER / name).write_bytes(content)
    made, times = read(folder)
    assert times == 1
    pd.testing.assert_frame_equal(made.frame, first.frame)
    assert made.counts == first.counts
    assert read(folder)[1] == 0


def test_objects_are_never_loaded(folder: ResultsFolder) -> None:
    """A pickle would run what a stranger wrote."""
    first, _ = read(folder)
    assert first.kept is not None
    with (folder.path / kept.FOLDER / "table.npz").open("wb") as file:
        np.savez(file, head=np.array([{"stamp": first.kept.stamp, "columns": []}], dtype=object))
    assert first.kept.table() is None


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
