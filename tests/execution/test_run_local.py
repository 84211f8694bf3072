"""Worker processes that are killed, hang, raise, and outlive nobody."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_groups import RUNNER, Events, jobs_seen, make_cell, make_plan, make_settings

from kdharness.execution.display import PlainDisplay
from kdharness.execution.executors import kdharness_executors
from kdharness.execution.local import LocalExecutor
from kdharness.execution.run import Outcome, execute
from kdharness.planning.plan import Plan
from kdharness.results.record import Record, Status
from kdharness.results.store import ResultsFolder

PATIENCE_SECONDS = 60.0


def run(path: Path, plan: Plan, slots: int = 1, timeout_seconds: float | None = None) -> tuple[Outcome, str]:
    settings = make_settings(path, slots, timeout_seconds=timeout_seconds)
    shown = io.StringIO()
    executor = LocalExecutor(settings)
    folder, display = ResultsFolder(path), PlainDisplay(shown)
    outcome = execute(plan, folder, settings, executor, Events(), display, runner=RUNNER)  # type: ignore[arg-type]
    return outcome, shown.getvalue()


def record_of(path: Path, key: str) -> Record:
    record = ResultsFolder(path).read_record(key)
    assert record is not None
    return record


def start(path: Path, slots: int, *methods: str) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    script = Path(__file__).with_name("fake_groups.py")
    # A session of its own, so that a signal to its group reaches nobody else.
    return subprocess.Popen(
        [sys.executable, str(script), str(path), str(slots), *methods],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # One that has ended stays in the table until its new parent takes note of it.
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_worker_whose_process_was_spoiled_serves_no_other_job(tmp_path: Path) -> None:
    spoils, first, second = make_cell("spoils", 0), make_cell("kd", 1), make_cell("kd", 2)
    outcome, _ = run(tmp_path, make_plan(spoils, first, second))
    assert outcome.exit_code == 0
    (spoiled, _, _), *others = jobs_seen(tmp_path)
    assert len({pid for pid, _, _ in others}) == 1
    assert spoiled not in {pid for pid, _, _ in others}


def test_a_worker_serves_job_after_job(tmp_path: Path) -> None:
    cells = [make_cell("kd", seed) for seed in range(3)]
    outcome, shown = run(tmp_path, make_plan(*cells))
    assert outcome.exit_code == 0
    assert len({pid for pid, _, _ in jobs_seen(tmp_path)}) == 1
    assert os.getpid() not in {pid for pid, _, _ in jobs_seen(tmp_path)}
    assert "[3/3] ok kd conv16 digits seed 2  top-1 96.1 %  1.4 s" in shown


def test_a_cpu_worker_has_one_thread_and_the_parent_s_environment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    cell = make_cell()
    run(tmp_path, make_plan(cell))
    assert record_of(tmp_path, cell.key).values["x_environment"] == "1"
    assert (os.environ["OMP_NUM_THREADS"], os.environ.get("MKL_NUM_THREADS")) == ("7", None)


def test_what_a_plugin_prints_goes_to_the_worker_s_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, make_plan(make_cell("prints")))
    assert "chatter" in (tmp_path / "logs" / "worker-0.log").read_text()
    assert capfd.readouterr() == ("", "")


def test_a_killed_worker_s_suspect_is_tried_alone_and_the_others_go_on(tmp_path: Path) -> None:
    cells = [make_cell(method) for method in ("a", "dies", "b", "c")]
    outcome, shown = run(tmp_path, make_plan(*cells))
    assert outcome.counts == {Status.OK: 3, Status.FAILED: 1}
    jobs = [(alone, methods) for _, alone, methods in jobs_seen(tmp_path)]
    assert jobs == [(False, ["a", "dies", "b", "c"]), (True, ["dies"]), (False, ["a", "b", "c"])]
    record = record_of(tmp_path, cells[1].key)
    assert (record.error_type, record.attempts) == ("WorkerDied", 2)
    assert "signal 9 (SIGKILL)" in record.error_message
    assert "worker lost at dies" in shown


def test_a_cell_that_dies_once_is_ok_in_the_end(tmp_path: Path) -> None:
    cell = make_cell("dies_once")
    outcome, shown = run(tmp_path, make_plan(cell, make_cell("a")))
    assert outcome.exit_code == 0
    assert record_of(tmp_path, cell.key).attempts == 2
    assert "exit code 3" in shown


def test_a_death_at_no_cell_is_found_by_trying_each(tmp_path: Path) -> None:
    bad, good = make_cell("dies_nowhere"), make_cell("a")
    outcome, _ = run(tmp_path, make_plan(good, bad))
    assert outcome.statuses == {good.key: Status.OK, bad.key: Status.FAILED}


def test_a_hanging_cell_is_a_timeout(tmp_path: Path) -> None:
    bad, good = make_cell("hangs"), make_cell("a")
    outcome, _ = run(tmp_path, make_plan(bad, good), timeout_seconds=1.0)
    assert outcome.statuses == {bad.key: Status.TIMEOUT, good.key: Status.OK}
    assert "no sign of life for 1 s" in record_of(tmp_path, bad.key).error_message


def test_a_worker_outlives_an_error(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, make_plan(make_cell("raises"), make_cell("a", seed=1)))
    assert outcome.counts == {Status.FAILED: 1, Status.OK: 1}
    assert len({pid for pid, _, _ in jobs_seen(tmp_path)}) == 1


def test_a_lost_device_ends_the_worker_blames_nobody_and_its_cells_are_tried_apart(tmp_path: Path) -> None:
    cells = [make_cell(method) for method in ("a", "loses_device_once", "loses_device")]
    outcome, shown = run(tmp_path, make_plan(*cells))
    assert outcome.statuses == dict(zip((c.key for c in cells), (Status.OK, Status.OK, Status.FAILED), strict=True))
    jobs = jobs_seen(tmp_path)
    assert [(alone, methods) for _, alone, methods in jobs] == [
        (False, ["a", "loses_device_once", "loses_device"]),
        (True, ["a"]),
        (True, ["loses_device_once"]),
        (True, ["loses_device"]),
    ]
    first, second, third, last = (pid for pid, _, _ in jobs)
    assert first != second == third == last  # what lost its device trained nothing more
    assert all(is_gone(pid) for pid, _, _ in jobs)
    record = record_of(tmp_path, cells[2].key)
    assert (record.error_type, record.error_message) == ("DeviceLost", "device-side assert triggered")
    assert (record.attempts, "DeviceLost" in record.traceback) == (2, True)
    assert shown.count("device lost: device-side assert triggered") == 2


def test_an_error_on_an_accelerator_ends_the_worker_and_its_cells_are_tried_apart(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, devices=("meta",))
    good, bad = make_cell("a"), make_cell("raises")
    folder, display = ResultsFolder(tmp_path), PlainDisplay(io.StringIO())
    executor = LocalExecutor(settings)
    outcome = execute(make_plan(good, bad), folder, settings, executor, Events(), display, runner=RUNNER)  # type: ignore[arg-type]
    assert outcome.statuses == {good.key: Status.OK, bad.key: Status.FAILED}
    assert len({pid for pid, _, _ in jobs_seen(tmp_path)}) == 2
    assert record_of(tmp_path, bad.key).error_type == "RuntimeError"


def test_slots_work_side_by_side(tmp_path: Path) -> None:
    outcome, _ = run(tmp_path, make_plan(*(make_cell("kd", seed) for seed in range(4))), slots=2)
    assert outcome.counts == {Status.OK: 4}
    assert len({pid for pid, _, _ in jobs_seen(tmp_path)}) == 2


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, 2, "hangs", "hangs")
    wait_until(lambda: (tmp_path / "jobs.txt").exists() and len(jobs_seen(tmp_path)) == 2)
    workers = [pid for pid, _, _ in jobs_seen(tmp_path)]
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)
    wait_until(lambda: all(is_gone(pid) for pid in workers))


def test_ctrl_c_keeps_what_was_finished_and_leaves_no_worker(tmp_path: Path) -> None:
    process = start(tmp_path, 1, "a", "hangs", "b")
    wait_until(lambda: (tmp_path / "jobs.txt").exists() and len(jobs_seen(tmp_path)) == 2)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert out.split() == ["130", "interrupted=1", "not_run=1", "ok=1"]
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert "Traceback" not in (tmp_path / "logs" / "worker-0.log").read_text()
    wait_until(lambda: all(is_gone(pid) for pid, _, _ in jobs_seen(tmp_path)))


def test_a_worker_that_will_not_end_is_killed(tmp_path: Path) -> None:
    process = start(tmp_path, 1, "stubborn")
    wait_until(lambda: (tmp_path / "stubborn").exists())
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert all(is_gone(pid) for pid, _, _ in jobs_seen(tmp_path))


def test_the_built_in_executors_are_registered() -> None:
    assert [spec.name for spec in kdharness_executors()] == ["local", "inline"]
    settings = make_settings(Path("nowhere"), slots=3)
    executors = {spec.name: spec.factory(settings) for spec in kdharness_executors()}
    assert (executors["local"].slots, executors["inline"].slots) == (3, 1)


def test_workers_and_executors_load_no_torch_by_themselves() -> None:
    modules = ", ".join(f"kdharness.execution.{name}" for name in ("executors", "inline", "local", "run", "worker"))
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
