"""The noise that a privacy budget asks for, when it is known beforehand how much will be released (see _privacy.py)."""

from __future__ import annotations

import math
from functools import cache

from ._privacy import gaussian_epsilon


def batches_of(samples: int, batch_size: int) -> int:
    """How many batches the harness makes of them: a last one of a single sample joins the one before."""
    whole, rest = divmod(samples, batch_size)
    return whole + (rest > 1 or not whole)


@cache
def sigma_for(epsilon: float, releases: int, delta: float) -> float:
    """The smallest noise multiplier, to one part in a million, with which `releases` spend no more than epsilon."""
    low = high = math.sqrt(releases) / epsilon
    while gaussian_epsilon(high, releases, delta) > epsilon:
        high *= 2
    while gaussian_epsilon(low, releases, delta) <= epsilon:
        low /= 2
    while high / low > 1 + 1e-6:
        middle = math.sqrt(low * high)
        enough = gaussian_epsilon(middle, releases, delta) <= epsilon
        low, high = (low, middle) if enough else (middle, high)
    return high
