"""Budgets, and what an attack finds."""

from __future__ import annotations

import math

import fabricate
import pytest
from scipy import stats

from kdharness.planning.cell import TeacherSource
from kdharness.results.budgets import Budget
from kdharness.results.record import Record
from kdharness.stats.composition import epsilon_of
from kdharness.stats.privacy import Exposure, privacy_of


def attacked(method: str, top1: float, seeds: int = 2, scenario: str = "split80", **numbers: float) -> list[Record]:
    """The student's leak grows with the seed by a hundredth."""
    return [
        fabricate.record(
            fabricate.cell(method, seed, scenario=scenario), top1, x_mia_advantage=0.05 + seed / 100, **numbers
        )
        for seed in range(seeds)
    ]


GUARD = {
    "x_guard_epsilon": 12.9787,
    "x_guard_delta": 1e-5,
    "x_guard_releases": 608.0,
    "x_guard_mu": math.sqrt(6.08),
}


def exposures(*records: Record) -> dict[str, Exposure]:
    (privacy,) = privacy_of(fabricate.table_of(records))
    return {e.name: e for e in privacy.exposures}


def test_numbers_by_hand() -> None:
    found = exposures(*attacked("guard", 90.0, **GUARD))["guard"]
    assert (found.top1.mean, found.spent, found.releases) == (90, Budget(12.9787, 1e-5), 608)
    # 5 and 6 points: mean 5.5, standard deviation sqrt(0.5).
    assert (found.student_leak.n, found.student_leak.mean) == (2, pytest.approx(5.5))
    assert found.student_leak.sd == pytest.approx(math.sqrt(0.5))
    assert found.teacher_leak.n == 0


def test_five_students_of_one_teacher_spend_more_than_one() -> None:
    """sigma 10, 608 releases each: sqrt(5 * 608) / 10 Gaussian together."""
    found = exposures(*attacked("guard", 90.0, seeds=5, **GUARD))["guard"]
    assert found.spent == Budget(12.9787, 1e-5)
    assert found.together is not None
    assert found.together.epsilon == pytest.approx(37.9765, abs=1e-4)
    assert found.together.delta == 1e-5


def test_what_is_no_gaussian_mechanism_adds_up() -> None:
    plain = {name: value for name, value in GUARD.items() if not name.endswith("mu")}
    found = exposures(*attacked("guard", 90.0, seeds=3, **plain))["guard"]
    assert found.together is not None
    assert found.together.epsilon == pytest.approx(3 * 12.9787)
    assert found.together.delta == pytest.approx(3e-5)


def test_one_column_means_one_thing_for_all() -> None:
    """Who asks nobody spends nothing; who asks without a mechanism of its own, or with a known seed, spends all."""
    found = exposures(
        *attacked("vanilla", 88.0),
        *attacked("kd", 90.0),
        *attacked("sieve", 91.0, x_sieve_epsilon_infinite=1.0, x_sieve_epsilon=3.0, x_sieve_delta=1e-5),
        *attacked("quiet", 91.0, x_quiet_epsilon_infinite=0.0),
        *attacked("guard", 89.0, **GUARD),
        *attacked("open", 87.0, x_open_epsilon=12.9, x_open_delta=1e-5, x_open_noise_public=1.0),
        *attacked("mute", 86.0, x_mute_epsilon=0.0, x_mute_delta=0.0, x_mute_noise_public=1.0),
    )
    spent = {name: None if e.spent is None else e.spent.epsilon for name, e in found.items()}
    assert spent == {
        "vanilla": 0,
        "kd": math.inf,
        "sieve": math.inf,
        "quiet": 0,
        "guard": 12.9787,
        "open": math.inf,
        "mute": 0,
    }
    together = {name: None if e.together is None else e.together.epsilon for name, e in found.items()}
    assert together == {**spent, "guard": pytest.approx(epsilon_of(math.sqrt(2 * 6.08), 1e-5))}


def test_the_largest_budget_of_the_seeds_counts() -> None:
    each = [r for seed in (0, 1) for r in attacked("guard", 91.0, x_guard_epsilon=3.0 + seed)[seed : seed + 1]]
    assert exposures(*each)["guard"].spent == Budget(4.0)


def test_a_student_that_was_not_attacked_counts_all_the_same() -> None:
    records = attacked("guard", 90.0, seeds=5, **GUARD)
    del records[4].values["x_mia_advantage"]  # type: ignore[attr-defined]
    found = exposures(*records)["guard"]
    assert found.student_leak.n == 4
    assert found.together is not None
    assert found.together.epsilon == pytest.approx(37.9765, abs=1e-4)


def test_what_all_protected_rows_spend_together() -> None:
    stronger = fabricate.cell("guard", 0, variant="sigma=20", scenario="split80")
    weak = fabricate.record(
        stronger, 89.0, x_mia_advantage=0.0, **{**GUARD, "x_guard_mu": 1.0, "x_guard_epsilon": 4.37}
    )
    records = [*attacked("guard", 90.0, seeds=1, **GUARD), weak, *attacked("kd", 90.0), *attacked("vanilla", 90.0)]
    (privacy,) = privacy_of(fabricate.table_of(records))
    assert privacy.protected is not None
    assert privacy.protected.epsilon == pytest.approx(epsilon_of(math.sqrt(7.08), 1e-5))
    assert privacy.unprotected == ("kd",)
    (alone,) = privacy_of(fabricate.table_of(records[:1]))
    assert alone.protected is None


# -- leaks ------------------------------------------------------------------------------------------------------------


def leaking(seed: int, teacher: str, seeding: str, half: float = 0.02 * 1.959963984540054) -> Record:
    """With a standard error of 2 points over images; the teacher's leak is ten times its number."""
    cell = fabricate.cell("kd", seed, TeacherSource("conv32", teacher), scenario="split80", seeding=seeding)
    leaks = {"x_mia_advantage": 0.05 + seed / 100, "x_teacher_mia_advantage": int(teacher[1:]) / 10}
    ends = {f"{n}_{e}": v + by for n, v in leaks.items() for e, by in (("low", -half), ("high", half))}
    return fabricate.record(cell, 90.0, **leaks, **ends)


@pytest.mark.parametrize(("seeding", "share"), [("student+teacher", 1.0), ("student+teacher+data", 0.5)])
def test_intervals_of_leaks_hold_seeds_and_images(seeding: str, share: float) -> None:
    records = [leaking(seed, f"t{seed}", seeding) for seed in range(5)]
    ((found,),) = (privacy.exposures for privacy in privacy_of(fabricate.table_of(records)))
    for leak, over_seeds in ((found.student_leak, 2.5 / 5), (found.teacher_leak, 250 / 5)):
        total = over_seeds + share * 4
        half = stats.t.ppf(0.975, 4 * (total / over_seeds) ** 2) * math.sqrt(total)
        assert (leak.n, (leak.ci_high - leak.ci_low) / 2) == (5, pytest.approx(half))
    assert found.student_leak.mean == pytest.approx(7)


def test_one_teacher_is_counted_once_and_has_no_spread() -> None:
    records = [leaking(seed, "t1", "student") for seed in range(5)]
    ((found,),) = (privacy.exposures for privacy in privacy_of(fabricate.table_of(records)))
    leak = found.teacher_leak
    assert (leak.n, leak.mean) == (1, pytest.approx(10))
    assert math.isnan(leak.sd)
    assert (leak.ci_low, leak.ci_high) == pytest.approx((10 - 1.96 * 2, 10 + 1.96 * 2), abs=1e-3)


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
    assert (found.name, found.spent) == ("guard[noise=2]", Budget(3.0))


def test_without_private_images_nothing_is_said() -> None:
    assert privacy_of(fabricate.table_of(fabricate.records_of({"kd": [95.0] * 3}))) == ()
