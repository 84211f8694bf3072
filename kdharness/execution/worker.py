"""Where a job is opened and trained, and the process in which the local executor does it."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

from kdharness.api.executors import (
    Beat,
    Emit,
    Event,
    Job,
    JobFinished,
    JobLost,
    WorkerError,
    WorkerSettings,
    run_job,
)
from kdharness.device.names import child_environment, is_cpu
from kdharness.disk import cannot_write, no_room
from kdharness.engine.stopping import stop_request
from kdharness.errors import DeviceLost, UserError
from kdharness.failures import Stopped, is_a_stop, one_line, trace_of
from kdharness.planning.cell_group import CellGroup
from kdharness.process.collector import seldom_collected
from kdharness.results.store import ResultsFolder

TrainGroup = Callable[[CellGroup, WorkerSettings, str, Emit, Beat], str]

# What a worker shares with its parent: the index of the cell it steps (NO_CELL for none) and when it said so.
HEARTBEAT = "dd"
NO_CELL = -1

PR_SET_PDEATHSIG = 1

# The exit code of a process that ended because its accelerator was lost, and of one that was asked to end.
DEVICE_LOST_EXIT = 70
STOPPED_EXIT = 128 + signal.SIGTERM


def main(pipe: Any, heartbeat: Any, settings: WorkerSettings, device: str, log: Path, restarted: bool) -> None:
    """Trains what comes through the pipe until it closes, or until the device is lost.

    heartbeat: two shared doubles (cell index, monotonic time).
    log: where the process' own output goes, for a terminal shows the run's.
    """
    ignore_interrupts()
    stop_when_asked()
    end_with_parent()
    is_lost = ResultsFolder(settings.folder, held=settings.lock).is_lost
    redirect_output(Path(os.devnull) if is_lost else log, append=restarted)

    def beat(cell: int | None) -> None:
        stop_request.insist()
        heartbeat[0] = NO_CELL if cell is None else cell
        heartbeat[1] = time.monotonic()

    try:
        serve(pipe, settings, device, beat)
    except Stopped:
        os._exit(STOPPED_EXIT)


def serve(pipe: Any, settings: WorkerSettings, device: str, beat: Beat) -> None:
    """Trains job after job."""
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        event = run_job(job, settings, device, pipe.send, beat)
        pipe.send(event)
        if isinstance(event, JobLost):
            os._exit(DEVICE_LOST_EXIT)  # the accelerator's own clean-up may hang
        stop_request.obey()


def engine() -> TrainGroup:
    """What trains a group. Loads torch."""
    with seldom_collected():
        from kdharness.engine.group import train_group
    return train_group


def train_job(
    job: Job,
    settings: WorkerSettings,
    device: str,
    emit: Emit,
    beat: Beat,
    load: Callable[[], TrainGroup] = engine,
) -> Event:
    """Opens the job and trains it; returns the event that ends it. Whatever goes wrong ends the job, not the worker."""
    # For the libraries that are loaded from here on, whoever started this process.
    os.environ.update(child_environment(device))
    try:
        train_group = load()
        spoiled = train_group(CellGroup.of(job), settings, device, emit, beat)
    except DeviceLost as error:
        return JobLost(job.number, "", one_line(error), device_lost=True, traceback=trace_of(error))
    except BaseException as error:
        if is_a_stop(error):
            raise
        return _worker_error(job, error, on_accelerator=not is_cpu(device))
    finally:
        beat(None)
    return JobFinished(job.number, spoiled)


def _worker_error(job: Job, error: BaseException, on_accelerator: bool) -> WorkerError:
    message = one_line(error)
    if no_room(error) and not isinstance(error, UserError):
        message = f"nothing more can be written: {message}; the cells that were finished before are kept"
    fatal = cannot_write(error)
    return WorkerError(job.number, type(error).__name__, message, trace_of(error), fatal, on_accelerator)


# What `run_job` calls, wherever it runs.
RUNNER = f"{__name__}:{train_job.__name__}"


def stop_when_asked() -> None:
    """A request to end is an exception: what trains leaves the curves of its cells behind, and its last epoch if that
    ends in time.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: stop_request.ask())


def ignore_interrupts() -> None:
    """Ctrl-C reaches every process of the terminal's group; the parent decides what it means.

    The parent starts this process with the signal blocked, so that none comes before this call.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def end_with_parent() -> None:
    """Ends this process when its parent does, however that ended.

    The kernel's signal works even while a C call holds the interpreter; the thread works everywhere, and where the
    parent was gone before the signal was asked for.
    """
    parent = parent_process()
    if parent is None:
        return
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=wait, daemon=True, name="parent watch").start()


def redirect_output(log: Path, append: bool) -> None:
    """Sends what plugins print, warnings and the dump of a crash to the log; nowhere, where none can be opened.

    It works for a process without any output, too.
    """
    with suppress(OSError):  # a full disk is noticed by what must be written
        log.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if append else os.O_TRUNC)
    try:
        descriptor = os.open(log, flags, 0o644)
    except OSError:
        descriptor = os.open(os.devnull, os.O_WRONLY)
    for number, name in ((1, "stdout"), (2, "stderr")):
        with suppress(OSError, ValueError, AttributeError):
            getattr(sys, name).flush()
        os.dup2(descriptor, number)
        # A killed process writes no buffers, and a plugin may print whatever it likes.
        stream = open(number, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    if descriptor > 2:
        os.close(descriptor)
    faulthandler.enable()
