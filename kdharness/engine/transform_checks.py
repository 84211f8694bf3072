"""What a method's transform of a batch must give: pixels and labels of the kinds that every network and loss reads."""

from __future__ import annotations

import torch
from torch import Tensor

from kdharness.api.step import Batch
from kdharness.errors import CellError

# Pixels are in [0, 1]. Noise and brightness may leave it; this far out they are on another scale.
FURTHEST = 0.5

# By how much the shares of a sample's labels may miss one in sum.
ROUNDING = 1e-3


def check_forms(made: Batch, given: Batch) -> None:
    """CellError for pixels or labels of another type or shape. Waits for nothing."""
    for name, pixels in _pixels(made):
        if not isinstance(pixels, Tensor) or pixels.dtype != given.images.dtype:
            raise _fault(f"{name} must be {_kind(given.images)}, got {_kind(pixels)}")
        if pixels.ndim != 4 or pixels.shape[1] != given.images.shape[1]:
            wanted = f"[N, {given.images.shape[1]}, H, W]"
            raise _fault(f"{name} must be of shape {wanted}, got {list(pixels.shape)}")
    if made.targets.dtype != torch.int64 or made.targets.ndim != 1:
        raise _fault(f"targets must be int64 [N], got {_kind(made.targets)} {list(made.targets.shape)}")
    soft = made.soft_targets
    if soft is not None and (soft.ndim != 2 or not soft.is_floating_point()):
        raise _fault(f"soft_targets must be floating point [N, classes], got {_kind(soft)} {list(soft.shape)}")


def check_values(made: Batch, num_classes: int) -> None:
    """CellError for numbers that mean something else. Waits for the device."""
    for name, pixels in _pixels(made):
        low, high = (float(value) for value in pixels.aminmax())
        if not -FURTHEST <= low <= high <= 1 + FURTHEST:
            raise _fault(f"{name} must be pixels in [0, 1], got values from {low:.3g} to {high:.3g}")
    low, high = (int(value) for value in made.targets.aminmax())
    if not 0 <= low <= high < num_classes:
        raise _fault(f"targets must be classes from 0 to {num_classes - 1}, got {low if low < 0 else high}")
    if made.soft_targets is not None:
        _check_shares(made.soft_targets, num_classes)


def _check_shares(soft: Tensor, num_classes: int) -> None:
    if soft.shape[1] != num_classes:
        raise _fault(f"soft_targets must have a column for each of {num_classes} classes, got {soft.shape[1]}")
    sums = soft.double().sum(1)
    worst = float(sums[(sums - 1).abs().argmax()])
    if not abs(worst - 1) <= ROUNDING:
        raise _fault(f"rows of soft_targets must sum to 1, one sums to {worst:.4g}")
    if not float(soft.min()) >= 0:
        raise _fault(f"soft_targets must not be negative, got {float(soft.min()):.4g}")


def _pixels(made: Batch) -> list[tuple[str, Tensor]]:
    found = [(f"views[{number}]", view) for number, view in enumerate(made.views)]
    found = [("images" if view is made.images else name, view) for name, view in found]
    return found if made.partners is None else [*found, ("partners", made.partners)]


def _kind(value: object) -> str:
    return str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _fault(what: str) -> CellError:
    return CellError("MethodError", f"transform(): {what}")
