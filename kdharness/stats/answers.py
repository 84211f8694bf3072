"""What the differences of claims amount to in words, all claims of one benchmark corrected together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from kdharness.stats.paired import seeds_needed
from kdharness.stats.significance import ROUNDING, holm, same_p, sign_flip_p, t_p
from kdharness.stats.summary import CONFIDENCE, LEAST_FOR_INTERVAL, Estimate, estimate


class Answer(StrEnum):
    HOLDS = "holds"
    FAILS = "does not hold"
    UNDECIDED = "undecided"
    UNMEASURED = "not measured"


@dataclass(frozen=True)
class Compared:
    """One claim in one setting.

    differences: by how much `better` is better, one for each seed; at least one.
    at_least: what they must exceed.
    equal_within: half of the band around zero that counts as no difference.
    image_variance: what the sampling of test images adds to the variance of their mean; 0 where it is not known.
    counted: whether the numbers are counted, not sampled: the same for every seed, as operations are.
    """

    differences: tuple[float, ...]
    at_least: float = 0.0
    equal_within: float = 0.0
    image_variance: float = 0.0
    counted: bool = False

    @property
    def is_test(self) -> bool:
        """Whether its answer is a test's, so that chance has a part in it."""
        return not self.is_settled and len(self.differences) >= LEAST_FOR_INTERVAL

    @property
    def is_settled(self) -> bool:
        """Whether counting alone answers it."""
        return self.counted and math.isclose(max(self.differences), min(self.differences))

    @cached_property
    def difference(self) -> Estimate:
        return estimate(self.differences, self.image_variance)

    @property
    def beyond(self) -> list[float]:
        """The differences less what they must exceed."""
        return [d - self.at_least for d in self.differences]

    @cached_property
    def margin(self) -> Estimate:
        return estimate(self.beyond, self.image_variance)

    @cached_property
    def p(self) -> float:
        """Of the exact sign-flip test. NaN for what is counted, and where images add a variance that it cannot hold."""
        return math.nan if self.is_settled or self.image_variance else sign_flip_p(self.beyond)

    @cached_property
    def t_p(self) -> float:
        """Of Student's test; NaN where there is no test."""
        return t_p(self.beyond, self.image_variance) if self.is_test else math.nan

    @property
    def is_clear(self) -> bool:
        """Whether the 95 % interval lies on one side of `at_least`. Differences that are all the same, but not zero,
        have no spread to judge by (accuracies come in steps).
        """
        return self.margin.sd >= ROUNDING and not self.margin.ci_low <= 0 <= self.margin.ci_high

    def is_equal(self, tests: int = 1) -> bool:
        """Whether the interval of the level 1 - 0.05 / tests lies within the band around zero; of a test. Where
        there is no spread, the sign test must be clear at that level, too.
        """
        if self.margin.sd < ROUNDING and not self.image_variance and same_p(self.margin.n) > (1 - CONFIDENCE) / tests:
            return False
        margin = estimate(self.beyond, self.image_variance, 1 - (1 - CONFIDENCE) / tests)
        return -self.equal_within <= margin.ci_low and margin.ci_high <= self.equal_within


@dataclass(frozen=True)
class Answered:
    """An answer and what it rests on.

    tests: the number of tests that it was corrected for; None where it is no test.
    p_holm: of the sign-flip test, corrected.
    t_p_holm: of Student's test, corrected; it decides.
    seeds_needed: about how many more would settle what is undecided; None if more than a thousand, or not undecided.
    reason: what must be known of the answer; "" for nothing.
    """

    answer: Answer
    tests: int | None
    p_holm: float
    t_p_holm: float
    seeds_needed: int | None
    reason: str


def answered(family: Sequence[Compared]) -> list[Answered]:
    """The answers to claims that are corrected together, in their order.

    A difference is answered by Student's test after Holm's correction over the family's tests, and its own 95 %
    interval; that there is none, by the interval of the level 1 - 0.05 / tests (Bonferroni's).
    """
    tests = sum(each.is_test for each in family)
    exact = holm([each.p if each.is_test else math.nan for each in family])
    student = holm([each.t_p for each in family])
    return [_answered(*row, tests) for row in zip(family, exact, student, strict=True)]


def _answered(compared: Compared, p_holm: float, t_p_holm: float, tests: int) -> Answered:
    answer, reason = _decide(compared, t_p_holm, tests)
    more = _seeds_needed(compared, tests) if answer is Answer.UNDECIDED else None
    return Answered(answer, tests if compared.is_test else None, p_holm, t_p_holm, more, reason)


def _decide(compared: Compared, t_p_holm: float, tests: int) -> tuple[Answer, str]:
    margin, band = compared.margin, f"within ± {compared.equal_within:g}"
    side = Answer.HOLDS if margin.mean > 0 else Answer.FAILS
    if compared.is_settled:
        return side, "counted, the same for every seed"
    if not compared.is_test:
        return Answer.UNDECIDED, ""
    if compared.is_equal(tests):
        return Answer.FAILS, f"practically equal: the difference is {band}"
    if compared.is_clear and t_p_holm <= 1 - CONFIDENCE:
        return side, ""
    if compared.is_equal():
        return Answer.UNDECIDED, f"{band} by itself, not among {tests} tests"
    if compared.is_clear:
        alone = "would hold" if side is Answer.HOLDS else "would not hold"
        return Answer.UNDECIDED, f"{alone} by itself (p {compared.t_p:.2g}), not among {tests} tests"
    return Answer.UNDECIDED, ""


def _seeds_needed(compared: Compared, tests: int) -> int | None:
    tests = max(tests, 1)
    level = (1 - CONFIDENCE) / tests
    return seeds_needed(
        compared.margin, compared.equal_within, tests, 1 - level, compared.image_variance, same_level=level
    )
