"""The built-in executors, registered through the hook that third parties use."""

from __future__ import annotations

from kdharness.api.executors import Executor, WorkerSettings
from kdharness.api.hooks import hookimpl
from kdharness.api.specs import ExecutorSpec


def local(settings: WorkerSettings) -> Executor:
    from kdharness.execution.local import LocalExecutor

    return LocalExecutor(settings)


def inline(settings: WorkerSettings) -> Executor:
    from kdharness.execution.inline import InlineExecutor

    return InlineExecutor(settings)


@hookimpl
def kdharness_executors() -> list[ExecutorSpec]:
    return [
        ExecutorSpec("local", local, "worker processes on this machine, one per device or core"),
        ExecutorSpec("inline", inline, "in this process, one group after the other, for debugging"),
    ]
