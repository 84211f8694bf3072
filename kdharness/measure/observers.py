"""Metrics that look on while a cell trains, and leave it as it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from kdharness.api.evaluation import Observer
from kdharness.api.staged import StagedModel
from kdharness.data.watched import form_of
from kdharness.device.checksum import Balance, checksum
from kdharness.device.device import Device
from kdharness.device.random import default_generators_kept
from kdharness.device.structure import Structure
from kdharness.device.torch_settings import settings_kept
from kdharness.errors import CellError
from kdharness.registry.manager import Registry


class Observers:
    """A cell's observing metrics, by name. failures: why some are no longer among them.

    epochs: how many each has seen, which a checkpoint keeps: one that did not see all of them has no number to give.
    """

    def __init__(self, registry: Registry, metrics: Sequence[str], student: StagedModel, device: Device) -> None:
        specs = {name: registry.get("metric", name).spec for name in metrics}
        self.student = student
        self.device = device
        self.wanted = {name: spec for name, spec in specs.items() if spec.observe is not None}
        self.failures: dict[str, Exception] = {}
        self.epochs = dict.fromkeys(self.wanted, 0)
        self._started: dict[str, Observer] = {}
        self._followed: WeakSet[Optimizer] = WeakSet()
        self._own = {id(p) for p in student.parameters()} if self.wanted else set()
        self._tensors = [*student.parameters(), *student.buffers()] if self.wanted else []
        # Of writes that move no version; read at the end of an epoch, for reading waits for the device.
        self._balances = {name: Balance() for name in self.wanted}
        # To compare modules is slow: it is done at an epoch's first update and at its end.
        self._first_update = True

    def follow(self, optimizers: Iterable[Optimizer]) -> None:
        """From now on these optimisers are watched, where they train the student."""
        if not self.wanted:
            return
        for optimizer in optimizers:
            if optimizer in self._followed:
                continue
            self._followed.add(optimizer)
            parameters = [p for group in optimizer.param_groups for p in group["params"] if id(p) in self._own]
            if parameters:
                optimizer.register_step_pre_hook(partial(self._before_update, parameters))

    def _before_update(self, parameters: list[nn.Parameter], *of_the_step: object) -> None:
        # The cell's own generators are in place, and must not go on.
        with default_generators_kept(self.device.default_generators()):
            look = _Look(self._tensors, parameters, Structure(self.student) if self._first_update else None)
            self._first_update = False
            for name, spec in list(self.wanted.items()):
                with self._looking(name, look), torch.no_grad():
                    if name not in self._started:
                        self._started[name] = spec.observe(self.student)
                    self._started[name].before_update(parameters)

    def end_epoch(self) -> dict[str, float]:
        """The epoch's finite numbers. CellError for an observer that changed what it looked at, unnoticed by torch."""
        found: dict[str, float] = {}
        look = _Look(self._tensors, [], Structure(self.student) if self.wanted else None)
        self._first_update = True
        for name in list(self.wanted):
            self.epochs[name] += 1
            if name not in self._started:
                continue
            with self._looking(name, look), torch.no_grad():
                values = {str(number): float(value) for number, value in self._started[name].values().items()}
                foreign = next((number for number in values if not self.wanted[name].owns(number)), None)
                if foreign is not None:
                    raise ValueError(f"its number '{foreign}' does not begin with '{name}'")
                found |= {number: value for number, value in values.items() if math.isfinite(value)}
        for name, balance in self._balances.items():
            if balance.differs():
                raise _changed(name)
        return found

    @contextmanager
    def _looking(self, name: str, look: _Look) -> Iterator[None]:
        """What one observer raises ends it alone. What it changes of the student ends the cell: it must not."""
        with self.device.contained(lambda error: self._drop(name, error)), settings_kept():
            yield
        if not look.unmoved(self._balances[name]):
            raise _changed(name)

    def _drop(self, name: str, error: Exception) -> None:
        if self.device.is_out_of_memory(error):
            raise error  # the cell's, which may be tried again among fewer
        self.failures[name] = error
        self.wanted.pop(name)
        self._started.pop(name, None)


class _Look:
    """What observers are shown of a network, one after the other: its tensors, the gradients of parameters, and, where
    they are compared, its modules.
    """

    def __init__(
        self, tensors: Sequence[Tensor], parameters: Sequence[nn.Parameter], structure: Structure | None
    ) -> None:
        self._structure = structure
        gradients = [p.grad for p in parameters if p.grad is not None and p.grad.layout == torch.strided]
        self._tensors = [*tensors, *gradients]
        self._versions = [t._version for t in self._tensors]
        self._forms = [form_of(t) for t in self._tensors]
        self._sums = checksum(self._tensors)

    def unmoved(self, balance: Balance) -> bool:
        """Whether nothing was changed in the open since the last time. What the numbers were and are goes into the
        balance.
        """
        if [t._version for t in self._tensors] != self._versions or [form_of(t) for t in self._tensors] != self._forms:
            return False
        if self._structure is not None and not self._structure.stands:
            return False
        before, self._sums = self._sums, checksum(self._tensors)
        balance.compare(before, self._sums)
        return True


def _changed(name: str) -> CellError:
    return CellError("SharedStateChanged", f"the metric '{name}' changed the network that it was to look at")
