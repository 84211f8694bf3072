"""Rankings setting by setting, and what must be known to read them."""

from __future__ import annotations

import fabricate

from kdharness.results.record import Record
from kdharness.stats.board import leaderboard
from kdharness.stats.rankings import Ranking, rankings
from kdharness.stats.standings import REFERENCES


def ranked(*parts: list[Record]) -> tuple[Ranking, ...]:
    return rankings(fabricate.table_of([record for part in parts for record in part]), REFERENCES)


def test_ranks_count_within_a_regime_and_gains_go_across() -> None:
    usual = fabricate.records_of({"vanilla": [88.0] * 3, "kd": [90.0, 90.1, 90.2], "kd[weight=1]": [89.0] * 3})
    alone = fabricate.records_of({"byot": [95.0, 95.1, 95.2], "ddgsd": [80.0] * 3}, regime="no_teacher")
    board = leaderboard(fabricate.table_of([*usual, *alone])).set_index(["method", "variant"])
    assert board["rank"].to_dict() == {
        ("kd", ""): 1, ("kd", "weight=1"): 2, ("vanilla", ""): 3, ("byot", ""): 1, ("ddgsd", ""): 2,
    }  # fmt: skip
    assert round(board.loc[("byot", ""), "gain_over_vanilla"], 6) == 7.1
    assert round(board.loc[("byot", ""), "gain_over_kd"], 6) == 5.0


def test_one_ranking_per_setting_the_longest_first_and_what_deviates_last() -> None:
    short = fabricate.records_of({"kd": [1.0], "at": [2.0], "sp": [3.0]}, deviations="recipe.epochs=3", protocol="p2")
    few = fabricate.records_of({"kd": [90.0]}, teacher="conv64")
    many = fabricate.records_of({"kd": [90.0], "at": [91.0]})
    found = ranked(short, few, many)
    assert [(r.names["teacher"], r.deviations, r.board["method"].to_list()) for r in found] == [
        ("conv32", "", ["at", "kd"]),
        ("conv64", "", ["kd"]),
        ("conv32", "recipe.epochs=3", ["sp", "at", "kd"]),
    ]
    assert [r.protocols for r in found] == [1, 1, 1]


def test_the_usual_recipe_comes_first_however_short_it_is() -> None:
    long = fabricate.records_of({"kd": [90.0], "at": [91.0]}, recipe_name="adam", protocol="p0")
    usual = fabricate.records_of({"kd": [90.0]}, protocol="p1")
    longest = fabricate.records_of({"kd": [90.0], "at": [91.0], "sp": [92.0]}, recipe_name="warm", protocol="p2")
    deviating = fabricate.records_of({"kd": [1.0]}, deviations="recipe.epochs=3", protocol="p3")
    found = ranked(deviating, long, usual, longest)
    assert [(r.names["recipe"], r.deviations) for r in found] == [
        ("standard", ""), ("warm", ""), ("adam", ""), ("standard", "recipe.epochs=3"),
    ]  # fmt: skip


def test_what_has_no_value_is_not_ranked() -> None:
    (found,) = ranked(fabricate.records_of({"kd": [90.0], "at": [None]}))
    assert found.board["method"].to_list() == ["kd"]
    assert ranked(fabricate.records_of({"kd": [None]})) == ()


def test_references_are_those_with_a_gain() -> None:
    (both,) = ranked(fabricate.records_of({"vanilla": [80.0], "kd": [90.0], "at": [91.0]}))
    assert both.references == ("vanilla", "kd")
    (one,) = ranked(fabricate.records_of({"kd": [90.0], "at": [91.0]}))
    assert one.references == ("kd",)


def test_several_protocols_of_the_same_data_are_counted() -> None:
    found = ranked(fabricate.records_of({"kd": [90.0]}), fabricate.records_of({"kd": [95.0]}, protocol="p2"))
    assert [(r.names["protocol"], r.protocols) for r in found] == [("p1", 2), ("p2", 2)]


def test_each_of_several_teachers_is_told() -> None:
    teachers = [
        fabricate.record(fabricate.teacher_cell("conv64"), 97.5),
        fabricate.record(fabricate.teacher_cell("conv32"), 96.25),
        fabricate.record(fabricate.teacher_cell("conv8"), 50.0),  # of no student here
    ]
    (found,) = ranked(teachers, fabricate.records_of({"kd": [75.0] * 3}, teacher="conv32+conv64"))
    assert found.teachers == (("conv32", 96.25), ("conv64", 97.5))


def test_one_teacher_needs_no_list() -> None:
    teacher = fabricate.record(fabricate.teacher_cell("conv32"), 97.5)
    (found,) = ranked([teacher], fabricate.records_of({"kd": [75.0] * 3}))
    assert found.teachers == ()


def test_competitors_that_gave_the_same_students_are_told() -> None:
    scores = {"kd": [90.0, 91.0, 92.0], "kd[weight=1]": [90.0, 91.0, 92.0], "kd[weight=2]": [90.0, 91.0, 92.5]}
    (found,) = ranked(fabricate.records_of(scores))
    assert found.identical == (("kd", "kd[weight=1]"),)


def test_the_same_accuracy_is_not_the_same_student() -> None:
    records = [
        fabricate.record(fabricate.cell(method), 90.0, nll=nll) for method, nll in (("kd", 0.3), ("at", 0.30000001))
    ]
    (found,) = ranked(records)
    assert found.identical == ()


def test_a_setting_is_alike_in_itself_alone() -> None:
    """The same numbers under other deviations are no news."""
    short = fabricate.records_of({"kd": [90.0]}, deviations="recipe.epochs=3", protocol="p2")
    assert [r.identical for r in ranked(short, fabricate.records_of({"at": [90.0]}))] == [(), ()]
