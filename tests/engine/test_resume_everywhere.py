"""Methods with players, phases and generators of their own, stopped after every epoch and taken up again."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from kdharness.api.executors import EpochFinished
from kdharness.results.record import Status
from kdharness.testing import Lab

# Method: settings that make it hard, and the epochs that show all of its phases.
CASES = {
    "meal": (("meal.adv_mode=alternate",), 3),
    "meal_v2": ((), 2),
    "byot": (("byot.preset=journal",), 3),
    "dml": (("dml.peers=2",), 3),
    "rona": (("rona.mechanism=gradient",), 8),
}


@pytest.mark.parametrize("method", CASES)
def test_stopped_after_every_epoch_it_gives_the_same_bits(make_lab: Callable[..., Lab], method: str) -> None:
    settings, epochs = CASES[method]
    whole = make_lab("whole")
    plan = whole.plan(methods=(method,), settings=settings, epochs=epochs)
    cell = next(p.cell for p in plan.cells if p.cell.method == method)
    undisturbed = whole.train_plan(plan)[cell.key]
    assert undisturbed.status is Status.OK
    stopped = make_lab("stopped", checkpoint_seconds=0.0)
    for key in cell.requires:
        shutil.copytree(whole.folder.cell_path(key), stopped.folder.cell_path(key))
    seen: list[int] = []

    def stop(event: object) -> None:
        # The checkpoint of the epoch before is on disk by the time that the next one is told.
        if isinstance(event, EpochFinished) and event.epoch > 1 and event.epoch not in seen:
            seen.append(event.epoch)
            raise KeyboardInterrupt

    stopped.on_event = stop
    total = int(undisturbed.values["epochs"])
    for _ in range(total - 1):
        with pytest.raises(KeyboardInterrupt):
            stopped.train([cell])
    resumed = stopped.train([cell])[cell.key]
    assert seen == list(range(2, total + 1))
    assert stopped.bits(cell.key) == whole.bits(cell.key)
    own = {name: value for name, value in undisturbed.values.items() if name.startswith(f"x_{method}_")}
    assert {name: resumed.values[name] for name in own} == own
