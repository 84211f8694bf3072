"""Recipes side by side: each method's gains over each recipe's own references."""

from __future__ import annotations

from pathlib import Path

import fabricate
import pytest

from kdharness.report.document import sections
from kdharness.report.sections.recipes import recipes_grid
from kdharness.report.sections.section import SectionKind
from kdharness.report.terminal import as_text
from kdharness.report.view import report_of
from kdharness.results.record import Record
from kdharness.stats.rankings import rankings
from kdharness.stats.recipes import recipes_beside

REFERENCES = ("vanilla", "kd")
UNDER: dict[str, dict[str, list[float | None]]] = {
    "standard": {"vanilla": [80, 81, 82], "kd": [82, 83, 84], "at": [83, 85, 84]},
    "modern": {"vanilla": [90, 91, 92], "kd": [90, 92, 91], "at": [91, 91, 91], "late": [93, 94, 95]},
}


def records(**changes: str) -> list[Record]:
    return [
        record
        for name, scores in UNDER.items()
        for record in fabricate.records_of(scores, recipe_name=name, protocol=f"p-{name}", **changes)
    ]


def test_gains_are_over_each_recipes_own_references() -> None:
    (beside,) = recipes_beside(rankings(fabricate.table_of(records()), REFERENCES))
    grid = recipes_grid(beside)
    assert [c.header for c in grid.columns] == ["method", "recipe", "top-1 ±sd", "vs vanilla", "vs kd"]
    found, method = {}, ""
    for row in grid.rows:
        method = row[0] or method
        found[method, row[1]] = dict(zip([c.header for c in grid.columns], row, strict=True))
    assert list(found)[:2] == [("at", "standard"), ("at", "modern")]
    assert found["at", "standard"]["vs vanilla"].startswith("+3.00 ±")
    assert found["at", "modern"]["vs vanilla"].lstrip("+-").startswith("0.00 ±")
    assert found["at", "standard"]["vs kd"].startswith("+1.00 ±")
    assert ("late", "standard") not in found
    assert found["late", "modern"]["vs kd"].startswith("+3.00 ±")
    assert grid.fit(80).columns == grid.columns


def test_one_recipe_is_not_compared() -> None:
    frame = fabricate.table_of(fabricate.records_of(UNDER["standard"]))
    assert recipes_beside(rankings(frame, REFERENCES)) == ()


def test_protocols_that_nobody_can_match_are_not_compared() -> None:
    more = fabricate.records_of(UNDER["modern"], recipe_name="modern", protocol="another")
    frame = fabricate.table_of([*records(), *more])
    assert recipes_beside(rankings(frame, REFERENCES)) == ()


def test_what_deviates_is_compared_with_what_deviates_alike() -> None:
    frame = fabricate.table_of([*records(), *records(deviations="recipe.lr=1")])
    found = recipes_beside(rankings(frame, REFERENCES))
    assert [beside.deviations for beside in found] == ["", "recipe.lr=1"]


def test_the_report_has_the_section_and_names_the_recipe(tmp_path: Path) -> None:
    each = records()
    report = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in each], each).load())
    kinds = [section.kind for section in sections(report)]
    assert kinds == [SectionKind.RANKING, SectionKind.RANKING, SectionKind.RECIPES]
    titles = [section.title for section in sections(report)]
    assert titles[-1].endswith("under 2 recipes")
    assert any("recipe modern" in title for title in titles)
    assert not any("recipe standard" in title for title in titles)
    assert "over 3 student seeds, one teacher" in as_text([report], 200)


def test_no_number_crosses_recipes() -> None:
    frame = fabricate.table_of(records())
    for ranking in rankings(frame, REFERENCES):
        own = UNDER[ranking.names["recipe"]]
        means = dict(zip(ranking.board["method"], ranking.board["top1_mean"], strict=True))
        assert means == {m: pytest.approx(sum(v) / 3) for m, v in own.items()}  # type: ignore[arg-type]
