"""Steps on the meta device in a fraction of the time: what an operator gives is worked out once for each shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

# Makes results anew, given the tensors among the operands in their order.
Recipe = Callable[[list[Tensor]], Any]

PLAIN = (bool, int, float, str, torch.dtype, torch.device, torch.layout, torch.memory_format)


class RememberedShapes(TorchDispatchMode):
    """Results of tensors without numbers depend on shapes and plain values alone.

    Left to torch, each time: views, random draws from a generator, whatever has a tensor with numbers in it or raises.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[object, Recipe] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors: list[Tensor] = []
        described = None if _gives_views(func) else _described((args, *(kwargs or {}).items()), tensors)
        if described is None or not tensors:
            return func(*args, **(kwargs or {}))
        recipe = self.known.get((func, described))
        if recipe is not None:
            return recipe(tensors)
        result = func(*args, **(kwargs or {}))
        if (recipe := _recipe(result, tensors)) is not None:
            self.known[func, described] = recipe
        return result


def _described(operand: Any, tensors: list[Tensor]) -> Any:
    """What tells two operands apart, None for one of which nothing is remembered. Notes its tensors."""
    kind = type(operand)
    if isinstance(operand, Tensor):
        tensors.append(operand)
        plainly = operand.is_meta and kind in (Tensor, torch.nn.Parameter)
        return (operand.shape, operand.stride(), operand.dtype) if plainly else None
    if kind in (tuple, list) or isinstance(operand, torch.Size):
        parts = tuple(_described(each, tensors) for each in operand)
        return None if None in parts else parts
    # 1, 1.0 and True are equal, and give other types.
    return (kind, operand) if operand is None or isinstance(operand, PLAIN) else None


@cache
def _gives_views(func: Any) -> bool:
    return any(given.alias_info is not None and not given.alias_info.is_write for given in func._schema.returns)


def _recipe(result: Any, tensors: list[Tensor]) -> Recipe | None:
    """None where a part of the result has numbers, or is neither a tensor nor nothing."""
    if isinstance(result, (tuple, list)):
        makers = [_recipe(each, tensors) for each in result]
        if None in makers:
            return None
        kind = type(result)
        return lambda given: kind(make(given) for make in makers)  # type: ignore[misc]
    if result is None:
        return lambda given: None
    if not isinstance(result, Tensor) or not result.is_meta:
        return None
    for place, tensor in enumerate(tensors):
        if tensor is result:  # changed in place
            return lambda given: given[place]
    shape, stride, dtype = result.shape, result.stride(), result.dtype
    return lambda given: torch.empty_strided(shape, stride, dtype=dtype, device="meta")
