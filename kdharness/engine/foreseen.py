"""What would fail before a first step, found without one: data that cannot be loaded, teachers that know too little."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from kdharness.api.data import DatasetMissing
from kdharness.device.random import default_generators_kept
from kdharness.engine.world import World
from kdharness.errors import CellError, UserError
from kdharness.failures import Failure, attempt, message_of
from kdharness.planning.cell import Cell, TeacherSource, canonical

LONG_SECONDS = 2.0


def foreseen(cells: Iterable[Cell], world: World, note: Callable[[str], None]) -> Iterator[str]:
    """A line for each dataset and each file of a teacher that the cells would fail with. Downloads nothing.

    note: is told what takes its time.
    """
    seen: set[str] = set()
    with default_generators_kept(world.device.default_generators()):
        for cell in cells:
            dataset = canonical({"dataset": cell.document["dataset"], "parameters": dict(cell.dataset_parameters)})
            if dataset not in seen:
                seen.add(dataset)
                with _told(note, f"reading dataset '{cell.dataset}'"):
                    line = _data_fault(cell, world)
                if line:
                    seen.add(f"lost {dataset}")
                    yield line
            if f"lost {dataset}" not in seen:
                yield from _teachers(cell, world, seen, note)


def _data_fault(cell: Cell, world: World) -> str:
    """Why the cell's data cannot be loaded; "" where it can, or is not there yet."""
    found = attempt(lambda: world.data.of(cell))
    if not isinstance(found, Failure) or isinstance(found.exception, DatasetMissing):
        return ""
    return f"dataset '{cell.dataset}' cannot be loaded: {_said(found)}"


def _teachers(cell: Cell, world: World, seen: set[str], note: Callable[[str], None]) -> Iterator[str]:
    for source in (*cell.teachers, *cell.reference_teachers):
        data = canonical({"dataset": cell.document["dataset"], "network": source.network, "recipe": cell.recipe})
        key = f"{source.identity} {data}"
        if not source.sha256 or key in seen:
            continue
        seen.add(key)
        with _told(note, f"measuring teacher file {source.path} on the test split of '{cell.dataset}'"):
            found = attempt(partial(_measure, source, cell, world))
        if isinstance(found, Failure):
            yield _said(found)


@contextmanager
def _told(note: Callable[[str], None], line: str) -> Iterator[None]:
    """Says what is going on within, if that takes long."""
    timer = threading.Timer(LONG_SECONDS, note, (line,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _measure(source: TeacherSource, cell: Cell, world: World) -> None:
    """As a run does before the cell's first step."""
    world.device.set_precision(str(cell.recipe["precision"]))
    world.teachers.of(replace(cell, teachers=(source,)), world.data.of(cell))


def _said(failure: Failure) -> str:
    """What the harness and datasets say in words of their own is said without the error's class."""
    error = failure.exception
    return message_of(error) if isinstance(error, CellError | UserError | ValueError) else failure.error
