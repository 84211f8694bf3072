"""Budgets, and what an attack finds."""

from __future__ import annotations

import math

import fabricate
import pytest

from kdharness.results.record import Record
from kdharness.stats.privacy import privacy_of


def attacked(method: str, top1: float, seeds: int = 2, scenario: str = "split80", **numbers: float) -> list[Record]:
    """The student's leak grows with the seed by a hundredth."""
    return [
        fabricate.record(
            fabricate.cell(method, seed, scenario=scenario), top1, x_mia_advantage=0.05 + seed / 100, **numbers
        )
        for seed in range(seeds)
    ]


def test_numbers_by_hand() -> None:
    guard = attacked("guard", 90.0, x_guard_epsilon=12.5, x_guard_delta=1e-5, x_guard_releases=480.0)
    ((found,),) = (privacy.exposures for privacy in privacy_of(fabricate.table_of(guard)))
    assert (found.name, found.top1.mean, found.epsilon, found.delta, found.releases) == ("guard", 90, 12.5, 1e-5, 480)
    assert not found.infinite
    # 5 and 6 points: mean 5.5, standard deviation sqrt(0.5).
    assert (found.student_leak.n, found.student_leak.mean) == (2, pytest.approx(5.5))
    assert found.student_leak.sd == pytest.approx(math.sqrt(0.5))
    assert found.teacher_leak.n == 0


def test_what_protects_nothing_is_infinite_and_what_claims_nothing_has_no_budget() -> None:
    sieve = attacked("sieve", 91.0, x_sieve_epsilon_infinite=1.0)
    (found,) = privacy_of(fabricate.table_of([*attacked("kd", 90.0), *sieve]))
    assert [(e.name, e.infinite, math.isnan(e.epsilon)) for e in found.exposures] == [
        ("sieve", True, True),
        ("kd", False, True),
    ]


def test_the_best_first_and_each_setting_by_itself() -> None:
    frame = fabricate.table_of(
        [*attacked("kd", 90.0), *attacked("at", 92.0), *attacked("kd", 95.0, scenario="split50")]
    )
    found = [(each.names["scenario"], [e.name for e in each.exposures]) for each in privacy_of(frame)]
    assert found == [("split50", ["kd"]), ("split80", ["at", "kd"])]


def test_a_variants_numbers_are_its_methods_columns() -> None:
    cell = fabricate.cell("guard", variant="noise=2", scenario="split80")
    records = [fabricate.record(cell, 90.0, x_mia_advantage=0.0, x_guard_epsilon=3.0)]
    ((found,),) = (privacy.exposures for privacy in privacy_of(fabricate.table_of(records)))
    assert (found.name, found.epsilon) == ("guard[noise=2]", 3.0)


def test_without_private_images_nothing_is_said() -> None:
    assert privacy_of(fabricate.table_of(fabricate.records_of({"kd": [95.0] * 3}))) == ()
