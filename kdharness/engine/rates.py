"""An optimiser and the learning rate that it steps with: a number, or a tensor that a recorded step looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from kdharness.engine.optimizers import restore


class Rate:
    """The learning rate of the present step.

    tensor: 0-d float32 on the device, the same one for as long as the optimiser lives.
    number: the same on the host.
    """

    def __init__(self, device: torch.device) -> None:
        self.tensor = torch.zeros((), device=device)
        self.number = 0.0

    def set(self, number: float) -> None:
        self.number = number
        # In place: whoever replays a step that it recorded looks at this very tensor.
        self.tensor.fill_(number)

    def of(self, group: Mapping[str, Any]) -> float:
        """At which a group steps: a method may have set another number. Nobody looks at a tensor for it."""
        own = group["lr"]
        return self.number if isinstance(own, Tensor) else own


@dataclass(frozen=True, eq=False)
class Paced:
    """A player's optimiser, with its rate.

    as_tensor: whether it steps with the tensor, which a recorded step follows; otherwise with the number.
    """

    optimizer: Optimizer
    rate: Rate
    as_tensor: bool

    def set_rate(self, number: float) -> None:
        """For the step that begins."""
        self.rate.set(number)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate.tensor if self.as_tensor else number

    def state_dict(self) -> dict[str, Any]:
        """The optimiser's, which says rates as numbers however it steps."""
        state = self.optimizer.state_dict()
        if not self.as_tensor:
            return state
        return {**state, "param_groups": [{**group, "lr": self.rate.of(group)} for group in state["param_groups"]]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Rates are set anew by the step that comes next."""
        restore(self.optimizer, state)
