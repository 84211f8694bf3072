"""What of a table fits a page."""

from __future__ import annotations

import math

from kdharness.report.sections.grid import Column, Grid
from kdharness.report.tex.parts import keys_of, parts_across, rows_down
from kdharness.report.tex.widths import PAGE_WIDTH, Size, stacked, text_width


def headers(grid: Grid) -> list[list[str]]:
    return [[placed.measured.column.header for placed in part.columns] for part in parts_across(grid)]


def numbers(header: str, text: str = "92.18 ±0.24") -> Column:
    return Column(header, (text, text))


def test_widths_are_those_of_letters_rather_too_wide() -> None:
    assert text_width("0", Size.NORMAL) == 5.0
    assert text_width("iiii", Size.NORMAL) < text_width("mm", Size.NORMAL)
    assert text_width("知", Size.SCRIPT) == 8.0
    assert text_width("e\N{COMBINING ACUTE ACCENT}", Size.NORMAL) == text_width("e", Size.NORMAL)


def test_headers_are_no_wider_than_they_must() -> None:
    assert stacked(["its", "advantage"], 10.0, Size.SCRIPT) == ("its", "advantage")
    assert stacked(["its", "advantage"], 90.0, Size.SCRIPT) == ("its advantage",)


def test_what_fits_is_one_table() -> None:
    (part,) = parts_across(Grid((Column("method", ("kd", "at"), name=True), numbers("top-1"))))
    assert part.width < 100
    assert [math.isnan(placed.width) for placed in part.columns] == [True, True]


def test_columns_go_on_in_another_table_beside_the_name() -> None:
    grid = Grid((Column("#", ("1", "2")), Column("method", ("kd", "at"), name=True), *map(numbers, "abcdefgh")))
    assert headers(grid) == [["#", "method", "a", "b", "c", "d"], ["method", "e", "f", "g", "h"]]
    assert all(part.width <= PAGE_WIDTH for part in parts_across(grid))


def test_names_that_only_together_differ_stand_in_each_table() -> None:
    names = Column("method", ("kd", "", "at", ""), name=True)
    recipes = Column("recipe", ("a", "b", "a", "b"), name=True)
    other = Column("note", ("x", "y", "z", "x"), name=True)
    assert keys_of(Grid((names, recipes, other))) == (0, 1)
    assert keys_of(Grid((Column("method", ("kd", "kd"), name=True),), ((1, "no teacher"),))) == (0,)
    assert keys_of(Grid((numbers("a"),))) == ()


def test_long_texts_share_what_is_left() -> None:
    answers = Column("answer", ("undecided (about 428 more seeds)",), name=True)
    grid = Grid((answers, Column("x", ("word " * 60,), words=True)))
    (part,) = parts_across(grid)
    answer, text = part.columns
    assert math.isnan(answer.width), "what wants least is not broken"
    assert part.width <= PAGE_WIDTH + 1e-9
    assert text.lines_of("word " * 60) > 5
    assert answer.lines_of("undecided (about 428 more seeds)") == 1


def test_rows_of_one_name_stay_together() -> None:
    grid = Grid((Column("method", ("a", "", "b", "", "c", ""), name=True),))
    assert list(rows_down(grid, 4.0, lambda row: 1.0)) == [range(4), range(4, 6)]
    assert list(rows_down(grid, 1.0, lambda row: 1.0)) == [range(2), range(2, 4), range(4, 6)]
    assert list(rows_down(Grid((Column("n", ()),)), 1.0, lambda row: 1.0)) == [range(0)]
