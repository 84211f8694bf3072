"""A results folder that is removed or replaced under the run that holds it."""

from __future__ import annotations

import shutil
from pathlib import Path

import fabricate
import pytest

from kdharness.errors import UserError
from kdharness.results.store import ResultsFolder

LOST = "was removed or replaced while this run wrote to it; the run stops"


def remove(path: Path) -> None:
    shutil.rmtree(path)


def move(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))


def put_another(path: Path) -> None:
    remove(path)
    (path / "cells").mkdir(parents=True)
    (path / ".lock").touch()


@pytest.mark.parametrize("happens", [remove, move, put_another])
def test_who_holds_it_notices(tmp_path: Path, happens: object) -> None:
    folder = ResultsFolder(tmp_path / "digits")
    with folder.lock():
        folder.check_held()
        happens(folder.path)  # type: ignore[operator]
        with pytest.raises(UserError, match=LOST):
            folder.check_held()


def test_a_second_run_in_its_place_does_not_wait_and_is_not_lost(tmp_path: Path) -> None:
    first, second = ResultsFolder(tmp_path / "digits"), ResultsFolder(tmp_path / "digits")
    waited: list[str] = []
    with first.lock():
        remove(first.path)
        with second.lock(waited.append):
            assert (first.is_lost, second.is_lost, waited) == (True, False, [])


def test_who_holds_nothing_lost_nothing(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "digits")
    folder.check_held()
    with folder.lock():
        pass
    remove(folder.path)
    folder.check_held()


def test_a_worker_writes_nothing_into_the_folder_of_another_run(tmp_path: Path) -> None:
    """It knows the folder by the lock of the run that it works for, from its first write on."""
    folder = ResultsFolder(tmp_path / "digits")
    cell = fabricate.cell()
    with folder.lock():
        worker = ResultsFolder(folder.path, held=folder.held)
        worker.write_record(fabricate.record(cell))
        put_another(folder.path)
        for each in (folder, worker):
            with pytest.raises(UserError, match=LOST):
                each.write_record(fabricate.record(cell))
            with pytest.raises(UserError, match=LOST):
                each.set_aside(cell.key)
    assert sorted(path.name for path in folder.path.rglob("*")) == [".lock", "cells"]


def test_a_run_that_ends_leaves_the_plan_of_another_run_alone(tmp_path: Path) -> None:
    folder, plan = ResultsFolder(tmp_path / "digits"), fabricate.plan([fabricate.cell()])

    def lose() -> None:
        with folder.lock(), folder.planned(plan):
            (path,) = folder.plans.paths()
            put_another(folder.path)
            path.parent.mkdir()
            path.write_text("another run's")
            folder.check_held()

    with pytest.raises(UserError, match=LOST):
        lose()
    assert [path.read_text() for path in folder.plans.paths()] == ["another run's"]
