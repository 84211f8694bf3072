"""The last line of an optimiser's step."""

from __future__ import annotations

from torch import Tensor


def descend(parameter: Tensor, direction: Tensor, rate: float | Tensor) -> None:
    """parameter <- parameter - rate * direction, in place.

    rate: a number, or a 0-d tensor on the device. Nobody looks at the tensor: `alpha` would have to be a number.
    """
    if isinstance(rate, Tensor):
        parameter.addcmul_(direction, rate, value=-1)
    else:
        parameter.add_(direction, alpha=-rate)
