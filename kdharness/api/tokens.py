"""Tokens as maps, and a network's several outputs by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from kdharness.api.declarations import ModelSpec


def to_maps(tokens: Tensor, spec: ModelSpec, input_shape: tuple[int, int, int]) -> Tensor:
    """Tokens [N, L, D] as maps [N, D, rows, columns], without their prefix. ValueError where they have no places.

    input_shape: the images', (C, H, W).
    """
    prefix = spec.tokens.prefix if spec.tokens is not None else 0
    grid = _grid(tokens.shape[1] - prefix, spec, input_shape)
    maps: Tensor = tokens[:, prefix:].transpose(1, 2).unflatten(2, grid)
    return maps


def _grid(count: int, spec: ModelSpec, input_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Rows and columns of `count` tokens that have places."""
    grid = spec.tokens.grid if spec.tokens is not None else None
    if grid is None:
        raise ValueError(f"the stages of model '{spec.name}' are tokens without a grid")
    if grid == "image":
        _, height, width = input_shape
        rows = max(1, round(math.sqrt(count * height / width)))
        grid = rows, max(1, count // rows)
    if math.prod(grid) != count:
        raise ValueError(f"model '{spec.name}' has {count} tokens behind their prefix, no grid of {grid[0]}x{grid[1]}")
    return grid


def outputs_by_name(returned: Any, spec: ModelSpec) -> dict[str, Tensor]:
    """A network's outputs by name; a bare tensor is its logits.

    TypeError for what has no names, ValueError where the logits are not among them.
    """
    if isinstance(returned, Tensor):
        return {spec.logits: returned}
    if isinstance(returned, tuple) and hasattr(returned, "_asdict"):
        returned = returned._asdict()
    if not isinstance(returned, Mapping):
        kind = type(returned).__name__
        raise TypeError(f"model '{spec.name}' returns a {kind}, not logits or outputs by name")
    found = {str(name): value for name, value in returned.items() if isinstance(value, Tensor)}
    if spec.logits not in found:
        raise ValueError(f"model '{spec.name}' returns no '{spec.logits}' (it returns {', '.join(found) or 'nothing'})")
    return found
