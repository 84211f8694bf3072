"""Numbers as people write them."""

from __future__ import annotations

import math

import pytest

from kdharness.results.numerals import meant_by, number_of


@pytest.mark.parametrize(
    ("text", "number"), [("90", 90.0), ("-0.5", -0.5), ("1e-05", 1e-05), (".5", 0.5), ("5.", 5.0), ("inf", math.inf)]
)
def test_numbers(text: str, number: float) -> None:
    assert number_of(text) == number
    assert meant_by(text) == ""


@pytest.mark.parametrize("text", ["", "nan", "1_0", "٣", "0x10", " 5", "5 ", "1,5", "--1", "1e", "infinity", "True"])
def test_what_is_none(text: str) -> None:
    assert number_of(text) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1,5", "1.5"),
        ("-1,55555", "-1.55555"),
        ("1,234", "1.234 or 1234"),
        ("1,234,567", "1234567"),
        ("1 234 567", "1234567"),
        ("1'234", "1234"),
        ("12\u202f345", "12345"),
        ("91.5 %", "91.5"),
        (" 91.5", "91.5"),
    ],
)
def test_what_may_have_been_meant(text: str, meant: str) -> None:
    assert number_of(text) is None
    assert meant_by(text) == f"; did you mean {meant}?"


@pytest.mark.parametrize("text", ["many", "1,2,3", "1,234 567", "nan %", "٣"])
def test_what_nobody_can_know(text: str) -> None:
    assert meant_by(text) == ""
