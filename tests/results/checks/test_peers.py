"""Cells that are not as their protocol has them, whatever their keys and digests say."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from forging import Data, findings, keys, recast, reseal

from kdharness.results.checks.finding import Finding, Kind


def in_document(part: str, **values: object) -> Callable[[Data], object]:
    return lambda cell: cell["document"][part].update(values)


def of_peers(path: Path) -> list[Finding]:
    return [found for found in findings(path) if found.where.startswith("plans")]


@pytest.mark.parametrize(
    ("part", "values", "what"),
    [
        ("recipe", {"epochs": 9}, "recipe epochs is 9, and 10 in"),
        ("recipe", {"lr": 0.3}, "recipe lr is 0.3, and 0.1 in"),
        ("scenario", {"images": 200}, "scenario images is 200, and 100 in"),
        ("evaluation", {"split": "train"}, "evaluation split is train, and test in"),
        ("dataset", {"identity": "mine"}, "dataset identity is mine, and "),
    ],
)
def test_a_cell_with_a_key_of_its_own_is_not_of_its_protocol(results: Path, part: str, values: Data, what: str) -> None:
    recast(results, keys(results, "kd")[0], in_document(part, **values))
    (found,) = of_peers(results)
    assert found.kind is Kind.EDITED
    assert what in found.what
    assert found.what.startswith("kd conv32:conv16 digits few100 seed 0: ")


def test_cells_that_depart_alike_are_one_line(results: Path) -> None:
    for key in keys(results, "kd"):
        recast(results, key, in_document("recipe", lr=0.3))
    (found,) = of_peers(results)
    assert "seed 0 and 1 more of its protocol: recipe lr is 0.3, and 0.1 in 4 others" in found.what


@pytest.mark.parametrize(("field", "value"), [("scenario", "few20"), ("dataset_name", "other")])
def test_names_that_tables_show_are_those_of_the_protocol(results: Path, field: str, value: str) -> None:
    def rename(cell: Data) -> None:
        if field == "scenario":
            cell["scenario"] = value
        else:
            cell["dataset"] = cell["document"]["dataset"]["name"] = value

    recast(results, keys(results, "kd")[0], rename)
    assert any(f"is {value}, and " in found.what and found.kind is Kind.EDITED for found in of_peers(results))


def test_another_network_or_teacher_under_the_same_name_is_a_doubt(results: Path) -> None:
    recast(results, keys(results, "kd")[0], in_document("student", plugin={"digest": "edited"}))
    (found,) = of_peers(results)
    assert (found.kind, "student plugin" in found.what) == (Kind.DOUBT, True)


def test_one_competitor_with_two_sets_of_parameters_is_a_doubt(results: Path) -> None:
    def hotter(cell: Data) -> None:
        cell["parameters"]["temperature"] = cell["document"]["method"]["parameters"]["temperature"] = 7.0

    recast(results, keys(results, "kd")[0], hotter)
    (found,) = of_peers(results)
    assert found.kind is Kind.DOUBT
    assert "temperature is 4.0, and 7.0 in 1 other of protocol" in found.what


def test_a_student_is_no_step_that_nobody_requires(results: Path) -> None:
    recast(results, keys(results, "vanilla")[0], lambda cell: cell.update(role="step"))
    (found,) = [each for each in of_peers(results) if each.is_wrong]
    assert found.what == "step vanilla conv16 digits few100 seed 0 is a step, and no cell requires it"


def test_a_student_without_teachers_is_no_spread(results: Path) -> None:
    recast(results, keys(results, "vanilla")[0], lambda cell: cell.update(role="spread", teacher_seed=3))
    (found,) = [each for each in of_peers(results) if each.is_wrong]
    label = "spread vanilla conv16 digits few100 seed 0, teacher seed 3"
    assert found.what == f"{label} is a spread, and no teacher of its varies"


def drop(path: Path, dropped: list[str]) -> None:
    for key in dropped:
        shutil.rmtree(path / "cells" / key)
    (plan,) = (path / "plans").iterdir()
    reseal(plan, lambda d: d.update(cells=[e for e in d["cells"] if e["cell"]["key"] not in dropped]))


def test_a_seed_that_one_method_was_not_asked_for_is_a_doubt(results: Path) -> None:
    drop(results, [keys(results, "kd")[1]])
    (found,) = of_peers(results)
    what = "seeds that others of digits few100 standard default conv16 have were not asked for: kd 1"
    assert found == Finding(Kind.DOUBT, "plans", what)


def test_a_seed_left_out_between_others_is_a_doubt(results: Path) -> None:
    def double(cell: Data) -> None:
        cell["seed"] = cell["document"]["seed"] = 2 * cell["seed"]

    for method in ("vanilla", "kd", "byot"):
        for key in keys(results, method):
            recast(results, key, double)
    what = "no method of digits few100 standard default conv16 was asked for seed 1, which lies between others"
    assert [found.what for found in of_peers(results) if "between" in found.what] == [what]
