"""From a plan to records, in one process."""

from __future__ import annotations

import dataclasses
import io
import sys
from pathlib import Path

import pytest
from fake_groups import RUNNER, Events, jobs_seen, make_cell, make_plan, make_settings, make_teacher

from kdharness.errors import UserError
from kdharness.execution import worker
from kdharness.execution.display import PlainDisplay
from kdharness.execution.inline import InlineExecutor
from kdharness.execution.rerun import Rerun
from kdharness.execution.run import Outcome, execute
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.results.record import Record, Status
from kdharness.results.store import ResultsFolder


class World:
    """A folder, what plugins were told and what was shown."""

    def __init__(self, path: Path) -> None:
        self.folder = ResultsFolder(path)
        self.events = Events()
        self.shown = io.StringIO()

    def run(self, plan: Plan, rerun: Rerun | None = None, runner: str = RUNNER) -> Outcome:
        settings = make_settings(self.folder.path)
        executor = InlineExecutor(settings)
        display = PlainDisplay(self.shown)
        return execute(plan, self.folder, settings, executor, self.events, display, rerun, runner)  # type: ignore[arg-type]

    def status(self, cell: Cell) -> Status | None:
        record = self.folder.read_record(cell.key)
        return record.status if record else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "made_up")


def test_everything_ok(world: World) -> None:
    teacher = make_teacher()
    cells = (teacher, make_cell("kd", teachers=(teacher,)), make_cell("vanilla"))
    outcome = world.run(make_plan(*cells))
    assert outcome.counts == {Status.OK: 3}
    assert outcome.exit_code == 0
    assert [world.status(cell) for cell in cells] == [Status.OK] * 3
    assert len(world.shown.getvalue().splitlines()) == 3


def test_what_workers_warn_of_is_said_once_and_not_where_the_plan_said_it(world: World) -> None:
    plan = make_plan(*(make_cell("warns", seed, dataset=f"set{seed}") for seed in range(3)))
    outcome = world.run(dataclasses.replace(plan, warnings=("dataset 'digits': odd labels",)))
    assert outcome.counts == {Status.OK: 3}
    assert len(jobs_seen(world.folder.path)) == 3, "three jobs met it"
    warned = [line for line in world.shown.getvalue().splitlines() if "odd" in line]
    assert warned == ["warning: dataset 'digits': odd images"]


def test_plugins_are_told(world: World) -> None:
    cell = make_cell()
    world.run(make_plan(cell))
    of_cell = ["cell_started", *["epoch_finished"] * 3, "cell_finished"]
    assert world.events.names() == ["run_started", *of_cell, "run_finished"]
    run = world.events.told[0][1]["run"]
    assert (run.benchmark, run.folder, run.cells) == ("made_up", world.folder.path.resolve(), 1)
    assert world.events.told[2][1] == {"cell": cell.info, "epoch": 1, "values": {"ce": 1.0}}
    row = world.events.told[-2][1]["record"]
    assert (row["cell"], row["status"], row["top1"]) == (cell.key, "ok", 96.125)
    assert world.events.told[-1][1] == {"counts": {"ok": 1}}


def test_a_plugin_that_is_switched_off_is_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.events, "fire", lambda event, **values: ["logger raised; it is switched off"])
    assert world.run(make_plan(make_cell())).exit_code == 0
    assert "logger raised; it is switched off" in world.shown.getvalue()


def test_a_failed_cell_leaves_the_others(world: World) -> None:
    bad, good = make_cell("fails"), make_cell("kd")
    outcome = world.run(make_plan(bad, good))
    assert outcome.statuses == {bad.key: Status.FAILED, good.key: Status.OK}
    assert outcome.exit_code == 1


def test_dependents_of_a_failed_teacher_are_not_run(world: World) -> None:
    teacher = make_teacher("resnet56", method="fails")
    student = make_cell("kd", teachers=(teacher,))
    outcome = world.run(make_plan(teacher, student))
    assert outcome.statuses[student.key] is Status.NOT_RUN
    assert outcome.not_run[student.key] == "teacher resnet56 seed 0 failed: no good"
    assert world.status(student) is None
    assert "not_run kd" in world.shown.getvalue()


def test_a_second_run_does_nothing_again(world: World) -> None:
    plan = make_plan(make_cell("fails"), make_cell("kd"))
    world.run(plan)
    again = world.run(plan)
    assert again.counts == {Status.FAILED: 1, Status.OK: 1}
    assert len(jobs_seen(world.folder.path)) == 1


def test_failures_and_everything_can_be_run_again(world: World) -> None:
    plan = make_plan(make_cell("fails"), make_cell("kd"))
    world.run(plan)
    world.run(plan, rerun=Rerun.FAILED)
    world.run(plan, rerun=Rerun.ALL)
    assert [methods for _, _, methods in jobs_seen(world.folder.path)] == [["fails", "kd"], ["fails"], ["fails", "kd"]]


def test_an_interrupted_cell_is_run_again(world: World) -> None:
    cell = make_cell()
    world.folder.write_record(Record(cell, Status.INTERRUPTED))
    assert world.run(make_plan(cell)).statuses == {cell.key: Status.OK}


def test_skipped_cells_count_as_well(world: World) -> None:
    skipped = make_cell("ofd")
    outcome = world.run(make_plan(skipped, make_cell("kd"), skip=((skipped, "no stages"),)))
    assert outcome.counts == {Status.SKIPPED: 1, Status.OK: 1}
    assert outcome.exit_code == 0


def test_an_error_of_no_cell_fails_its_group_and_keeps_the_traceback(world: World) -> None:
    cell, other = make_cell("raises"), make_cell("kd", seed=1)
    outcome = world.run(make_plan(cell, other))
    record = world.folder.read_record(cell.key)
    assert record is not None
    assert (record.error_type, record.error_message) == ("RuntimeError", "the data cannot be read")
    assert "RuntimeError" in record.traceback
    assert (record.started_at, bool(record.finished_at)) == ("then", True)
    assert outcome.statuses[other.key] is Status.OK


def test_memory_that_runs_out_alone_is_oom(world: World) -> None:
    cell = make_cell("aborts")
    assert world.run(make_plan(cell, make_cell("kd"))).statuses[cell.key] is Status.OOM
    record = world.folder.read_record(cell.key)
    assert record is not None
    assert record.attempts == 2


def test_a_group_that_memory_ran_out_for_is_halved(world: World) -> None:
    cells = [make_cell("needs_half", seed=0, student=name) for name in "abcd"]
    assert world.run(make_plan(*cells)).counts == {Status.OK: 4}
    sizes = [(len(methods), alone) for _, alone, methods in jobs_seen(world.folder.path)]
    assert sizes == [(4, False), (2, False), (2, False)]


def test_a_lost_device_stops_the_run_in_one_line_and_fails_no_cell(world: World) -> None:
    done, lost, waiting = make_cell("fails"), make_cell("loses_device"), make_cell("kd", seed=1)
    with pytest.raises(UserError) as caught:
        world.run(make_plan(done, lost, waiting))
    (line,) = str(caught.value).splitlines()
    assert "device lost: device-side assert triggered" in line
    assert "--executor local" in line
    assert [world.status(c) for c in (done, lost, waiting)] == [Status.FAILED, Status.INTERRUPTED, None]
    assert "failed fails" in world.shown.getvalue()


def test_what_cannot_be_loaded_is_an_error_of_the_group(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kdharness.engine.group", None)
    cell = make_cell()
    assert world.run(make_plan(cell), runner=worker.RUNNER).statuses == {cell.key: Status.FAILED}
    record = world.folder.read_record(cell.key)
    assert record is not None
    assert record.error_type == "ModuleNotFoundError"
    assert "kdharness.engine.group" in record.error_message


def test_no_row_is_made_when_no_plugin_listens(world: World) -> None:
    world.events.deaf = True
    world.run(make_plan(make_cell()))
    assert "cell_finished" not in world.events.names()


def test_a_record_that_is_not_seen_yet_is_told_by_its_event(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell()
    monkeypatch.setattr(world.folder, "read_record", lambda key: Record(cell, Status.INTERRUPTED))
    assert world.run(make_plan(cell)).statuses == {cell.key: Status.OK}
    assert world.shown.getvalue() == "[1/1] ok kd conv16 digits seed 0\n"


def test_ctrl_c_keeps_what_was_finished(world: World) -> None:
    done, begun, waiting = (make_cell(m, seed) for seed, m in enumerate(("kd", "interrupts", "at")))
    outcome = world.run(make_plan(done, begun, waiting))
    assert outcome.exit_code == 130
    assert outcome.statuses == {done.key: Status.OK, begun.key: Status.INTERRUPTED, waiting.key: Status.NOT_RUN}


def test_what_finished_unheard_is_counted(world: World) -> None:
    quick, begun = make_cell("fails"), make_cell("interrupts")  # one group: its events are lost with the interrupt
    outcome = world.run(make_plan(quick, begun))
    assert outcome.statuses == {quick.key: Status.FAILED, begun.key: Status.INTERRUPTED}
    assert world.events.names() == ["run_started", "cell_finished", "run_finished"]


def test_what_an_interrupted_run_did_not_reach_stays_as_it_was(world: World) -> None:
    before, begun = make_cell("kd", seed=1), make_cell("interrupts")
    world.folder.write_record(Record(before, Status.OK))
    outcome = world.run(make_plan(begun, before), rerun=Rerun.ALL)
    assert outcome.statuses == {begun.key: Status.INTERRUPTED, before.key: Status.OK}
    assert world.events.names() == ["run_started", "run_finished"]


def test_a_full_disk_stops_the_run_and_fails_no_cell(world: World) -> None:
    done, full, waiting = (make_cell(m, seed) for seed, m in enumerate(("kd", "fills_disk", "at")))
    with pytest.raises(UserError, match="No space left"):
        world.run(make_plan(done, full, waiting))
    assert [world.status(c) for c in (done, full, waiting)] == [Status.OK, Status.INTERRUPTED, None]


def test_a_group_that_is_taken_apart_is_told_in_one_line(world: World) -> None:
    cells = [make_cell(method) for method in ("kd", "changes", "at")]
    assert world.run(make_plan(*cells)).counts == {Status.OK: 3}
    labels = ", ".join(cell.label for cell in cells)
    first, *_ = world.shown.getvalue().splitlines()
    assert first == f"3 cells go on alone, each from its last checkpoint ({labels}): somebody changed the batch"
    assert world.shown.getvalue().count("go on alone") == 1


def test_a_folder_that_is_replaced_stops_the_run_which_writes_nothing_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = make_cell("kd"), make_cell("at", seed=1)
    lost = property(lambda folder: world.status(first) is Status.OK)
    monkeypatch.setattr(ResultsFolder, "is_lost", lost)
    monkeypatch.setattr("kdharness.execution.run.PROGRESS_SECONDS", 0.0)
    with pytest.raises(UserError, match="was removed or replaced"):
        world.run(make_plan(first, second))
    assert world.status(second) is None
    progress = world.folder.progress.read()
    assert progress is not None
    assert progress["done"] == 0


def test_a_record_that_cannot_be_written_stops_the_run(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(record: Record) -> None:
        raise UserError("could not write record.json: No space left on device")

    monkeypatch.setattr(world.folder, "write_record", refuse)
    with pytest.raises(UserError, match="could not write"):
        world.run(make_plan(make_cell("raises")))


def test_progress_is_left_on_disk(world: World) -> None:
    world.run(make_plan(make_cell()))
    progress = world.folder.progress.read()
    assert progress is not None
    assert (progress["done"], progress["total"], progress["running"]) == (1, 1, [])
