"""Checks of an optimiser whose spec says `capturable`: what a recorded step asks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from kdharness.api import OptimizerSpec, hookimpl
from kdharness.device.device import Device
from kdharness.planning import make_plan
from kdharness.planning.cell import STUDENT, Cell
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import parse
from kdharness.registry.loading import Plugin, installed_plugins
from kdharness.registry.manager import Registry
from kdharness.registry.source import Source
from kdharness.testing import tiny
from kdharness.testing.bench import Bench
from kdharness.testing.case import PAIR, CheckFailed, CheckSkipped
from kdharness.testing.recorded_step import unlike_when_replayed
from kdharness.testing.rehearsal import RecordingCpu, fake_accelerator, on_the_cpu
from kdharness.testing.step_checks import without_backward

# What the optimiser under check is of, beside an installed one of its name.
PACKAGE = "under_check"
# Of each of two epochs, in all of which the rate differs.
STEPS = 3
RATES = {"schedule": "cosine", "schedule_per": "step", "warmup_epochs": 1}


@dataclass(frozen=True, eq=False)
class OptimizerCase:
    """An optimiser under check, which trains a tiny network.

    spec: the optimiser; it need not be installed.
    recipe: fields that differ from the default ones.
    """

    spec: OptimizerSpec
    recipe: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, optimizer: OptimizerSpec | OptimizerCase) -> OptimizerCase:
        return optimizer if isinstance(optimizer, OptimizerCase) else cls(optimizer)

    @cached_property
    def registry(self) -> Registry:
        """The installed plugins, the tiny world and the optimiser."""
        world = Plugin("tiny world", tiny, Source("", "", "", tiny.__name__, kind="file"))
        carrier = Plugin("under check", _Carrier(self.spec), Source(PACKAGE, "0", "", PACKAGE))
        return Registry([*installed_plugins(), world, carrier])

    @cached_property
    def cell(self) -> Cell:
        """One that has no teacher."""
        fixed = {"epochs": 2, "optimizer": f"{PACKAGE}/{self.spec.name}"}
        recipe = {"batch_size": 20, "lr": 0.01, **RATES, **self.recipe, **fixed}
        content = {"name": "tiny", "datasets": [tiny.DATASET], "pairs": [PAIR], "seeds": [0], "recipe": recipe}
        plan = make_plan(parse(content, "the tiny benchmark"), Selection(methods=("vanilla",)), self.registry)
        return next(p.cell for p in plan.cells if p.cell.role == STUDENT and p.cell.method == "vanilla")

    def bench(self, device: Device) -> Bench:
        """CheckSkipped, with the reason, where no step of the optimiser is recorded."""
        _ = self.cell
        bench = Bench(self, device)
        reason = bench.member.state.players.unrecordable()
        if reason:
            raise CheckSkipped(f"no step is recorded: {reason}")
        return bench


class _Carrier:
    """A plugin that provides one optimiser."""

    def __init__(self, spec: OptimizerSpec) -> None:
        self.spec = spec

    @hookimpl
    def kdharness_optimizers(self) -> Iterable[OptimizerSpec]:
        yield self.spec


def _stepped(bench: Bench, number: int) -> dict[str, Tensor]:
    """The student's parameters after step `number` of two epochs, with gradients that depend on that number alone."""
    players = bench.member.state.players
    draw = torch.Generator().manual_seed(number)
    parameters: dict[str, Tensor] = dict(bench.member.student.named_parameters())
    for parameter in parameters.values():
        parameter.grad = torch.randn(parameter.shape, generator=draw)
    bench.member.clock.epoch_in_phase, step = divmod(number, STEPS)
    players.set_rates(bench.member.clock.place(step, STEPS))
    players.advance("main", None)
    return parameters


def check_no_rate_is_read_back(case: OptimizerCase) -> None:
    """On a fake accelerator, steps at rates that change look at no number of the device."""
    _ = case.cell  # planned on the CPU
    with fake_accelerator(records=True) as device:
        bench = case.bench(device)
        without_backward(bench)
        for epoch in range(2):
            bench.member.clock.epoch_in_phase = epoch
            bench.member.request()
            for number in range(STEPS):
                bench.step(number=number, of=STEPS)


def check_a_tensor_steps_as_a_number_does(case: OptimizerCase) -> None:
    """On the CPU, steps with the same gradients give the weights that they give where the rate is a number.

    But for rounding: the tensor is float32, and a product with it is rounded before it is added.
    """
    with on_the_cpu():
        bench, plain = _on_the_cpu(case, records=True), _on_the_cpu(case, records=False)
        for number in range(2 * STEPS):
            one, other = (_stepped(each, number) for each in (bench, plain))
            for name in one:
                if not torch.allclose(one[name], other[name], rtol=1e-5, atol=1e-6):
                    what = f"step {number + 1} moves {name} otherwise where the learning rate is a tensor"
                    raise CheckFailed(what)


def check_a_replayed_step_follows_the_rate(case: OptimizerCase) -> None:
    """On the CPU, a recorded step that is replayed at another rate gives the bits of an eager one at that rate."""
    with on_the_cpu():
        name = unlike_when_replayed(*(_on_the_cpu(case, records=True) for _ in range(2)))
        if name:
            raise CheckFailed(f"a step that is replayed at another rate is not the step of that rate: {name} differs")


def _on_the_cpu(case: OptimizerCase, records: bool) -> Bench:
    """CheckSkipped for those of torch's that are only recorded on devices."""
    bench = case.bench(RecordingCpu(records))
    groups = [g for optimizer in bench.member.state.players.optimizers.values() for g in optimizer.param_groups]
    if any("capturable" in group and not group.get("fused") for group in groups):
        raise CheckSkipped("torch counts the steps of this optimiser on the host where there is no device")
    return bench


def optimizer_checks(optimizer: OptimizerSpec | OptimizerCase) -> Iterator[tuple[str, Callable[[], None]]]:
    """The name of each check that the optimiser has to pass, and a function that runs it.

    The function raises CheckFailed, or what the optimiser raised, and CheckSkipped, with the reason, where its spec
    does not say `capturable`.
    """
    case = OptimizerCase.of(optimizer)
    for check in (
        check_no_rate_is_read_back,
        check_a_tensor_steps_as_a_number_does,
        check_a_replayed_step_follows_the_rate,
    ):
        yield check.__name__, partial(check, case)
