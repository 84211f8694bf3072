"""Budgets, and what an attack finds."""

from __future__ import annotations

import math

import fabricate
import pandas as pd
import pytest
from scipy import stats

from kdharness.planning.cell import TeacherSource
from kdharness.results.record import Record
from kdharness.stats.privacy import Lineage, privacy_of


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
    # 5 and 6 points: mean 5.5, standard deviation sqrt(0.5).
    assert (found.student_leak.n, found.student_leak.mean) == (2, pytest.approx(5.5))
    assert found.student_leak.sd == pytest.approx(math.sqrt(0.5))
    assert found.teacher_leak.n == 0


def budgets(*records: Record) -> dict[str, tuple[float, bool]]:
    """By method, epsilon and whether a delta stands beside it."""
    (found,) = privacy_of(fabricate.table_of(records))
    return {e.name: (e.epsilon, not math.isnan(e.delta)) for e in found.exposures}


def test_epsilon_means_one_thing_for_all_methods() -> None:
    found = budgets(
        *attacked("vanilla", 90.0),
        *attacked("kd", 90.0),
        *attacked("sieve", 91.0, x_sieve_epsilon_infinite=1.0, x_sieve_epsilon=3.0, x_sieve_delta=1e-5),
        *attacked("quiet", 91.0, x_quiet_epsilon_infinite=0.0),
        *attacked("guard", 91.0, x_guard_epsilon_infinite=0.0, x_guard_epsilon=12.5, x_guard_delta=1e-5),
        *attacked("open", 91.0, x_open_epsilon=12.5, x_open_delta=1e-5, x_open_noise_public=1.0),
    )
    assert found == {
        "vanilla": (0.0, False),  # asks nobody
        "kd": (math.inf, False),  # asks, and nothing protects
        "sieve": (math.inf, False),
        "quiet": (0.0, False),  # has a teacher, and asked nothing
        "guard": (12.5, True),
        "open": (math.inf, False),  # whoever knows the seed knows the noise
    }


def test_the_largest_budget_of_the_seeds_counts() -> None:
    each = [r for seed in (0, 1) for r in attacked("guard", 91.0, x_guard_epsilon=3.0 + seed)[seed : seed + 1]]
    assert budgets(*each) == {"guard": (4.0, False)}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ({"s": (800, "big", "t", "t"), "t": (1000, "", "", "")}, True),
        ({"s": (800, "big", "t", "t"), "t": (800, "", "", "")}, False),  # the teacher saw public images alone
        ({"s": (800, "big", "t", "t")}, True),  # of the teacher nothing is known
        ({"s": (800, "", "", "a"), "a": (800, "", "", "t"), "t": (1000, "", "", "")}, True),  # through an assistant
        ({"s": (800, "big", "", "")}, True),  # a teacher from a file
        ({"s": (800, "big", "t", "a+t"), "a": (800, "", "", ""), "t": (math.nan, "", "", "")}, True),
        ({"s": (800, "", "", "")}, False),  # no teacher
    ],
)
def test_who_asked_a_network_that_saw_private_images(
    rows: dict[str, tuple[float, str, str, str]], expected: bool
) -> None:
    columns = ("x_train_images", "teacher", "teacher_cell", "source_cells")
    frame = pd.DataFrame([{"cell": key, **dict(zip(columns, row, strict=True))} for key, row in rows.items()])
    assert Lineage.of(frame).asked_private("s") is expected


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
    assert (found.name, found.epsilon) == ("guard[noise=2]", 3.0)


def test_without_private_images_nothing_is_said() -> None:
    assert privacy_of(fabricate.table_of(fabricate.records_of({"kd": [95.0] * 3}))) == ()
