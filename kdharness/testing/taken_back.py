"""Whether a step can be taken back: a stepper that records one runs it before, and none of these runs may count.

What a step changes is put back in place, so that a recording finds it where it was. What an optimiser makes at its
first step is not there before: it is taken back from the second step on.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from kdharness.engine.cell_state import CellState
from kdharness.testing.bench import Bench
from kdharness.testing.case import CheckFailed, MethodCase, skip_secret
from kdharness.testing.rehearsal import on_the_cpu

# Runs before a recording.
WARM_UP = 2


class Before:
    """All of a cell that a step may change, as it is now."""

    def __init__(self, state: CellState) -> None:
        self.state = state
        self.tensors = dict(held(state))
        self.values = {name: tensor.detach().clone() for name, tensor in self.tensors.items()}
        self.gradients = [(p, p.grad, None if p.grad is None else p.grad.clone()) for p in self._parameters()]
        self.optimizers = [
            (optimizer, {p: dict(own) for p, own in optimizer.state.items()}, [dict(g) for g in optimizer.param_groups])
            for optimizer in state.players.optimizers.values()
        ]
        self.rates = [(paced.rate, paced.rate.number) for paced in state.players.paced.values()]
        self.random = copy.deepcopy(state.random.state_dict())
        self.generators = [generator.get_state() for generator in state.generators]
        self.counts = [(part, copy.deepcopy(vars(part))) for part in (state.terms, state.effort)]
        self.effect = {name: copy.copy(value) for name, value in vars(state.players.effect).items()}

    def _parameters(self) -> list[nn.Parameter]:
        networks = [teacher.model for teacher in self.state.private_teachers]
        return [*self.state.players.all_parameters(), *(p for network in networks for p in network.parameters())]

    def put_back(self) -> None:
        """The cell is what it was, and every tensor is the same object."""
        with torch.no_grad():
            for name, tensor in self.tensors.items():
                tensor.copy_(self.values[name])
            for parameter, gradient, values in self.gradients:
                parameter.grad = gradient if gradient is None or values is None else gradient.copy_(values)
        for optimizer, states, groups in self.optimizers:
            optimizer.state.clear()
            optimizer.state.update({parameter: dict(own) for parameter, own in states.items()})
            for group, former in zip(optimizer.param_groups, groups, strict=True):
                group.clear()
                group.update(former)
        for rate, number in self.rates:  # its tensor is among the tensors
            rate.number = number
        self.state.random.load_state_dict(copy.deepcopy(self.random))
        for generator, drawn in zip(self.state.generators, self.generators, strict=True):
            generator.set_state(drawn)
        for part, counted in self.counts:
            vars(part).update(copy.deepcopy(counted))
        vars(self.state.players.effect).update({name: copy.copy(value) for name, value in self.effect.items()})


def held(state: CellState) -> Iterator[tuple[str, Tensor]]:
    """By name, the tensors that a cell trains with: weights, buffers, optimiser states, averages, rates."""
    networks = {f"teacher {k}": teacher.model for k, teacher in enumerate(state.private_teachers)}
    modules: dict[str, nn.Module] = {"student": state.student, "method": state.method, "predictor": state.predictor}
    for name, module in {**modules, **networks}.items():
        for path, tensor in (*module.named_parameters(), *module.named_buffers()):
            yield f"{name}.{path}", tensor
    for player, optimizer in state.players.optimizers.items():
        for number, own in enumerate(optimizer.state.values()):
            found = {key: value for key, value in own.items() if isinstance(value, Tensor)}
            yield from ((f"{player}'s optimizer, {key} {number}", value) for key, value in found.items())
    averages = () if state.averages is None else state.averages.tensors()
    yield from ((f"average {number}", tensor) for number, tensor in enumerate(averages))
    yield from ((f"rate of {player}", rate) for player, rate in state.players.rates.items())


def marks(state: CellState) -> dict[str, Any]:
    """What equals itself as long as the cell is the same: tensors by name, and the states of its generators."""
    tensors: dict[str, Any] = {name: tensor.detach().clone() for name, tensor in held(state)}
    generators = {f"generator {k}": generator.get_state() for k, generator in enumerate(state.generators)}
    defaults = {f"default generator {k}": drawn for k, drawn in enumerate(state.random.state_dict()["torch"])}
    return {**tensors, **generators, **defaults}


def unlike(one: dict[str, Any], other: dict[str, Any]) -> str:
    """The first name under which they differ, '' for none."""
    differ = [name for name in one if name in other and not torch.equal(one[name], other[name])]
    return next(iter([*differ, *sorted(one.keys() ^ other.keys())]), "")


def check_step_can_be_taken_back(case: MethodCase) -> None:
    """In every phase, a step after others that were taken back gives the bits that it gives without them."""
    skip_secret(case)
    with on_the_cpu() as device:
        bench = Bench(case, device)
        state = bench.member.state
        for phase in bench.phases():
            bench.step()
            before = Before(state)
            bench.step()
            expected = marks(state)
            before.put_back()
            for _ in range(WARM_UP):
                bench.step()
            before.put_back()
            bench.step()
            name = unlike(expected, marks(state))
            if name:
                advice = "what a step changes is a buffer or a parameter, or its method says capturable = False"
                raise CheckFailed(f"a step of phase '{phase.name}' cannot be taken back ({name} differs): {advice}")
