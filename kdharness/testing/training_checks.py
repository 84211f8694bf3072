"""Checks of whole trainings, in the lab: plan, group against solo, resume."""

from __future__ import annotations

import shutil
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any

from kdharness.api.executors import EpochFinished, Event
from kdharness.planning.cell import Cell
from kdharness.results.record import Record, Status
from kdharness.testing.case import CheckFailed, CheckSkipped, MethodCase, skip_secret
from kdharness.testing.lab import Lab


class Trained:
    """A case's plan, trained in few groups, in a folder that goes when nobody needs it any more."""

    def __init__(self, case: MethodCase) -> None:
        folder = mkdtemp()
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self.lab = Lab(Path(folder), given=case.registry, metrics=())
        self.records = self.lab.train_plan(case.plan)


@lru_cache(maxsize=2)
def trained(case: MethodCase) -> Trained:
    """The method beside the reference methods. CheckFailed where it does not finish."""
    run = Trained(case)
    own = run.records.get(case.cell.key)
    if own is None or own.status is not Status.OK:
        raise CheckFailed(f"it does not train: {own.error_message if own else 'a cell that it requires did not'}")
    return run


@contextmanager
def _another_lab(run: Trained, cell: Cell, **rest: Any) -> Iterator[Lab]:
    """A lab with nothing but what the cell requires."""
    with TemporaryDirectory() as folder:
        lab = Lab(Path(folder), given=run.lab.registry, metrics=(), **rest)
        lab.take(run.lab, [cell])
        yield lab


def check_plan_is_repeatable(case: MethodCase) -> None:
    """The method is planned on the meta device, not skipped there, and a second plan has the same keys."""
    again = replace(case)
    first, second = ([planned.cell.key for planned in one.plan.cells] for one in (case, again))
    if first != second:
        raise CheckFailed("two plans of the same command have different cells")
    try:
        _ = case.cell
    except CheckSkipped as reason:  # the other checks are skipped too: without a failure, none would be noticed
        way = 'MethodCase(spec, pair="teacher:student") names models that it serves'
        raise CheckFailed(f"{reason}: no check of it can run; {way}") from None


def check_same_bits_alone_and_in_a_group(case: MethodCase) -> None:
    """Weights, history, predictions and measurements do not depend on who trains beside it."""
    skip_secret(case)
    run, cell = trained(case), case.cell
    with _another_lab(run, cell) as solo:
        _compare(run, solo, cell, solo.train([cell], alone=True)[cell.key], "alone")


def check_same_bits_when_resumed(case: MethodCase) -> None:
    """Stopped after every epoch and taken up from its checkpoint, it ends with the same bits."""
    skip_secret(case)
    run, cell = trained(case), case.cell
    epochs = int(run.records[cell.key].values["epochs"])
    with _another_lab(run, cell, checkpoint_seconds=0.0) as stopped:
        for epoch in range(2, epochs + 1):
            _train_until(stopped, cell, epoch)
        record = _train_until(stopped, cell, epochs + 1)
        _compare(run, stopped, cell, record, "stopped and resumed")


class _Stop(KeyboardInterrupt):
    """Ends a training as Ctrl-C does."""


def _train_until(lab: Lab, cell: Cell, epoch: int) -> Record | None:
    """Trains until this epoch is told, before it is saved, so that the next training begins with it; or to the end.

    CheckFailed where this training did not begin with the epoch before.
    """
    told: list[int] = []

    def stop(event: Event) -> None:
        if isinstance(event, EpochFinished):
            told.append(event.epoch)
            if event.epoch == epoch:
                raise _Stop

    lab.on_event = stop
    record = None
    with suppress(_Stop):
        record = lab.train([cell]).get(cell.key)
    if told and told[0] != epoch - 1:
        raise CheckFailed(f"its checkpoint is not taken up: it began with epoch {told[0]} and not {epoch - 1}")
    return record


def _compare(run: Trained, lab: Lab, cell: Cell, record: Record | None, how: str) -> None:
    if record is None or record.status is not Status.OK:
        raise CheckFailed(f"{how} it does not finish: {record.error_message if record else 'it goes on too long'}")
    expected, found = run.lab.bits(cell.key), lab.bits(cell.key)
    different = [name for name in expected if expected[name] != found[name]]
    own = f"x_{cell.method}_"
    before = {name: value for name, value in run.records[cell.key].values.items() if name.startswith(own)}
    different += [name for name, value in before.items() if record.values.get(name) != value]
    if different:
        raise CheckFailed(f"{how} it gives other bits than in a group: {', '.join(different)}")
