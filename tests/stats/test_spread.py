"""Spread between teachers, by hand."""

from __future__ import annotations

import math
from typing import Any

import fabricate
import pytest
from scipy import stats

from kdharness.planning.cell import SPREAD, TeacherSource
from kdharness.results.record import Record
from kdharness.stats.rankings import rankings
from kdharness.stats.spread import MethodSpread, sd_interval, spreads_of
from kdharness.stats.summary import estimate

PAIRED = "student+teacher"


def student(seed: int, teacher: int, top1: float, role: str = "student", **changes: Any) -> Record:
    """Under the teacher of this seed, which has 97 + its seed percent."""
    source = TeacherSource("conv32", f"teacher{teacher}")
    cell = fabricate.cell("kd", seed, source, role=role, **changes)
    return fabricate.record(cell, top1, teacher_top1=97.0 + teacher)


def spread(records: list[Record]) -> MethodSpread:
    (found,) = spreads_of(fabricate.table_of(records))
    assert (found.names["student"], found.seed) == ("conv16", 0)
    (method,) = found.methods
    assert method.name == "kd"
    return method


def again(**changes: Any) -> list[Record]:
    """Seed 0 under teachers 1 and 2."""
    return [student(0, t, 90.0 + 2 * t, SPREAD, teacher_seed=t, **changes) for t in (1, 2)]


def test_a_benchmark_with_a_teacher_for_each_seed() -> None:
    own = [student(seed, seed, top1, seeding=PAIRED) for seed, top1 in enumerate((90.0, 97.0, 95.0))]
    found = spread([*own, *again(seeding=PAIRED)])
    assert found.between_teachers == estimate([90.0, 92.0, 94.0])  # its own teacher is one of them
    assert found.all_anew == estimate([90.0, 97.0, 95.0])
    assert found.between_students.n == 0
    assert found.teachers == estimate([97.0, 98.0, 99.0])


def test_a_benchmark_with_one_teacher() -> None:
    own = [student(seed, 0, top1) for seed, top1 in enumerate((90.0, 91.0, 92.0))]
    found = spread([*own, *again()])
    assert found.between_teachers == estimate([90.0, 92.0, 94.0])
    assert found.between_students == estimate([90.0, 91.0, 92.0])
    assert found.all_anew.n == 0


def test_what_failed_does_not_count_and_without_such_students_nothing_is_said() -> None:
    own = [student(seed, 0, 90.0 + seed) for seed in range(3)]
    failed = fabricate.record(student(0, 3, 1.0, SPREAD, teacher_seed=3).cell, None, fabricate.Status.FAILED)
    assert spread([*own, *again(), failed]).between_teachers.n == 3
    assert spreads_of(fabricate.table_of([*own, failed])) == ()


def test_they_are_in_no_ranking() -> None:
    own = [student(seed, 0, 90.0 + seed) for seed in range(3)]
    (with_them,) = rankings(fabricate.table_of([*own, *again()]), ())
    (without,) = rankings(fabricate.table_of(own), ())
    assert with_them.board.equals(without.board)


def test_the_interval_of_a_standard_deviation() -> None:
    found = estimate([1.0, 2.0, 3.0, 4.0])
    low, high = sd_interval(found)
    assert low == pytest.approx(found.sd * math.sqrt(3 / stats.chi2.ppf(0.975, 3)))
    assert high == pytest.approx(found.sd * math.sqrt(3 / stats.chi2.ppf(0.025, 3)))
    assert all(map(math.isnan, sd_interval(estimate([1.0, 2.0]))))
