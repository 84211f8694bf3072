"""Claims: what papers say about their methods, as comparisons that a benchmark puts to the test."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

# Half of the band around zero, in percentage points, in which a difference of accuracies counts as none.
EQUAL_POINTS = 0.2


class Claim(BaseModel):
    """`better` is better than `than`.

    text: the claim in words that need no paper.
    paper: where it is made, in short.
    better: "byot" or "byot[alpha=0]", as tables show it.
    than: likewise.
    metric: a column of results.csv, or a metric of metrics.csv.
    than_metric: that of `than`, where it is another one (a student's accuracy against its teacher_top1).
    predictor: the output whose metric it is; None for the main one.
    than_predictor: likewise, of `than`.
    dataset: where the claim is made; None for everywhere, as of the next three.
    scenario: likewise.
    recipe: likewise.
    pair: likewise.
    at_least: the difference that must be exceeded.
    smaller: whether less of the metric is better; None: as the metric says.
    equal_within: half of the band around zero in which a difference counts as none; None: as the metric says.
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
    recipe: str | None = None
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
