"""The optimiser of Zhao, Cui, Song, Qiu, Liang, "DOT: A Distillation-Oriented Trainer", ICCV 2023, arXiv 2307.08436.

    v_task    <- (mu - delta) v_task + g_task + lambda theta
    v_distill <- (mu + delta) v_distill + g_distill
    theta     <- theta - lr (v_task + v_distill)

mu: the recipe's momentum; lambda: its weight decay. The larger momentum lets the distillation loss decide where
training goes, while the task loss still acts. Following the authors' code (mdistiller), a parameter that only one of
the two losses reaches in a step goes on with mu, and is decayed by whichever of the two it is; a momentum begins with
the first gradient. A step without gradients by name is SGD with momentum mu.

The code keeps the momentum of a loss that does not reach a parameter, and moves the parameter by the other alone: so
does this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from kdharness.api import OptimizerSpec, Parameter, hookimpl

from ._descent import descend

PAPER = "Zhao, Cui, Song, Qiu, Liang, DOT: A Distillation-Oriented Trainer, ICCV 2023"


class DistillationOriented(torch.optim.Optimizer):
    """A momentum for the gradient of the task, another for that of distillation."""

    gradients = ("task", "distill")

    def __init__(self, params: Any, lr: float, momentum: float, weight_decay: float, delta: float) -> None:
        if not delta <= momentum < 1 - delta:
            raise ValueError(f"delta {delta} takes momentum {momentum} out of [0, 1)")
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "delta": delta})

    @torch.no_grad()
    def step(  # type: ignore[override]
        self, closure: Callable[[], float] | None = None, gradients: Mapping[str, Mapping[Tensor, Tensor]] | None = None
    ) -> float | None:
        """gradients: by name and parameter; None: what is in `.grad`, as that of the task alone."""
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for parameter in group["params"]:
                if gradients is None:
                    task, distill = parameter.grad, None
                else:
                    task, distill = (gradients.get(name, {}).get(parameter) for name in self.gradients)
                self._move(parameter, task, distill, group)
        return loss

    def _move(self, parameter: Tensor, task: Tensor | None, distill: Tensor | None, group: dict[str, Any]) -> None:
        """One parameter's step."""
        delta = 0.0 if task is None or distill is None else group["delta"]
        decayed = "distill" if task is None else "task"
        for name, gradient, momentum in (
            ("task", task, group["momentum"] - delta),
            ("distill", distill, group["momentum"] + delta),
        ):
            if gradient is None:
                continue
            if name == decayed and group["weight_decay"]:
                gradient = gradient.add(parameter, alpha=group["weight_decay"])
            state = self.state[parameter]
            if name in state:
                state[name].mul_(momentum).add_(gradient)
            else:
                state[name] = gradient.detach().clone()
            descend(parameter, state[name], group["lr"])


@hookimpl
def kdharness_optimizers() -> Iterable[OptimizerSpec]:
    yield OptimizerSpec(
        "dot",
        DistillationOriented,
        summary="a momentum for the task's gradient, and a larger one for that of distillation",
        reads=("weight_decay", "momentum"),
        parameters=(Parameter("delta", Annotated[float, Field(ge=0, lt=0.5)], 0.075),),
        capturable=True,
        paper=PAPER,
        revision=1,
    )
