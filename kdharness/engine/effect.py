"""Whether what a phase computes moves the student at all: the gradients with which its players step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from torch import Tensor, nn
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from kdharness.engine.rates import Rate
from kdharness.errors import CellError


class Effect:
    """Of the steps of one epoch. What it sees stays on the device until it is asked.

    students: the student's parameters; all others are the method's.
    """

    def __init__(self, students: Iterable[nn.Parameter]) -> None:
        self._students = {id(p) for p in students}
        self.begin_epoch(watch=False)

    def begin_epoch(self, watch: bool) -> None:
        """watch: whether its steps are noted, and say something."""
        self.watching = watch
        self._trains_student = self._reaches_student = False
        self._largest: dict[bool, Tensor] = {}

    def follow(self, optimizer: Optimizer, rate: Rate) -> None:
        """Every step of the optimiser is noted, whoever makes it. It is part of that step, not of the method's.

        rate: what it steps with.
        """
        optimizer.register_step_pre_hook(partial(self._before_step, rate))

    def _before_step(self, rate: Rate, optimizer: Optimizer, *of_the_call: object) -> None:
        groups = optimizer.param_groups if self.watching else ()
        self.note([p for group in groups if rate.of(group) for p in group["params"]])

    def note(self, parameters: Sequence[nn.Parameter]) -> None:
        """A step of these parameters, at a rate above zero, by what is in `.grad`."""
        for is_students in (True, False):
            own = [p for p in parameters if (id(p) in self._students) is is_students]
            gradients = [_values(p.grad) for p in own if p.grad is not None]
            if is_students:
                self._trains_student = self._trains_student or bool(own)
                self._reaches_student = self._reaches_student or bool(gradients)
            if gradients:
                # The largest one, not the length: squares of small numbers are zero.
                found = get_total_norm(gradients, float("inf")).float()
                before = self._largest.get(is_students)
                self._largest[is_students] = found if before is None else before + found

    def check(self, means: Mapping[str, float], epoch: int, alone: bool) -> None:
        """CellError when the student was to be trained, and not one of its parameters got a gradient. Waits for the
        device.

        means: the terms' means of the epoch. alone: whether the student is all that is deployed, and this all that is
        done to it; otherwise the method's own parts may train while no loss depends on the student.
        """
        moved = {is_students: bool(largest) for is_students, largest in self._largest.items()}
        others_train = not alone and not self._reaches_student and moved.get(False, False)
        if not self._trains_student or moved.get(True, False) or others_train:
            return
        terms = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        what = f"in epoch {epoch} every gradient of every parameter of the student was exactly zero"
        said = f" (the means of the loss terms: {terms})" if terms else ""
        raise CellError("MethodError", f"{what}{said}: nothing is trained; are all weights of its terms zero?")


def _values(gradient: Tensor) -> Tensor:
    """All of a gradient that need not be zero."""
    return (gradient.coalesce().values() if gradient.is_sparse else gradient).detach()
