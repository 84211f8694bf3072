"""How well an attacker tells members from others: rates of an attack's scores, over networks and images.

Two attacks give scores; a larger one means "a member".

The global threshold takes the confidence of an image's label as it is (Yeom, Giacomelli, Fredrikson, Jha, CSF 2018).

LiRA, offline (Carlini, Chien, Nasr, Song, Terzis, Tramer, "Membership Inference Attacks From First Principles", S&P
2022, section V and equation 4): the networks of other draws that never met the image are its shadows. With mean m of
their n confidences of it and variance s^2, the score of confidence c is

    z = (c - m) / (s sqrt(1 + 1 / n)),

which orders images as the paper's probability Phi((c - m) / s) does, but for the factor of n: with few shadows m is
itself unsure. Below 32 shadows s^2 is one for all images, the pooled variance within images (section VI.C).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kdharness.protocol.seeds import stream
from kdharness.stats.summary import CONFIDENCE

Values = NDArray[np.float64]
Flags = NDArray[np.bool_]

OWN_VARIANCE = 32  # shadows of an image, from which on its variance is its own
RESAMPLES = 400
# Percentiles of resampled networks are far too short where there are fewer.
LEAST_RESAMPLED = 6
LOW_RATES = (0.01, 0.001)


def lira_scores(confidence: Values, members: Flags) -> Values:
    """[draws, images] of the same; NaN where no other draw left the image out."""
    found = np.full(confidence.shape, np.nan)
    for draw in range(len(confidence)):
        outside = ~members
        outside[draw] = False
        count = outside.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(outside, confidence, 0.0).sum(axis=0) / count
            squares = np.where(outside, (confidence - mean) ** 2, 0.0).sum(axis=0)
            variance = np.where(count >= OWN_VARIANCE, squares / (count - 1), _pooled(squares, count))
            spread = np.sqrt(np.where(variance > 0, variance, 1.0) * (1 + 1 / count))
            found[draw] = (confidence[draw] - mean) / spread
    return found


def _pooled(squares: Values, count: NDArray[np.int64]) -> float:
    """The variance within images. 1 where no image has two shadows: one scale for all orders nothing anew."""
    degrees = int(np.maximum(count - 1, 0).sum())
    return float(np.nansum(squares)) / degrees if degrees else 1.0


class Interval(NamedTuple):
    """A number and its 95 % interval; NaN where there is none."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan


NONE = Interval()


@dataclass(frozen=True)
class Rates:
    """What an attack comes to.

    members, others: how many scores of each.
    auc: the probability that a member's score is above another's, a tie counting half.
    low_rates: the true-positive rate at each false-positive rate of LOW_RATES; NaN where there are too few non-members
        for one of them to be so small a share.
    advantage: true less false-positive rate, at the threshold that is best on one half of the images, on the other.
    """

    members: int = 0
    others: int = 0
    auc: Interval = NONE
    low_rates: tuple[Interval, ...] = (NONE,) * len(LOW_RATES)
    advantage: Interval = NONE


def rates_of(scores: Values, members: Flags) -> Rates:
    """Of [draws, images] scores, NaN for none. Intervals are percentiles of a bootstrap that draws networks and, apart
    from these, images with replacement (Owen, "The pigeonhole bootstrap", 2007), for both were sampled; of a single
    draw they are over images alone, and of two to five draws there are none. Scores are not made anew.
    """
    known = ~np.isnan(scores)
    drawn, image = np.nonzero(known)
    curve = _Curve(scores[known], members[known], image)
    count, others = int(members[known].sum()), int((~members[known]).sum())
    if not count or not others:
        return Rates(count, others)
    low = [rate for rate in LOW_RATES if rate * others >= 1]
    auc, advantage, *found = _intervals(partial(curve.measures, low), (drawn, image), scores.shape)
    return Rates(count, others, auc, (*found, *[NONE] * (len(LOW_RATES) - len(low))), advantage)


def _intervals(
    measures: Callable[[Values], list[float]], places: tuple[NDArray[np.int64], ...], shape: tuple[int, ...]
) -> list[Interval]:
    """measures: numbers of weighted scores. places: the draw and the image of each score."""
    drawn, image = places
    values = measures(np.ones(len(drawn)))
    if 1 < shape[0] < LEAST_RESAMPLED:
        return [Interval(value) for value in values]
    generator = np.random.default_rng(stream("audit", *shape))
    resampled = []
    for _ in range(RESAMPLES):
        of_draws, of_images = (np.bincount(generator.integers(n, size=n), minlength=n) for n in shape)
        weights = of_images[image] * (of_draws[drawn] if shape[0] > 1 else 1)
        resampled.append(measures(weights.astype(np.float64)))
    quantiles = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    ends = np.nanquantile(np.array(resampled), quantiles, axis=0)
    return [Interval(value, float(low), float(high)) for value, low, high in zip(values, *ends, strict=True)]


class _Curve:
    """Scores from the largest down, and the rates at each threshold between two different ones."""

    def __init__(self, scores: Values, members: Flags, image: NDArray[np.int64]) -> None:
        order = np.argsort(-scores, kind="stable")
        self.order = order
        self.members = members[order]
        self.half = image[order] % 2
        self.ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))

    def counts(self, weights: Values) -> tuple[Values, Values]:
        """Weights of members and of others above each threshold; the first is above all."""
        found = []
        for chosen in (self.members, ~self.members):
            found.append(np.concatenate([[0.0], np.cumsum(weights[self.order] * chosen)[self.ends]]))
        return found[0], found[1]

    def rates(self, weights: Values) -> tuple[Values, Values]:
        right, wrong = self.counts(weights)
        with np.errstate(invalid="ignore"):
            return right / right[-1], wrong / wrong[-1]

    def measures(self, low_rates: Sequence[float], weights: Values) -> list[float]:
        """The area, the advantage, and the true-positive rate at each of these false-positive rates."""
        right, wrong = self.rates(weights)
        if math.isnan(right[-1]) or math.isnan(wrong[-1]):
            return [math.nan] * (2 + len(low_rates))
        at = [float(right[np.searchsorted(wrong, rate + 1e-12, side="right") - 1]) for rate in low_rates]
        area = (np.diff(wrong) * (right[1:] + right[:-1]) / 2).sum()  # numpy's own has another name before 2.0
        return [float(area), self.advantage(weights), *at]

    def advantage(self, weights: Values) -> float:
        by_rank = np.empty_like(weights)
        hits, all_of = np.zeros(2), np.zeros(2)
        for half in (0, 1):
            by_rank[self.order] = weights[self.order] * (self.half == half)
            fitted = np.subtract(*self.rates(by_rank))
            judged = self.counts(weights - by_rank)
            best = int(np.argmax(fitted)) if not np.isnan(fitted).any() else 0
            hits += [each[best] for each in judged]
            all_of += [each[-1] for each in judged]
        return float(hits[0] / all_of[0] - hits[1] / all_of[1]) if all_of.all() else math.nan
