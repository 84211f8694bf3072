"""A benchmark's claim with all that follows from what is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kdharness.api.specs import MetricSpec
from kdharness.protocol.claim import EQUAL_POINTS, Claim

# Columns and numbers of cells that are no metric of a plugin and of which less is better.
COSTS = (
    "train_seconds", "shared_seconds", "alone_seconds", "chain_seconds", "peak_memory_bytes", "student_parameters",
    "student_macs", "parameters", "macs", "latency_seconds",
)  # fmt: skip
ACCURACIES = ("top1_last10", "top1_test_oracle", "val_top1", "teacher_top1")


def resolve_claim(claim: Claim, sides: Mapping[str, str], metrics: Sequence[MetricSpec]) -> Claim:
    """With `smaller` and `equal_within` stated, and methods called as tables call them (sides: by the claim's text)."""
    names = {"better": sides[claim.better], "than": sides[claim.than]}
    return claim.model_copy(update={**names, **_judged_by(claim, metrics)})


def _judged_by(claim: Claim, metrics: Sequence[MetricSpec]) -> dict[str, bool | float]:
    """Which way is better, and what counts as no difference."""
    spec = _metric(claim.metric, metrics)
    higher = spec.higher_is_better if spec else claim.metric not in COSTS
    points = spec.unit == "%" if spec else claim.metric in ACCURACIES
    band = EQUAL_POINTS if points and claim.at_least == 0 else 0.0
    return {
        "smaller": not higher if claim.smaller is None else claim.smaller,
        "equal_within": band if claim.equal_within is None else claim.equal_within,
    }


def _metric(number: str, metrics: Sequence[MetricSpec]) -> MetricSpec | None:
    """The metric that a number is of: the one with its name, or with the longest that it begins with."""
    if number in (*COSTS, *ACCURACIES):
        return None
    owners = [spec for spec in metrics if spec.owns(number)]
    return max(owners, key=lambda spec: len(spec.name), default=None)
