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
    """An ensemble's logits: the logarithm of its members' mean class probabilities. logits: [N, classes] each."""
    return torch.stack([one.log_softmax(1) for one in logits]).logsumexp(0) - math.log(len(logits))


def matched_stages(student: Sequence[T], teacher: Sequence[T]) -> list[tuple[T, T]]:
    """Pairs of stages of two networks, shallow to deep, matched from the deep end when one has more stages."""
    count = min(len(student), len(teacher))
    return list(zip(student[len(student) - count :], teacher[len(teacher) - count :], strict=True))


@contextmanager
def eval_mode(module: nn.Module) -> Iterator[None]:
    """`module` in eval mode for the duration; each of its parts gets back the mode it had."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    wanted = {p: p.requires_grad for p in module.parameters()}
    try:
        with eval_mode(module.requires_grad_(False)):
            yield
    finally:
        for parameter, flag in wanted.items():
            parameter.requires_grad_(flag)


def run_frozen(module: nn.Module, call: Callable[[], T]) -> T:
    """`call()`, with `module` in eval mode and its parameters without gradient.

    Gradients still flow through the module to its inputs.
    """
    with _frozen(module):
        return call()
