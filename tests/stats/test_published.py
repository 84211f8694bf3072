"""Measured beside published: verdicts, reasons, spreads; numbers of the real files with measurements made up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import fabricate
import pytest

from kdharness.planning.cell import STUDENT, TEACHER, Cell, digest
from kdharness.planning.plan import PlannedCell
from kdharness.protocol.recipe_files import recipe_file
from kdharness.results.record import Record
from kdharness.stats.published import Compared, Match, PublishedBeside, published_beside, teacher_top1, width

PAIR = {"teacher": "resnet32x4", "student": "resnet8x4"}


def cell(method: str, seed: int = 0, recipe: dict[str, Any] | None = None, **changes: Any) -> Cell:
    given = {**PAIR, "dataset": "cifar100", "benchmark": "cifar100", **changes}
    made = fabricate.cell(method, seed, **given)
    own = recipe_file("crd240").of(made.student).model_dump(mode="json")
    document = {**made.document, "recipe": {**own, **(recipe or {})}}
    return replace(made, document=document, key=digest(document))


def records(method: str, scores: Sequence[float], recipe: dict[str, Any] | None = None, **changes: Any) -> list[Record]:
    values = changes.pop("values", {})
    return [fabricate.record(cell(method, seed, recipe, **changes), top1, **values) for seed, top1 in enumerate(scores)]


def beside(made: list[Record]) -> PublishedBeside:
    (found,) = published_beside(fabricate.table_of(made), {r.cell.key: PlannedCell(r.cell) for r in made})
    return found


def of(found: PublishedBeside, source: str) -> Compared:
    (one,) = [each for each in found.compared if each.source == source]
    return one


@pytest.mark.parametrize(
    ("scores", "verdict"),
    [
        ((73.0, 73.2), Match.REPRODUCED),
        ((73.92, 73.94), Match.REPRODUCED),  # 0.60 above 73.33
        ((73.95, 73.97), Match.ABOVE),
        ((72.7, 72.7), Match.BELOW),
    ],
)
def test_kd_is_held_against_its_published_last_epoch(scores: tuple[float, ...], verdict: Match) -> None:
    one = of(beside(records("kd", scores)), "RepDistiller")
    assert (one.published, one.rule, one.kind, one.verdict, one.reason) == (73.33, "last", "own", verdict, "")
    assert one.measured.n == 2
    assert one.difference == pytest.approx(sum(scores) / 2 - 73.33)


def test_copies_stand_aside_where_somebody_ran_it() -> None:
    assert {each.kind for each in beside(records("kd", [73.0])).compared} == {"own"}


def test_numbers_of_the_best_epoch_are_held_against_the_best_epoch() -> None:
    made = records("ctkd", [72.9, 72.9], values={"top1_test_oracle": 73.5})
    one = of(beside(made), "LSKD")
    assert (one.rule, one.measured.mean, one.verdict) == ("best", 73.5, Match.REPRODUCED)
    unknown = of(beside(records("ctkd", [72.9])), "LSKD")
    assert (unknown.verdict, unknown.reason) == (Match.NOT_COMPARABLE, "the best epoch on test was not looked for")


def test_a_number_between_published_runs_is_reproduced() -> None:
    """KD of resnet56:resnet20: 70.66 in its table (last), 71.54 by a user who does not say the epoch."""
    pair: dict[str, Any] = {"teacher": "resnet56", "student": "resnet20"}
    assert of(beside(records("kd", [71.5], **pair)), "RepDistiller").verdict is Match.REPRODUCED
    assert of(beside(records("kd", [71.6], **pair)), "RepDistiller").verdict is Match.ABOVE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"deviations": "recipe.epochs=3"}, "this run deviates: recipe.epochs=3"),
        ({"recipe": {"epochs": 3}}, "epochs 3 here, 240 there"),
        ({"recipe": {"epochs": 3, "lr": 1.0, "nesterov": True, "gamma": 0.5}}, "and more"),
    ],
)
def test_another_training_is_not_comparable(changes: dict[str, Any], reason: str) -> None:
    one = of(beside(records("kd", [73.3], **changes)), "RepDistiller")
    assert one.verdict is Match.NOT_COMPARABLE
    assert one.reason.endswith(reason)


def test_a_memory_layout_changes_nothing() -> None:
    assert not of(beside(records("kd", [73.3], {"channels_last": True})), "RepDistiller").reason


def test_parameters_by_pair_and_what_differs_there_are_said() -> None:
    dkd = of(beside(records("dkd", [76.0], values={"top1_test_oracle": 76.3})), "mdistiller")
    assert dkd.reason == "parameters are chosen for each pair there"
    kd = of(beside(records("kd", [74.0])), "SemCKD")
    assert kd.reason.startswith("there: labels and kd with weight 1 each")


BETA = {"beta": 6.0}


def in_track(made: Sequence[Record], track: str) -> list[Record]:
    return [replace(each, cell=each.cell.standing_in({track: ""})) for each in made]


def test_a_cell_that_stands_in_both_tracks_counts_once() -> None:
    both = {"default": "", "published": ""}
    made = [replace(each, cell=each.cell.standing_in(both)) for each in records("kd", [73.0, 73.2])]
    assert of(beside(made), "RepDistiller").measured.n == 2


def test_a_seed_more_in_one_track_is_one_more() -> None:
    first, second = records("kd", [73.0, 73.2])
    made = [
        replace(first, cell=first.cell.standing_in({"default": "", "published": ""})),
        *in_track([second], "published"),
    ]
    assert of(beside(made), "RepDistiller").measured.n == 2


def test_tracks_are_not_mixed() -> None:
    """DKD of mdistiller has parameters by pair: the track of those is its measure."""
    usual = records("dkd", [75.0, 75.2], values={"top1_test_oracle": 75.1})
    tuned = records("dkd", [76.2, 76.4], values={"top1_test_oracle": 76.3})
    tuned = [
        replace(r, cell=replace(r.cell, key=f"{r.cell.key[:-1]}x", by_pair=BETA)) for r in in_track(tuned, "published")
    ]
    found = [each for each in beside([*usual, *tuned]).compared if each.source == "mdistiller"]
    assert [(each.tuned, each.measured.n, each.verdict) for each in found] == [
        (False, 2, Match.NOT_COMPARABLE),
        (True, 2, Match.REPRODUCED),
    ]


def test_a_published_track_alone_is_the_measure_of_parameters_by_pair() -> None:
    """And of nothing else: whether they are the method's own nobody knows."""
    made = in_track(records("dkd", [76.2, 76.4], values={"top1_test_oracle": 76.3}), "published")
    one = of(beside([replace(r, cell=replace(r.cell, by_pair=BETA)) for r in made]), "mdistiller")
    assert (one.verdict, one.reason, one.by_pair, one.tuned) == (Match.REPRODUCED, "", BETA, True)
    plain = of(beside(made), "mdistiller")  # its authors chose nothing by pair
    assert (plain.tuned, plain.reason) == (False, "parameters are chosen for each pair there")
    kd = in_track(records("kd", [73.0]), "published")
    assert of(beside(kd), "RepDistiller").verdict is Match.REPRODUCED
    of_pairs = of(beside([replace(r, cell=replace(r.cell, by_pair=BETA)) for r in kd]), "RepDistiller")
    assert of_pairs.reason == "parameters are chosen for each pair here"


def test_a_cell_of_both_tracks_is_the_measure_of_either_kind_of_parameters() -> None:
    """Those of the pair are the method's own: one group, which is no other than the method."""
    both = {"default": "", "published": ""}

    def shared(made: list[Record]) -> list[Record]:
        return [replace(r, cell=replace(r.cell.standing_in(both), by_pair=BETA)) for r in made]

    dkd = of(beside(shared(records("dkd", [76.2], values={"top1_test_oracle": 76.3}))), "mdistiller")
    assert (dkd.verdict, dkd.tuned, dkd.measured.n) == (Match.REPRODUCED, False, 1)
    assert of(beside(shared(records("kd", [73.0]))), "RepDistiller").verdict is Match.REPRODUCED


def test_a_recipe_that_leaves_something_out_is_no_measure() -> None:
    made = records("lskd", [78.5], teacher="resnet56", student="DeiT-Tiny")
    assert {each.reason for each in beside(made).compared} == {"parameters are chosen for each pair there"}
    vanilla = records("vanilla", [65.0], teacher=None, student="DeiT-Tiny")
    assert "leaves out: crops of a random size" in beside(vanilla).compared[0].reason


def test_networks_alone_come_first_teachers_before_all() -> None:
    teacher = fabricate.record(cell("vanilla", teacher=None, student="resnet32x4", role=TEACHER), 79.1)
    found = beside([*records("kd", [73.3]), *records("vanilla", [72.0]), teacher])
    first, second = found.compared[0], next(e for e in found.compared if e.role == STUDENT)
    assert (first.role, first.student, first.published, first.verdict) == (
        TEACHER, "resnet32x4", 79.42, Match.REPRODUCED,
    )  # fmt: skip
    assert (second.method, second.student, second.published) == ("vanilla", "resnet8x4", 72.5)


def test_variants_and_other_scenarios_have_no_published_number() -> None:
    made = [*records("kd", [73.3], variant="temperature=2"), *records("kd", [73.3], scenario="noise40")]
    assert published_beside(fabricate.table_of(made), {r.cell.key: PlannedCell(r.cell) for r in made}) == ()
    digits = records("kd", [99.0], dataset="digits")
    assert published_beside(fabricate.table_of(digits), {}) == ()


def test_without_a_plan_nothing_is_comparable() -> None:
    made = records("kd", [73.3])
    (found,) = published_beside(fabricate.table_of(made), {})
    assert of(found, "RepDistiller").reason == "no plan says the recipe"


def test_published_runs_of_one_method_lie_apart() -> None:
    """KD of resnet32x4:resnet8x4, and DKD, which the authors, a user and others ran with its parameters by pair."""
    (kd,) = beside(records("kd", [73.3])).spreads
    assert kd.runs == (("RepDistiller", 73.33), ("SemCKD", 74.42))
    assert kd.alike == (("RepDistiller", 73.33),)
    assert width(kd.runs) == pytest.approx(1.09)
    assert math.isnan(width(kd.alike))
    (dkd,) = beside(records("dkd", [76.0])).spreads
    assert dkd.runs == dkd.alike == (("KD++", 75.44), ("mdistiller issue 7", 75.98), ("mdistiller", 76.32))


def test_what_a_network_alone_reaches() -> None:
    assert teacher_top1("cifar100", "resnet32x4") == 79.42
    assert math.isnan(teacher_top1("digits", "resnet32x4"))
    assert math.isnan(teacher_top1("cifar100", "conv16"))
