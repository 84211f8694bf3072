"""Groups in worker processes on this machine: one per slot, started when first needed, started anew after a death."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection, resource_tracker
from multiprocessing.context import SpawnProcess
from multiprocessing.sharedctypes import RawArray
from pathlib import Path
from typing import Any

from kdharness.api.executors import Event, Job, JobFinished, JobLost, WorkerError, WorkerSettings
from kdharness.device.names import child_environment
from kdharness.errors import UserError
from kdharness.execution import worker
from kdharness.failures import one_line

# No wait counts for more than this towards a cell's silence: while the parent is stopped (Ctrl-Z), so are its workers.
LONGEST_WAIT_SECONDS = 5.0

# Workers that are asked to end finish the epoch that they are at, if it does not take longer than this, and keep it.
EPOCH_END_SECONDS = 5.0
# Those that are asked again end at once; they write the curves of their cells first.
TERMINATE_SECONDS = 2.0


class LocalExecutor:
    """Runs jobs in worker processes, one per device that the settings name."""

    def __init__(self, settings: WorkerSettings) -> None:
        self.slots = len(settings.devices)
        self._workers = [_Worker(slot, device, settings) for slot, device in enumerate(settings.devices)]
        # Python would wait at exit for workers that nobody stopped.
        atexit.register(self.stop)

    def submit(self, job: Job) -> None:
        free = next(w for w in self._workers if w.job is None)
        free.submit(job)

    def events(self, timeout_seconds: float) -> Iterable[Event]:
        busy = [w for w in self._workers if w.job is not None]
        if busy:
            connection.wait([thing for w in busy for thing in w.waitables], timeout_seconds)
        return [event for w in busy for event in w.poll()]

    def stop(self) -> None:
        """Asks the workers to end, twice, and kills those that do not; at once if it is interrupted itself."""
        try:
            for seconds in (EPOCH_END_SECONDS, TERMINATE_SECONDS):
                for w in self._workers:
                    w.terminate()
                deadline = time.monotonic() + seconds
                for w in self._workers:
                    w.join(max(0.0, deadline - time.monotonic()))
        finally:
            for w in self._workers:
                w.end()
            atexit.unregister(self.stop)


class _Worker:
    """One slot: its process, and the job that it is at."""

    def __init__(self, slot: int, device: str, settings: WorkerSettings) -> None:
        self.job: Job | None = None
        self._slot = slot
        self._device = device
        self._settings = settings
        self._process: SpawnProcess | None = None
        self._pipe: Any = None
        self._heartbeat: Any = None
        self._starts = 0
        self._watch = _Watch(settings.timeout_seconds)
        self._memory_kills: int | None = None

    @property
    def waitables(self) -> list[Any]:
        return [self._pipe, self._process.sentinel] if self._process is not None else []

    def submit(self, job: Job) -> None:
        if self._process is not None and self._process.exitcode is not None:
            self.end()
        if self._process is None:
            self._start()
        self.job = job
        self._watch.reset()
        self._memory_kills = memory_kills()
        with suppress(OSError):  # it died just now: poll() says so
            self._pipe.send(job)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self._heartbeat = _shared_numbers(len(worker.HEARTBEAT))
        self._heartbeat[0] = worker.NO_CELL
        log = self._settings.folder / "logs" / f"worker-{self._slot}.log"
        arguments = (theirs, self._heartbeat, self._settings, self._device, log, self._starts > 0)
        process = context.Process(target=worker.main, args=arguments, name=f"kdharness worker {self._slot}")
        with _environment(child_environment(self._device)), _interrupts_held():
            process.start()
            self._process, self._pipe = process, ours  # before Ctrl-C can come, else nobody would stop it
        theirs.close()  # else its end would never be seen
        self._starts += 1

    def poll(self) -> list[Event]:
        """What the worker said, and what its silence says."""
        assert self._process is not None
        # Asked first: what a worker said before it died is in the pipe by then.
        dead = self._process.exitcode is not None
        events, closed = self._drain()
        if self.job is None:
            return events
        if dead or closed:
            self._process.join(TERMINATE_SECONDS)
            cause, out_of_memory = self._cause()
            return [*events, self._lose(cause, out_of_memory=out_of_memory)]
        if self._watch.hung(int(self._heartbeat[0]), self._heartbeat[1]):
            return [*events, *self._kill_hung()]
        return events

    def _drain(self) -> tuple[list[Event], bool]:
        """What lies in the pipe, and whether it has come to its end."""
        events: list[Event] = []
        try:
            while self._pipe.poll():
                event: Event = self._pipe.recv()
                events.append(event)
                if isinstance(event, JobFinished | JobLost | WorkerError):
                    self._finish(event)
        except (EOFError, OSError):
            return events, True
        return events, False

    def _finish(self, event: JobFinished | JobLost | WorkerError) -> None:
        self.job = None
        # An accelerator's errors can outlive the job in the process that met them, and so can what a cell changed.
        if isinstance(event, JobLost):
            spoiled = True
        else:
            spoiled = event.on_accelerator if isinstance(event, WorkerError) else bool(event.spoiled)
        if spoiled:
            self.end()

    def _kill_hung(self) -> list[Event]:
        assert self._process is not None
        self._process.kill()
        self._process.join()
        events, _ = self._drain()
        if self.job is None:
            return events
        cause = f"no sign of life for {self._settings.timeout_seconds:g} s"
        return [*events, self._lose(cause, timed_out=True)]

    def _lose(self, cause: str, timed_out: bool = False, out_of_memory: bool = False) -> JobLost:
        assert self.job is not None
        index = int(self._heartbeat[0])
        suspect = self.job.keys[index] if 0 <= index < len(self.job.keys) else ""
        lost = JobLost(self.job.number, suspect, cause, timed_out, out_of_memory)
        self.end()
        return lost

    def _cause(self) -> tuple[str, bool]:
        """Why the process ended, in words, and whether the system killed it for lack of memory."""
        code = self._process.exitcode if self._process is not None else None
        if code is None:
            return "it closed its connection", False
        if code >= 0:
            return f"exit code {code}", False
        text = f"killed by signal {-code} ({signal_name(-code)})"
        if -code != signal.SIGKILL:
            return text, False
        now = memory_kills()
        if now is None or self._memory_kills is None:
            return f"{text}, perhaps for lack of memory", False
        return (f"{text} for lack of memory", True) if now > self._memory_kills else (text, False)

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def join(self, timeout_seconds: float) -> None:
        if self._process is not None:
            self._process.join(timeout_seconds)

    def end(self) -> None:
        """Kills what is left of the process, and forgets it."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process = None
        self.job = None


class _Watch:
    """Counts for how long the cell being stepped gave no sign."""

    def __init__(self, limit_seconds: float | None) -> None:
        self._limit_seconds = limit_seconds
        self.reset()

    def reset(self) -> None:
        self._seen: tuple[int, float] | None = None
        self._silent_seconds = 0.0
        self._looked = time.monotonic()

    def hung(self, cell: int, beat: float) -> bool:
        now = time.monotonic()
        waited, self._looked = min(now - self._looked, LONGEST_WAIT_SECONDS), now
        if cell == worker.NO_CELL or (cell, beat) != self._seen:
            self._seen, self._silent_seconds = (cell, beat), 0.0
            return False
        self._silent_seconds += waited
        return self._limit_seconds is not None and self._silent_seconds > self._limit_seconds


def _shared_numbers(count: int) -> Any:
    """Doubles that a process started later shares. UserError where there is no place for them."""
    try:
        return RawArray(worker.HEARTBEAT[0], count)
    except OSError as error:
        where = "workers need /dev/shm, or a temporary folder in its place, that can be written"
        raise UserError(f"{where}; --executor inline does not: {one_line(error)}") from error


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"


def memory_kills() -> int | None:
    """How many processes the system has killed for lack of memory since it started; None where it does not say."""
    try:
        counters = Path("/proc/vmstat").read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return next((int(line.split()[1]) for line in counters.splitlines() if line.startswith("oom_kill ")), None)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """These variables for processes started within."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the end, and reaches no process started within before it is ready for it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it with the first process would unblock the signal again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
