"""A benchmark's claim with all that follows from what is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from kdharness.api.specs import MetricSpec
from kdharness.protocol.claim import EQUAL_POINTS, Claim

# Columns and numbers of cells that are no metric of a plugin and of which less is better.
COSTS = (
    "train_seconds", "shared_seconds", "alone_seconds", "chain_seconds", "peak_memory_bytes", "student_parameters",
    "student_macs", "parameters", "macs", "latency_seconds",
)  # fmt: skip
ACCURACIES = ("top1_last10", "top1_test_oracle", "val_top1", "teacher_top1")


class Direction(NamedTuple):
    """Whether less of a number is better, and whether it is in percent, so that differences are points."""

    smaller: bool
    points: bool


def resolve_claim(claim: Claim, sides: Mapping[str, str], metrics: Sequence[MetricSpec]) -> Claim:
    """With `smaller` and `equal_within` stated, and methods called as tables call them (sides: by the claim's text)."""
    names = {"better": sides[claim.better], "than": sides[claim.than]}
    return claim.model_copy(update={**names, **_judged_by(claim, metrics)})


def _judged_by(claim: Claim, metrics: Sequence[MetricSpec]) -> dict[str, bool | float]:
    """Which way is better, and what counts as no difference."""
    direction = direction_of(claim.metric, metrics)
    band = EQUAL_POINTS if direction.points and claim.at_least == 0 else 0.0
    return {
        "smaller": direction.smaller if claim.smaller is None else claim.smaller,
        "equal_within": band if claim.equal_within is None else claim.equal_within,
    }


def direction_of(number: str, metrics: Sequence[MetricSpec]) -> Direction:
    """As the metric that it is of declares; of what is no metric's, less is better of costs alone."""
    spec = _metric(number, metrics)
    if spec is None:
        return Direction(number in COSTS, number in ACCURACIES)
    return Direction(not spec.higher_is_better, spec.unit == "%")


def is_declared(number: str, metrics: Sequence[MetricSpec]) -> bool:
    """Whether it is known which way is better."""
    return number in (*COSTS, *ACCURACIES) or _metric(number, metrics) is not None


def _metric(number: str, metrics: Sequence[MetricSpec]) -> MetricSpec | None:
    """The metric that a number is of: the one with its name, or with the longest that it begins with."""
    if number in (*COSTS, *ACCURACIES):
        return None
    owners = [spec for spec in metrics if spec.owns(number)]
    return max(owners, key=lambda spec: len(spec.name), default=None)
