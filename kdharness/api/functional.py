"""Small tensor helpers that several methods need."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

T = TypeVar("T")


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, scale: Tensor | float) -> Tensor:
        ctx.scale = scale
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.scale * gradients[0], None


def reverse_gradient(tensor: Tensor, scale: Tensor | float = 1.0) -> Tensor:
    """The tensor itself, whose gradient is multiplied by -scale on the way back (Ganin and Lempitsky 2015)."""
    result: Tensor = _ReverseGradient.apply(tensor, scale)
    return result


def log_mean_probability(logits: Sequence[Tensor]) -> Tensor:
    """Logits of an ensemble: the logarithm of the mean of its members' class probabilities. logits: [N, classes] each."""
    return torch.stack([one.log_softmax(1) for one in logits]).logsumexp(0) - math.log(len(logits))


def matched_stages(student: Sequence[T], teacher: Sequence[T]) -> list[tuple[T, T]]:
    """Pairs of stages of two networks, shallow to deep, matched from the deep end when one has more stages."""
    count = min(len(student), len(teacher))
    return list(zip(student[len(student) - count :], teacher[len(teacher) - count :], strict=True))


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    training = {name: part.training for name, part in module.named_modules()}
    wanted = {name: p.requires_grad for name, p in module.named_parameters()}
    module.eval().requires_grad_(False)
    try:
        yield
    finally:
        for name, part in module.named_modules():
            part.training = training[name]
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(wanted[name])


def run_frozen(module: nn.Module, call: Callable[[], T]) -> T:
    """`call()` with `module` in eval mode and its parameters without gradient; gradients still flow through it to its
    inputs.
    """
    with _frozen(module):
        return call()
