"""A step that is recorded and run again, as a captured graph is: the same operations, on the very tensors they had.

What was a number of Python's when it was recorded stays that number. New contents of the batch, and a rate that was
filled anew, are seen, since they are in tensors.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from kdharness.testing.bench import Bench
from kdharness.testing.case import CheckFailed
from kdharness.testing.operations import operator_name, tensors_of, waits
from kdharness.testing.taken_back import marks, unlike

# Steps before the recorded one: what an optimiser makes when it is first needed is there by then.
WARM_UP = 2


class RecordedStep(TorchDispatchMode):
    """Records what is dispatched in its block. CheckFailed for what waits for the device: no recording survives it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._operations: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if waits(func, args, kwargs):
            raise CheckFailed(f"a step that is recorded waits for the device ({operator_name(func)})")
        result = func(*args, **kwargs)
        if func.namespace != "profiler":  # an optimiser's mark of its step
            self._operations.append((func, args, kwargs, result))
        return result

    def replay(self) -> None:
        """Every operation again. Its results go where the first ones are."""
        with torch.no_grad():
            for func, args, kwargs, result in self._operations:
                again = func(*args, **kwargs)
                for first, new in zip(tensors_of(result), tensors_of(again), strict=True):
                    if first.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                        first.copy_(new)


def unlike_when_replayed(recorded: Bench, eager: Bench) -> str:
    """The first name under which a replayed step differs from an eager one of the same rate and batch; '' for none.

    recorded, eager: newly made, alike. The replayed step has another rate, and other images, than the recorded one.
    """
    step = RecordedStep()
    for bench in (recorded, eager):
        bench.member.request()
        for number in range(WARM_UP):
            bench.step(number=number, of=WARM_UP + 2)
        bench.samples = bench.made_anew()
        views = [bench.samples.view(key) for _, key in bench.member.views]  # made here: a recording begins with them
        bench.step(step if bench is recorded else None, number=WARM_UP, of=WARM_UP + 2)
        for images in views:
            images.copy_(images.flip(0))
    place = recorded.member.clock.place(WARM_UP + 1, WARM_UP + 2)
    recorded.member.state.players.set_rates(place)
    with recorded.member.isolated():
        step.replay()
    eager.samples = eager.made_anew(flipped=True)
    eager.step(number=place.step, of=place.steps)
    return unlike(marks(eager.member.state), marks(recorded.member.state))
