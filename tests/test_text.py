"""Lists, seeds, moments and durations as text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table

from kdharness.text import duration, now, put, seeds_text, timestamp, words


def test_words_are_stripped_and_none_is_empty() -> None:
    assert words("kd, dkd,,at ") == ("kd", "dkd", "at")
    assert words(" , ") == ()


def test_seeds_as_text() -> None:
    assert seeds_text([5, 0, 2, 1]) == "0-2,5"
    assert seeds_text([0, 2, 4]) == "0,2,4"
    assert seeds_text([3, 3, 4]) == "3-4"
    assert seeds_text([]) == ""


def test_a_timestamp_is_utc_and_can_be_read() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", timestamp())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", timestamp("microseconds"))
    assert abs(now() - datetime.fromisoformat(timestamp())) < timedelta(minutes=1)
    assert now().tzinfo is UTC


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (12.4, "12 s"),
        (89.4, "89 s"),
        (89.6, "2 min"),
        (600, "10 min"),
        (89.6 * 60, "1 h 30 min"),
        (12_000, "3 h 20 min"),
        (36 * 3600, "36 h 0 min"),
        (48 * 3600 - 20, "2 d 0 h"),
        (187_200, "2 d 4 h"),
        (71.8 * 3600, "3 d 0 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("terminal", "shown"), [(False, "a\nlonger b\nend\n"), (True, "a       \nlonger b\nend\n")])
def test_blanks_at_the_ends_of_lines_are_for_terminals(terminal: bool, shown: str) -> None:
    table = Table.grid()
    table.add_row("a", "")
    table.add_row("longer", " b")
    file = StringIO()
    put(Console(file=file, force_terminal=terminal, color_system=None), table, "end")
    assert file.getvalue() == shown
