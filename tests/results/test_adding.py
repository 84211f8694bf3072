"""Somebody's rows against a plan and beside a leaderboard's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import fabricate
import pytest

from kdharness.planning.cell import Cell, digest
from kdharness.planning.plan import PlannedCell
from kdharness.results.adding import add, faults_of
from kdharness.results.expected import Expected, choices_of
from kdharness.results.record import Record
from kdharness.results.rows import Row, rows_of
from kdharness.results.submission import Submission

TEACHER = fabricate.teacher_cell()
VANILLA, KD = fabricate.cell("vanilla"), fabricate.cell("kd")
PLAN = Expected({cell.key: cell for cell in (TEACHER, VANILLA, KD)}, {"vanilla", "kd"})


def rows(*records: Record) -> tuple[Row, ...]:
    planned = {record.cell.key: PlannedCell(record.cell) for record in records}
    return tuple(rows_of(planned, {record.cell.key: record for record in records}))


def usual() -> tuple[Row, ...]:
    taught = {"teacher_digest": "aa11"}
    return rows(fabricate.record(TEACHER, 97.0), fabricate.record(VANILLA, 88.0), fabricate.record(KD, 91.0, **taught))


def faults(*given: Row, trusts: bool = False, cells: dict[str, Cell] | None = None) -> list[str]:
    found = faults_of(Submission(given, cells or {}), {"tiny": PLAN}, trusts)
    return [line.partition("): ")[2] for line in found]


def edited(**changes: Any) -> Row:
    return {**usual()[2], **changes}


def test_rows_that_are_planned_pass() -> None:
    assert faults(*usual()) == []


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"protocol": "p2"}, "protocol 'p2' is not that of its key, 'p1'"),
        ({"method": "dkd"}, "method 'dkd' is not that of its key, 'kd'"),
        ({"seed": "1"}, "seed '1' is not that of its key, '0'"),
        ({"parameters": '{"weight":0.9}'}, """parameters '{"weight":0.9}' is not that of its key, '{"weight":0.5}'"""),
        ({"teacher_cell": "0" * 20}, f"teacher_cell '{'0' * 20}' is not that of its key, '{TEACHER.key}'"),
        ({"method_revision": "2"}, "method_revision '2' is not that of its key, '1'"),
        ({"variant": "weight=2"}, "variant 'weight=2' in track 'default' is not that of its key"),
        ({"track": "published"}, "variant '' in track 'published' is not that of its key"),
        ({"role": "teacher"}, "its role is 'teacher', and its key is a student's"),
        ({"deviations": "recipe.epochs=3"}, "it departs from its benchmark: recipe.epochs=3"),
        ({"top1": "101"}, "top1 101 is not between 0 and 100"),
    ],
)  # fmt: skip
def test_a_row_says_what_its_key_says(changes: dict[str, Any], fault: str) -> None:
    assert faults(edited(**changes)) == [fault]


def test_a_row_may_be_older_than_a_parameter() -> None:
    """Its key is the one of today, which says that the parameter is neutral."""
    newer = replace(KD, parameters={"weight": 0.5, "edit": False})
    plan = Expected({newer.key: newer}, {"kd"})
    assert list(plan.faults(edited(), None, False)) == []
    assert len(list(plan.faults(edited(parameters='{"weight":0.5,"other":1}'), None, False))) == 1


def test_keys_that_cannot_be_made_anew_are_refused_unless_they_are_trusted() -> None:
    mine = edited(cell="a" * 20, method="mine")
    (line,) = faults(mine)
    assert line.startswith("method 'mine' is not installed, so that its key cannot be made anew")
    assert faults(mine, trusts=True) == []
    other = edited(cell="a" * 20, method_revision="2")
    (line,) = faults(other)
    assert line.startswith("method 'kd' is kdharness revision 2, and kdharness revision 1 is installed")
    assert faults(other, trusts=True) == []


def test_trust_has_its_bounds() -> None:
    """What is installed has its key, and whoever is not stands in a place that there is, under its teacher."""
    made_up = edited(cell="a" * 20)
    assert faults(made_up, trusts=True) == [f"its key is not that of its parameters, which is {KD.key}"]
    assert faults(edited(cell="a" * 20, parameters='{"weight":7}'), trusts=True) == [
        "its key is none that this release makes of method 'kd'"
    ]
    mine = {"cell": "a" * 20, "method": "mine"}
    assert faults(edited(**mine, seed="9"), trusts=True) == [
        "this release plans no cell of that dataset, scenario, recipe, student and seed"
    ]
    assert faults(edited(**mine, protocol="p2"), trusts=True) == [
        "protocol p2 is not the benchmark's, which is p1 here"
    ]
    assert faults(edited(**mine, teacher_cell="b" * 20), trusts=True) == [
        f"teacher_cell {'b' * 20} is not the pair's, {TEACHER.key}"
    ]


# -- records of methods that are not installed -------------------------------------------------------------------------


def documented(of: Cell, **changes: Any) -> Cell:
    """A cell with a document as plans make them."""
    teachers = [{"name": source.model, "source": source.identity} for source in of.teachers]
    document = {
        "schema": 2, "numerics": 2, "dataset": {"name": of.dataset}, "scenario": {}, "recipe": {"epochs": 2},
        "evaluation": {"split": "test"}, "subset": "train", "seed": of.seed, "student": {"name": of.student},
        "method": {"name": of.method, "parameters": dict(of.parameters)}, "teachers": teachers, **changes,
    }  # fmt: skip
    return replace(of, document=document, key=digest(document))


PEER = documented(VANILLA)
DOCUMENTED = Expected({PEER.key: PEER}, {"vanilla"})


def of_record(cell: Cell, **changes: Any) -> list[str]:
    """What stands against a record of a method that is not installed."""
    given = {**rows(fabricate.record(cell, 91.0))[0], **changes}
    found = faults_of(Submission((given,), {cell.key: cell}), {"tiny": DOCUMENTED}, False)
    return [line.partition("): ")[2] for line in found]


def test_a_record_brings_the_document_that_its_key_is_made_of() -> None:
    mine = documented(fabricate.cell("mine"))
    assert of_record(mine) == []
    assert of_record(replace(mine, key="a" * 20)) == [f"its key is not that of its document, {mine.key}"]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"recipe": {"epochs": 500}}, "its document is not of this benchmark: recipe"),
        ({"numerics": 1, "evaluation": {}}, "its document is not of this benchmark: numerics, evaluation"),
        ({"dataset": {"name": "photos"}}, "dataset 'digits' is not that of its document, 'photos'"),
        ({"method": {"name": "kd"}}, "method 'mine' is not that of its document, 'kd'"),
        ({"method": {"name": "mine", "parameters": {"weight": 7}}}, "its parameters are not those of its document"),
        ({"teachers": []}, "its teachers are not those of its document"),
        ({"method": "mine"}, "its document is not what it should be"),
    ],
)
def test_a_document_of_another_training_is_told(changes: dict[str, Any], fault: str) -> None:
    assert of_record(documented(fabricate.cell("mine"), **changes))[0] == fault


def test_a_document_with_a_key_of_its_own_is_refused_where_its_method_is_installed() -> None:
    """Whatever else differs: data that it trains on, networks, an optimiser."""
    fault = f"its key is not that of its parameters, which is {PEER.key}"
    assert of_record(documented(VANILLA, subset="all")) == [fault]
    assert of_record(replace(documented(VANILLA, subset="all"), method_revision="2")) == []


# -- beside the leaderboard's ------------------------------------------------------------------------------------------


def test_what_is_known_already_changes_nothing() -> None:
    again = [{**row, "train_seconds": 99.0, "top1": str(row["top1"])} for row in usual()]
    result, lines = add(usual(), again)
    assert (result.added, result.known, lines) == (0, 3, [])
    assert result.rows == usual()


def test_what_was_not_ok_gives_way() -> None:
    failed = edited(status="failed", top1=None)
    result, lines = add([failed], [edited()])
    assert (result.added, [row["status"] for row in result.rows], lines) == (1, ["ok"], [])
    result, _ = add([edited()], [failed])
    assert (result.known, [row["status"] for row in result.rows]) == (1, ["ok"])


def test_one_key_has_one_result() -> None:
    _, (line,) = add(usual(), [edited(top1=99.0)])
    assert line.endswith("the leaderboard has another result of this key, top1 99.0 in place of 91.0")
    assert faults(edited(), edited(top1=99.0)) == ["it is there twice, with top1 99.0 in place of 91.0"]


def test_one_teacher_cell_has_one_set_of_weights() -> None:
    other = {**rows(fabricate.record(fabricate.cell("dkd"), 92.0))[0], "teacher_digest": "bb22"}
    _, (line,) = add(usual(), [other])
    said = f"its teacher {TEACHER.key} has the weights bb22, and on the leaderboard aa11"
    assert line.endswith(f"{said}; train with the leaderboard's teacher")
    same = {**other, "teacher_digest": "aa11"}
    assert add(usual(), [same])[1] == []


def test_choices_are_the_rows_own_and_the_references() -> None:
    cut = edited(variant="weight=0.5,without=ce")
    found = choices_of([*usual(), cut, edited(method="mine")], ("vanilla", "kd"), {"vanilla", "kd"})
    assert {(choice.name, choice.without) for choice in found} == {("vanilla", ()), ("kd", ()), ("kd", ("ce",))}
    assert {"weight": 0.5} in [dict(choice.parameters) for choice in found]
