"""You, Li, Reddi, Hseu, Kumar, Bhojanapalli, Song, Demmel, Keutzer, Hsieh, "Large Batch Optimization for Deep Learning:
Training BERT in 76 minutes", ICLR 2020, arXiv 1904.00962, algorithm 2.

    m <- b1 m + (1 - b1) g;   v <- b2 v + (1 - b2) g^2
    r = m_hat / (sqrt(v_hat) + eps),  m_hat = m / (1 - b1^t),  v_hat = v / (1 - b2^t)
    x <- x - lr phi(|x|) / |r + lambda x| (r + lambda x)

|.| is the norm of one parameter tensor, and phi the identity. Where one of the norms is 0 the ratio is 1, and so it is
for tensors that weight decay spares, as timm has it. timm also limits the norm of the whole gradient to 1 before each
step: `clip_norm` in the recipe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from kdharness.api import OptimizerSpec, Parameter, Positive, hookimpl

from ._descent import descend
from .adam import Decay


class Lamb(torch.optim.Optimizer):
    """Adam's direction, each tensor's step as long as the tensor itself, times the learning rate."""

    def __init__(self, params: Any, lr: float, weight_decay: float, betas: tuple[float, float], eps: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None if closure is None else torch.enable_grad()(closure)()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group)
        return loss

    def _move(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        """One tensor's step."""
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), device=parameter.device)
            state["first"], state["second"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        state["first"].lerp_(gradient, 1 - beta1)
        state["second"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        first = state["first"] / _share(beta1, state["step"])
        second = state["second"] / _share(beta2, state["step"])
        update = first / (second.sqrt() + group["eps"])
        if group["weight_decay"]:
            update = update.add(parameter, alpha=group["weight_decay"])
            update = update * _ratio(parameter.norm(), update.norm())
        descend(parameter, update, group["lr"])


def _share(beta: float, step: Tensor) -> Tensor:
    """1 - beta^t, in which rounding to float32 loses nothing."""
    return -torch.expm1(step * (math.log(beta) if beta else -math.inf))


def _ratio(of_weights: Tensor, of_update: Tensor) -> Tensor:
    """Their ratio; 1 where one of them is 0. No step waits for the device."""
    ratio = of_weights / of_update.clamp(min=torch.finfo(of_update.dtype).tiny)
    return torch.where((of_weights > 0) & (of_update > 0), ratio, torch.ones_like(ratio))


@hookimpl
def kdharness_optimizers() -> Iterable[OptimizerSpec]:
    yield OptimizerSpec(
        "lamb",
        Lamb,
        summary="Adam's direction, each tensor's step as long as the tensor itself, for large batches",
        parameters=(Parameter("betas", tuple[Decay, Decay], (0.9, 0.999)), Parameter("eps", Positive, 1e-6)),
        capturable=True,
        paper="You et al., Large Batch Optimization for Deep Learning: Training BERT in 76 Minutes, ICLR 2020",
        revision=1,
    )
