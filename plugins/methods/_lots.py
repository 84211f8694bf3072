"""Lots drawn as Poisson's: each image is in a lot with the same probability, whatever else is; and what they cost.

Abadi, Chu, Goodfellow, McMahan, Mironov, Talwar, Zhang, "Deep Learning with Differential Privacy", CCS 2016, state
their budget for lots of this kind. Batches that go through a shuffled set are others, and would cost more.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ._budget import least_noise
from ._privacy import gaussian_epsilon

if TYPE_CHECKING:
    from opacus.accountants import IAccountant

# Above it the exact composition is slow and no protection is left: then Renyi's bound alone, which is a little larger.
TOLD_EXACTLY = 50.0


@dataclass(frozen=True)
class Lots:
    """images: in the set. size: of a lot, on average."""

    images: int
    size: int

    @property
    def rate(self) -> float:
        """The probability of an image to be in a lot, q."""
        return min(1.0, self.size / self.images)

    @property
    def per_epoch(self) -> int:
        """So many that an image is drawn about once."""
        return max(1, round(self.images / self.size))

    @property
    def batch_size(self) -> int:
        """Large enough for nearly all lots; a larger lot takes several batches."""
        return max(2, min(self.images, math.ceil(self.size + 3 * math.sqrt(self.size))))

    def drawn(self, generator: torch.Generator) -> Iterator[Tensor]:
        """The lots of an epoch, each ascending positions; some may be empty. generator: on the CPU."""
        for _ in range(self.per_epoch):
            yield (torch.rand(self.images, generator=generator, dtype=torch.float64) < self.rate).nonzero().flatten()


@cache
def lots_epsilon(sigma: float, rate: float, lots: int, delta: float) -> float:
    """epsilon at delta of so many noisy sums over lots. sigma: the noise's deviation over the clip norm."""
    from opacus.accountants import PRVAccountant

    if rate == 1 or not lots:
        return gaussian_epsilon(sigma, lots, delta)
    bound = renyi_epsilon(sigma, rate, lots, delta)
    return bound if bound > TOLD_EXACTLY else min(bound, _stated(PRVAccountant(), sigma, rate, lots, delta))


def renyi_epsilon(sigma: float, rate: float, lots: int, delta: float) -> float:
    """The bound by Renyi divergences: the moments accountant of the paper, in today's form."""
    from opacus.accountants import RDPAccountant

    return _stated(RDPAccountant(), sigma, rate, lots, delta)


def _stated(accountant: IAccountant, sigma: float, rate: float, lots: int, delta: float) -> float:
    accountant.history = [(sigma, rate, lots)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an order beyond those tried may be better: the bound holds
        return float(accountant.get_epsilon(delta))


@cache
def lots_sigma(epsilon: float, rate: float, lots: int, delta: float) -> float:
    """The smallest sigma, to one part in a thousand, with which so many lots spend no more than epsilon."""
    start = max(0.3, rate * math.sqrt(lots) / epsilon)
    return least_noise(lambda sigma: lots_epsilon(sigma, rate, lots, delta), epsilon, start, precision=1e-3)
