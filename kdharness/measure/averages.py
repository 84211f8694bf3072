"""Averaged weights: a cell's network as it would be with the exponential moving average of its weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# Before the name of an output with averaged weights.
TWIN = "ema_"


class Averages:
    """Averages of the weights of some modules, and copies of their buffers; at first the weights themselves.

        average <- decay average + (1 - decay) weight

    decay: by step. are_main: whether what is evaluated with them is the main output. others: by id, tensors of somebody
    else's (teachers) that the modules hold too.
    """

    def __init__(
        self, modules: Sequence[nn.Module], decay: float, are_main: bool, others: Collection[int] = ()
    ) -> None:
        self.decay = decay
        self.are_main = are_main
        parameters = [p for module in modules for p in module.parameters()]
        averaged = {id(p): p for p in parameters if p.is_floating_point() and id(p) not in others}
        buffers = [b for module in modules for b in module.buffers()]
        copied = {id(t): t for t in (*parameters, *buffers) if id(t) not in others and id(t) not in averaged}
        self._averaged: list[Tensor] = list(averaged.values())
        self._copied: list[Tensor] = list(copied.values())
        self._averages = [p.detach().clone() for p in self._averaged]
        self._copies = [b.detach().clone() for b in self._copied]

    def update(self) -> None:
        """Called after each step of training."""
        with torch.no_grad():
            # a + (1 - decay) (w - a): a weight that rests is its own average, bit for bit.
            torch._foreach_lerp_(self._averages, [p.detach() for p in self._averaged], 1 - self.decay)
            for copy, tensor in zip(self._copies, self._copied, strict=True):
                copy.copy_(tensor)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The modules have the averages for the duration. Their own tensors are put aside and put back."""
        own = [*self._averaged, *self._copied]
        held = [tensor.data for tensor in own]
        try:
            for tensor, average in zip(own, (*self._averages, *self._copies), strict=True):
                tensor.data = average
            yield
        finally:
            for tensor, data in zip(own, held, strict=True):
                tensor.data = data

    def both(self, outputs: Mapping[str, Tensor], averaged: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs by name and their twins, the main ones first. ValueError for an output that is named as a twin is."""
        twins = {f"{TWIN}{name}": values for name, values in averaged.items()}
        if twins.keys() & outputs.keys():
            raise ValueError(f"the predictor's output '{min(twins.keys() & outputs.keys())}' has the name of a twin")
        return {**twins, **outputs} if self.are_main else {**outputs, **twins}

    def tensors(self) -> list[Tensor]:
        """What it holds."""
        return [*self._averages, *self._copies]

    def state_dict(self) -> dict[str, Any]:
        return {"averages": self._averages, "copies": self._copies}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """state: of the same modules."""
        for own, saved in zip(self.tensors(), (*state["averages"], *state["copies"]), strict=True):
            own.copy_(saved)
