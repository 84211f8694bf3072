"""Claims: what papers say about their methods, as comparisons that a benchmark puts to the test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kdharness.api.specs import MetricSpec
from kdharness.registry.manager import Registry

# Columns and numbers of cells that are no metric of a plugin and of which less is better.
COSTS = (
    "train_seconds", "shared_seconds", "peak_memory_bytes", "student_parameters", "student_macs", "parameters", "macs",
    "latency_seconds",
)  # fmt: skip
ACCURACIES = ("top1_last10", "top1_test_oracle", "val_top1", "teacher_top1")


class Claim(BaseModel):
    """`better` is better than `than`.

    text: the claim in words that need no paper; paper: where it is made, in short.
    better, than: "byot" or "byot[alpha=0]", as tables show them. metric: a column of results.csv, or a metric of
    metrics.csv; than_metric: that of `than` where it is another one (a student's accuracy against its teacher_top1).
    predictor, than_predictor: the output whose metric it is, None for the main one.
    dataset, scenario, pair: where it is made, None for everywhere.
    at_least: the difference that must be exceeded. smaller: whether less of the metric is better.
    equal_within: half of the band around zero in which a difference counts as none.
    The last two follow from the metric where they are None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str = Field(min_length=1)
    paper: str = ""
    better: str = Field(min_length=1)
    than: str = Field(min_length=1)
    metric: str = "top1"
    than_metric: str | None = None
    predictor: str | None = None
    than_predictor: str | None = None
    dataset: str | None = None
    scenario: str | None = None
    pair: str | None = Field(None, pattern=r"^[^:]+:[^:]+$")
    at_least: float = 0.0
    smaller: bool | None = None
    equal_within: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _compares_two_things(self) -> Claim:
        ours = (self.better, self.predictor, self.metric)
        if ours == (self.than, self.than_predictor, self.than_metric or self.metric):
            raise ValueError(f"compares '{self.better}' with itself")
        return self

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude_defaults=True)

    def settled(self, registry: Registry, names: Mapping[str, str]) -> Claim:
        """The same with `smaller` and `equal_within` stated, and its methods called as tables call them (names)."""
        from kdharness.stats.paired import EQUAL_POINTS  # here, for plans are read without scipy

        spec = _spec_of(self.metric, registry)
        higher = spec.higher_is_better if spec else self.metric not in COSTS
        points = spec.unit == "%" if spec else self.metric in ACCURACIES
        band = EQUAL_POINTS if points and self.at_least == 0 else 0.0
        changes = {
            "smaller": not higher if self.smaller is None else self.smaller,
            "equal_within": band if self.equal_within is None else self.equal_within,
            "better": names.get(self.better, self.better),
            "than": names.get(self.than, self.than),
        }
        return self.model_copy(update=changes)


def _spec_of(number: str, registry: Registry) -> MetricSpec | None:
    """The metric that a number is of: the one with its name, or with the longest that it begins with."""
    if number in (*COSTS, *ACCURACIES):
        return None
    owners = [metric.spec for metric in registry.metrics.values() if metric.spec.owns(number)]
    return max(owners, key=lambda spec: len(spec.name), default=None)
