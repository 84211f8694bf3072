"""The noise that a privacy budget asks for, when it is known beforehand how much will be released (see _privacy.py)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

from ._privacy import gaussian_epsilon


def batches_of(samples: int, batch_size: int) -> int:
    """How many batches the harness makes of them: a last one of a single sample joins the one before."""
    whole, rest = divmod(samples, batch_size)
    return whole + (rest > 1 or not whole)


@cache
def sigma_for(epsilon: float, releases: int, delta: float) -> float:
    """The smallest noise multiplier, to one part in a million, with which `releases` spend no more than epsilon."""
    start = math.sqrt(releases) / epsilon
    return least_noise(lambda sigma: gaussian_epsilon(sigma, releases, delta), epsilon, start)


def least_noise(spent: Callable[[float], float], epsilon: float, start: float, precision: float = 1e-6) -> float:
    """The smallest noise, to one part in 1 / precision, with which no more than epsilon is spent.

    spent: the epsilon of a noise, which falls with it. start: where the search begins.
    """
    low = high = start
    while spent(high) > epsilon:
        high *= 2
    while spent(low) <= epsilon:
        low /= 2
    while high / low > 1 + precision:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if spent(middle) <= epsilon else (middle, high)
    return high
