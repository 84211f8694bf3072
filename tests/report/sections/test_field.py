"""Many methods on the same blocks, as sections."""

from __future__ import annotations

import fabricate
import numpy as np
import pytest

from kdharness.report.figures import GainFigure, ProfileFigure
from kdharness.report.sections.field import field_sections
from kdharness.report.sections.section import Section
from kdharness.stats.blocks import blocks_of
from kdharness.stats.question import Question

KD = Question(("kd", ""))


def sections_of(settings: int) -> list[Section]:
    rng = np.random.default_rng(0)
    records = []
    for number in range(settings):
        scores = {name: (base + rng.random(2)).tolist() for name, base in (("kd", 80.0), ("at", 90.0), ("rkd", 80.0))}
        records += fabricate.records_of(scores, dataset=f"d{number}", protocol=f"p{number}")
    (blocks,) = blocks_of(fabricate.table_of(records), KD)
    return list(field_sections(blocks, KD))


def test_few_settings_have_a_reason_in_place_of_a_diagram() -> None:
    field, wins, decides = sections_of(2)
    assert field.title == "tiny · top1 of 3 methods"
    assert field.grid.rows[0][:3] == ("1", "at", "1.00")
    assert [column.header for column in field.grid.columns] == ["#", "method", "rank", "regret", "wins", "best"]
    assert field.remarks == (
        "no critical-difference diagram and no performance profile: 2 of the 7 settings that it takes until Wilcoxon's "
        "test with Holm's correction can tell any two of 3 methods apart (5 lacking); Nemenyi's critical difference "
        "would be 2.3 of 2 ranks",
    )
    assert wins.grid.rows[0] == ("1", "at", "", "100", "100")
    assert decides.remarks == ("at leads by mean rank, whichever is left out",)


def test_one_setting_decides_nothing() -> None:
    assert [section.kind.value for section in sections_of(1)] == ["field", "wins"]


def test_enough_settings_say_who_is_not_told_apart() -> None:
    field, *_ = sections_of(8)
    assert [column.header for column in field.grid.columns][-4:] == ["<=0.2", "<=0.5", "<=1", "<=2"]
    assert field.grid.rows[0][-4:] == ("100%",) * 4
    assert field.remarks[0].startswith("Friedman's test (Iman and Davenport): p ")
    assert "critical difference at 0.05: 1.17 ranks" in field.remarks[0]
    assert sorted(field.remarks[1].partition(": ")[2].split(", ")) == ["kd", "rkd"]


def test_the_diagram_has_half_a_critical_difference_on_both_sides() -> None:
    figure, _ = sections_of(8)[0].figures
    assert isinstance(figure, GainFigure)
    first, second, _ = figure.gains
    assert (first.name, first.points) == ("at", 0.0)
    # q of three is 3.3145 / sqrt 2 = 2.3437: CD = 2.3437 sqrt(12 / 48) = 1.1719.
    assert first.low == pytest.approx(-0.5859, abs=1e-4)
    assert first.high == pytest.approx(0.5859, abs=1e-4)
    assert second.low > first.high
    assert sections_of(2)[0].figures == ()


def test_the_profile_counts_the_blocks_in_which_a_method_is_so_near() -> None:
    """at is the best of all 16 blocks by 9 to 11 points; kd and rkd are never near it."""
    _, figure = sections_of(8)[0].figures
    assert isinstance(figure, ProfileFigure)
    assert (figure.reference, figure.title) == ("kd", "tiny · top1 of 3 methods · performance profile")
    assert len(figure.within) == 41
    assert figure.within[0] == 0.0
    at, *others = figure.profiles
    assert (at.name, set(at.shares)) == ("at", {1.0})
    assert {one.name for one in others} == {"kd", "rkd"}
    for one in others:
        assert one.shares[0] == 0.0
        assert list(one.shares) == sorted(one.shares)
    # A tenth of the 48 regrets lies beyond the last distance, all of them of kd and rkd: 5 of their 32.
    assert sum(one.shares[-1] for one in others) * 16 == pytest.approx(27)
