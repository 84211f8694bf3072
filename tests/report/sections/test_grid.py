"""Numbers as text, and tables that fit a place."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from kdharness.report.sections.grid import (
    COST,
    GAIN,
    MEMORY,
    Column,
    Grid,
    count_text,
    p_text,
    undecided_text,
    with_error,
)

NAN = math.nan


@pytest.mark.parametrize(
    ("value", "error", "sign", "text"),
    [
        (91.154, 0.206, "", "91.15 ±0.21"),
        (91.156, 0.204, "", "91.16 ±0.20"),
        (99.999, 9.999, "", "100.00 ±10.00"),
        (2.956, 0.138, "+", "+2.96 ±0.14"),
        (-0.004, 0.0, "+", "-0.00 ±0.00"),
        (0.0, 0.004, "+", "+0.00 ±0.00"),
        (5.0, NAN, "", "5.00"),
    ],
)
def test_two_digits_each(value: float, error: float, sign: str, text: str) -> None:
    assert with_error([value], [error], sign) == (text,)


def test_points_stand_below_each_other() -> None:
    texts = with_error([91.2, 100.0, 5.0, 7.0], [0.2, 12.5, NAN, 3.0])
    assert texts == ("91.20  ±0.20", "100.00 ±12.50", "5.00       ", "7.00  ±3.00")
    right = [text.rjust(13) for text in texts]
    assert {text.index(".") for text in right} == {3}
    assert {text.rindex(".") for text in right if "±" in text} == {10}


def test_where_there_is_no_value_there_is_nothing() -> None:
    assert with_error([NAN, 1.0], [0.2, 0.3]) == ("", "1.00 ±0.30")
    assert with_error([NAN, 1.0], [NAN, NAN], "+") == ("", "+1.00")
    assert with_error([pd.NA], [pd.NA]) == ("",)  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("p", "text"), [(NAN, ""), (0.0005, "<0.001"), (0.001, "0.001"), (0.0625, "0.062"), (1.0, "1.000")]
)
def test_p(p: float, text: str) -> None:
    assert p_text(p) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(NAN, ""), (999, "999"), (1000, "1 k"), (5494, "5.49 k"), (1.648e6, "1.65 M"), (2.5e9, "2.5 G")],
)
def test_counts(number: float, text: str) -> None:
    assert count_text(number) == text


@pytest.mark.parametrize(
    ("answer", "more", "text"),
    [
        ("undecided", 4, "undecided (about 4 more seeds)"),
        ("undecided", 1, "undecided (about 1 more seed)"),
        ("undecided", pd.NA, "undecided (over 1000 more seeds)"),
        ("undecided", None, "undecided (over 1000 more seeds)"),
        ("holds", pd.NA, "holds"),
        ("", 3, ""),
    ],
)
def test_undecided_says_how_many_more(answer: str, more: object, text: str) -> None:
    assert undecided_text(answer, more) == text


GRID = Grid(
    (
        Column("method", ("a" * 20,), name=True),
        Column("top-1", ("91.20",)),
        Column("vs kd", ("+1.00",), dropped=GAIN),
        Column("train s", ("12",), dropped=COST),
        Column("MiB", ("64",), dropped=MEMORY),
    ),
    groups=((0, "no teacher"),),
)


@pytest.mark.parametrize(
    ("width", "kept"),
    [
        (48, ["method", "top-1", "vs kd", "train s", "MiB"]),  # 20 + 5 + 5 + 7 + 3 and four gaps of 2
        (47, ["method", "top-1", "vs kd", "train s"]),
        (42, ["method", "top-1", "vs kd"]),
        (26, ["method", "top-1", "vs kd"]),  # the name folds to 12
        (25, ["method", "top-1"]),
        (5, ["method", "top-1"]),
    ],
)
def test_narrow_places_do_without_cost_first(width: int, kept: list[str]) -> None:
    fitted = GRID.fit(width)
    assert [column.header for column in fitted.columns] == kept
    assert fitted.groups == GRID.groups
