"""Pairs as they are written."""

from __future__ import annotations

import pytest

from kdharness.api import Pair
from kdharness.protocol.pair import parse_pair


@pytest.mark.parametrize(
    ("text", "pair", "shown"),
    [
        ("a:b", Pair(("a",), "b"), "a:b"),
        (" a : b ", Pair(("a",), "b"), "a:b"),
        ("a + b+a:c", Pair(("a", "b", "a"), "c"), "a+b+a:c"),
    ],
)
def test_pairs(text: str, pair: Pair, shown: str) -> None:
    assert parse_pair(text) == pair
    assert str(pair) == shown
    assert parse_pair(shown) == pair
    assert parse_pair(pair) is pair


@pytest.mark.parametrize("text", ["", "a", ":b", "a:", "a:b:c", " : ", None, 3])
def test_what_is_no_pair(text: object) -> None:
    with pytest.raises(ValueError, match="is not of the form teacher:student or teacher1\\+teacher2:student"):
        parse_pair(text)
