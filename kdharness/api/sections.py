"""Which of a network's parameters are first used up to which stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kdharness.api.functional import eval_mode
from kdharness.api.preprocessing import Shape


def sections_of(network: nn.Module, stages: Sequence[nn.Module], input_shape: Shape) -> list[list[nn.Parameter]]:
    """The parameters by the stage up to whose output a forward pass first uses them, those beyond the deepest last.

    Found by one pass over a blank image in eval mode.
    """
    found: list[list[nn.Parameter]] = [[] for _ in range(len(stages) + 1)]
    seen: set[int] = set()
    reached = 0

    def enter(module: nn.Module, args: Any) -> None:
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                found[reached].append(parameter)

    def leaving(stage: int) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Tensor) -> None:
            nonlocal reached
            reached = max(reached, stage + 1)

        return hook

    handles = [m.register_forward_pre_hook(enter) for m in network.modules()]
    handles += [stage.register_forward_hook(leaving(k)) for k, stage in enumerate(stages)]
    try:
        first = next(network.parameters())
        with torch.no_grad(), eval_mode(network):
            network(first.new_zeros((1, *input_shape)))
    finally:
        for handle in handles:
            handle.remove()
    return found
