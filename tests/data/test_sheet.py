"""Rows on disk that say of themselves whether they are whole."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from kdharness.data.sheet import Numbers, Rows, Sheet

COUNT, WIDTH = 50, 7


def sheet(folder: Path, name: str = "teacher a", count: int = COUNT) -> Sheet:
    return Sheet(folder / "logits.f32", name, count, WIDTH)


def ids(*numbers: int) -> Numbers:
    return np.array(numbers, np.int64)


def rows_of(numbers: Numbers) -> Rows:
    """What stands in these rows."""
    return (numbers[:, None] * 10 + np.arange(WIDTH)).astype(np.float32)


def test_what_is_written_is_read_and_nothing_else_is_there(tmp_path: Path) -> None:
    wanted = ids(40, 3, 4, 5, 0, 49)
    sheet(tmp_path).write(wanted, rows_of(wanted))
    values, found = sheet(tmp_path).read(np.arange(COUNT))
    assert set(np.flatnonzero(found)) == set(wanted.tolist())
    assert np.array_equal(values[found], rows_of(np.flatnonzero(found)))
    again, all_there = sheet(tmp_path).read(ids(49, 49, 3))
    assert all_there.all()
    assert np.array_equal(again, rows_of(ids(49, 49, 3)))


def test_a_row_of_zeros_is_there(tmp_path: Path) -> None:
    sheet(tmp_path).write(ids(0), np.zeros((1, WIDTH), np.float32))
    assert sheet(tmp_path).read(ids(0, 1))[1].tolist() == [True, False]


def test_files_take_no_room_that_nothing_fills(tmp_path: Path) -> None:
    large = Sheet(tmp_path / "large.f32", "a", 10**7, 100)
    large.write(ids(9_999_999), np.ones((1, 100), np.float32))
    assert large.path.stat().st_size == 4 * 10**9
    assert large.path.stat().st_blocks * 512 < 10**6


@pytest.mark.parametrize("place", [0, WIDTH * 4 - 1])
def test_a_row_that_was_changed_is_not_there_and_is_counted(tmp_path: Path, place: int) -> None:
    written = sheet(tmp_path)
    written.write(ids(1, 2), rows_of(ids(1, 2)))
    content = bytearray(written.path.read_bytes())
    content[2 * WIDTH * 4 + place] ^= 1
    written.path.write_bytes(content)
    found = sheet(tmp_path)
    assert found.read(ids(1, 2, 3))[1].tolist() == [True, False, False]
    assert found.damaged == 1
    found.write(ids(2), rows_of(ids(2)))
    assert found.read(ids(1, 2))[1].all()


def test_two_rows_in_each_others_place_are_not_there(tmp_path: Path) -> None:
    written = sheet(tmp_path)
    written.write(ids(1, 2), rows_of(ids(1, 2)))
    for path, size in ((written.path, WIDTH * 4), (written.sums_path, 8)):
        content = path.read_bytes()
        path.write_bytes(content[:size] + content[2 * size : 3 * size] + content[size : 2 * size] + content[3 * size :])
    assert not sheet(tmp_path).read(ids(1, 2))[1].any()


def test_another_teachers_file_holds_nothing(tmp_path: Path) -> None:
    everything = np.arange(COUNT)
    sheet(tmp_path, "teacher b").write(everything, rows_of(everything))
    other = sheet(tmp_path, "teacher a")
    assert not other.read(everything)[1].any()
    assert other.damaged == COUNT


def test_a_file_that_was_cut_is_emptied_when_it_is_opened(tmp_path: Path) -> None:
    everything = np.arange(COUNT)
    written = sheet(tmp_path)
    written.write(everything, rows_of(everything))
    with written.path.open("r+b") as file:
        file.truncate(100)
    assert not written.read(everything)[1].any(), "to read beyond the end would end the process"
    opened = sheet(tmp_path)
    assert opened.emptied
    assert not opened.read(everything)[1].any()
    opened.write(everything, rows_of(everything))
    assert opened.read(everything)[1].all()
    assert not sheet(tmp_path).emptied


def test_a_sum_without_its_row_and_a_row_without_its_sum(tmp_path: Path) -> None:
    written = sheet(tmp_path)
    written.write(ids(5), rows_of(ids(5)))
    half = sheet(tmp_path)
    blank = bytes(WIDTH * 4)
    with half.path.open("r+b") as file:
        file.seek(5 * WIDTH * 4)
        file.write(blank[: WIDTH * 2])
    assert not half.read(ids(5))[1].any()
    with half.path.open("r+b") as file:
        file.seek(6 * WIDTH * 4)
        file.write(rows_of(ids(6)).tobytes())
    assert not half.read(ids(6))[1].any()
    assert half.damaged == 1, "a row that has no sum yet is only not finished"


def _write_all(folder: str) -> None:
    everything = np.arange(COUNT)
    mine = sheet(Path(folder))
    for _ in range(200):
        mine.write(everything, rows_of(everything))


def test_several_processes_write_the_same_rows_at_one_time(tmp_path: Path) -> None:
    everything = np.arange(COUNT)
    sheet(tmp_path).write(everything, rows_of(everything))
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_all, args=(str(tmp_path),)) for _ in range(2)]
    for writer in writers:
        writer.start()
    reader = sheet(tmp_path)
    for _ in range(200):
        assert reader.read(everything)[1].all()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0


def test_another_number_of_rows_is_another_file(tmp_path: Path) -> None:
    sheet(tmp_path).write(ids(1), rows_of(ids(1)))
    assert sheet(tmp_path, count=COUNT + 1).emptied
