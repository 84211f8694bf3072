"""Whether a step could be replayed from a recording: its operations are the same in all steps of a phase."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

from kdharness.testing.bench import Bench
from kdharness.testing.case import CheckFailed, CheckSkipped, MethodCase
from kdharness.testing.operations import generators_of, operator_name
from kdharness.testing.rehearsal import RecordingCpu, generator_on_device, is_on_device, on_the_cpu

# Steps before the recorded ones: what is made when it is first needed is there by then.
WARM_UP = 2


class MarkedCpu(RecordingCpu):
    """The CPU, as if it were a device: its generators are not the host's."""

    def generator(self, seed: int) -> torch.Generator:
        return generator_on_device(seed)


class Recording(TorchDispatchMode):
    """Notes each operation with the shapes of its tensors and all plain values.

    Aside are steps of optimisers that cannot be recorded, and the hooks before every optimiser's: what the harness
    looks at there, it looks at in some epochs.

    Tensors that the host makes of Python's numbers are noted by value. host_draws: operators that draw from a
    generator of the host, whose draws a recording would repeat.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[str] = []
        self.host_draws: list[str] = []
        self._stepping = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self._stepping and func.namespace != "profiler":  # an optimiser's mark of its step
            name = operator_name(func)
            described = _value if name == "lift_fresh" else _shape
            self.operations.append(f"{name}{tree_map(described, (args, kwargs))}")
            if not all(map(is_on_device, generators_of(args, kwargs))):
                self.host_draws.append(name)
        return func(*args, **kwargs)

    def step_begins(self, *of_the_step: object) -> None:
        self._stepping = True

    def step_runs(self, *of_the_step: object) -> None:
        """The hooks before it are done."""
        self._stepping = False

    def step_ends(self, *of_the_step: object) -> None:
        self._stepping = False


def _shape(value: Any) -> Any:
    if isinstance(value, Tensor):
        return f"{value.dtype}{list(value.shape)}"
    return "generator" if isinstance(value, torch.Generator) else value


def _value(value: Any) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value


def check_step_can_be_replayed(case: MethodCase) -> None:
    """In a phase, and over its epochs, the operations of a step do not change, nor the plain numbers in them.

    CheckSkipped, when all else is as it should be, for an optimiser that cannot be recorded.
    """
    reasons = []
    with on_the_cpu():
        bench = Bench(case, MarkedCpu())
        for phase in bench.phases():
            for _ in range(WARM_UP):
                bench.step()
            first = _recorded(bench)
            if first.host_draws:
                what = ", ".join(dict.fromkeys(first.host_draws))
                advice = "draw with context.generator(name, device=True), or say capturable = False"
                raise CheckFailed(f"a step of phase '{phase.name}' draws on the host ({what}): {advice}")
            for when in _later(bench):
                _compare(first.operations, _recorded(bench).operations, f"phase '{phase.name}', {when}")
            reasons.append(bench.member.state.players.unrecordable())
    if any(reasons):
        raise CheckSkipped(f"the rest of a step can be replayed, but {next(filter(None, reasons))}")


def _recorded(bench: Bench) -> Recording:
    found = Recording()
    with ExitStack() as stack:
        for handle in (
            register_optimizer_step_pre_hook(found.step_begins),
            register_optimizer_step_post_hook(found.step_ends),
        ):
            stack.callback(handle.remove)
        for paced in bench.member.state.players.paced.values():
            if paced.as_tensor:
                stack.callback(paced.optimizer.register_step_pre_hook(found.step_runs).remove)
        bench.step(found)
    return found


def _later(bench: Bench) -> Iterator[str]:
    """Goes on to another step of the epoch, and to the next epoch where the phase has one."""
    yield "another step"
    member = bench.member
    if member.clock.epoch_in_phase + 1 < member.clock.phase_epochs:
        member.method.after_epoch(member.epoch_context())
        member.clock.epoch_in_phase += 1
        member.request()
        yield "another epoch"
        member.clock.epoch_in_phase = 0


def _compare(expected: list[str], found: list[str], where: str) -> None:
    for one, other in zip(expected, found, strict=False):
        if one != other:
            advice = "take what changes from batch.step, as a tensor, or say capturable = False"
            raise CheckFailed(f"{where}: a step does {other[:150]} where it did {one[:150]}: {advice}")
    if len(expected) != len(found):
        raise CheckFailed(f"{where}: a step has {len(found)} operations where it had {len(expected)}")
