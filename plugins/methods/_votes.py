"""The vote of PATE's teachers, and what an answer costs (see pate.py).

One image is in one teacher's part. Another image there can move that teacher's vote: two counts change by one.

    gnmax       RDP(alpha) = alpha / sigma^2 per answer: a Gaussian release of sensitivity sqrt(2), which is exactly
                sqrt(2) / sigma Gaussian differentially private
    threshold   the largest count changes by one: RDP(alpha) = alpha / (2 sigma_1^2), or 1 / sigma_1
    lnmax       2 / b differentially private, hence RDP(alpha) = 2 alpha / b^2

Papernot, Song, Mironov, Raghunathan, Talwar, Erlingsson, ICLR 2018, proposition 8 and theorem 6; Papernot, Abadi,
Erlingsson, Goodfellow, Talwar, ICLR 2017, theorem 2. Their data-dependent bounds, which are smaller where teachers
agree, are left out: the epsilon that they give is private itself, and is published through a release of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ._budget import least_noise, sigma_for
from ._privacy import gaussian_epsilon, moments_epsilon, noise_like

Aggregation = Literal["gnmax", "lnmax"]
UNANSWERED = -1


def count_votes(logits: Sequence[Tensor]) -> Tensor:
    """How many teachers say each class: float64 [n, classes]. logits: of each teacher [n, classes]."""
    return torch.stack([F.one_hot(each.argmax(1), each.shape[1]) for each in logits]).sum(0).double()


@dataclass(frozen=True)
class NoisyVote:
    """The mechanism.

    aggregation: "gnmax" adds Gaussian noise to counts, "lnmax" Laplace noise.
    sigma: its deviation; with lnmax its scale b.
    threshold: how many votes the first class needs, with noise, for an answer; None: every image is answered.
    threshold_sigma: the deviation of that noise.
    """

    aggregation: Aggregation
    sigma: float
    threshold: float | None = None
    threshold_sigma: float = 0.0

    def answers(self, votes: Tensor, generator: torch.Generator) -> Tensor:
        """The class with most votes, int64 [n], or UNANSWERED. votes: [n, classes]. generator: on that device."""
        noise = noise_like if self.aggregation == "gnmax" else laplace_like
        chosen = (votes + self.sigma * noise(votes, generator)).argmax(1)
        if self.threshold is None:
            return chosen
        most = votes.amax(1)
        enough = most + self.threshold_sigma * noise_like(most, generator) >= self.threshold
        return torch.where(enough, chosen, UNANSWERED)

    @property
    def is_private(self) -> bool:
        return self.sigma > 0 and (self.threshold is None or self.threshold_sigma > 0)

    @property
    def multiplier(self) -> float:
        """Of one Gaussian release that costs as much RDP as one question. One without an answer counts as answered."""
        if self.aggregation == "lnmax":
            return self.sigma / 2
        per_question = 2 / self.sigma**2
        if self.threshold is not None:
            per_question += 1 / self.threshold_sigma**2
        return 1 / math.sqrt(per_question)

    def budget(self, questions: int, delta: float) -> float:
        """epsilon at delta of so many questions: exact for Gaussian noise."""
        if not questions:
            return 0.0
        if self.aggregation == "lnmax":
            return min(2 * questions / self.sigma, moments_epsilon(self.multiplier, questions, delta))
        return gaussian_epsilon(self.multiplier, questions, delta)

    def within(self, epsilon: float, questions: int, delta: float) -> NoisyVote:
        """The same with the least noise that keeps a budget, all its noises in the same proportion."""
        if self.aggregation == "gnmax":
            return self._times(sigma_for(epsilon, questions, delta) / self.multiplier)
        needed = least_noise(lambda b: self._times(b).budget(questions, delta), epsilon, questions / epsilon)
        return self._times(needed)

    def _times(self, factor: float) -> NoisyVote:
        return NoisyVote(self.aggregation, factor * self.sigma, self.threshold, factor * self.threshold_sigma)


def laplace_like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Laplace draws of scale 1, of a tensor's shape, dtype and device: differences of two exponential ones."""
    first, second = (torch.empty_like(tensor).exponential_(generator=generator) for _ in range(2))
    return first - second
