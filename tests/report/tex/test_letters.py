"""Names as LaTeX."""

from __future__ import annotations

import pytest

from kdharness.report.tex.letters import breakable, escape, head_for, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-0.36 to -1", "$-$0.36 to $-$1"),
        ("1-3 a-b kd[a=-1]", "1-3 a-b kd[a=-1]"),
        ("e\N{COMBINING ACUTE ACCENT}tude", "étude"),
        ("a--b", "a-{}-b"),
    ],
)
def test_minus_signs_and_accents(text: str, expected: str) -> None:
    assert escape(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("kd vs vanilla", "kd vs vanilla"),
        ("a claim of kd[temperature=1,without=ce]", r"a claim of kd[|temperature=|1,|without=|ce]"),
        ("a" * 30, f"{'a' * 12}|{'a' * 12}|{'a' * 6}"),
        ("知识kd法", "知|识|kd|法"),
        ("étude", "étude"),
    ],
)
def test_long_words_may_be_broken(text: str, expected: str) -> None:
    assert breakable(text).replace(r"\allowbreak{}", "|") == expected


def test_sentences_end_once() -> None:
    assert sentences(["Do they hold?", "", "tiny", "So be it."]) == "Do they hold? tiny. So be it."


def test_latin_letters_need_nothing() -> None:
    assert head_for("é ÿ e\N{COMBINING ACUTE ACCENT} 5 %") == ""


def test_other_letters_are_named_with_what_sets_them() -> None:
    head = head_for("知 λ λ א \N{PARTY POPPER}")
    names = "(Greek, Hebrew, CJK, other signs): λ א 知 \N{PARTY POPPER}"
    assert head.startswith(f"% Names hold letters beyond Latin {names}\n")
    assert r'\directlua{luaotfload.add_fallback("names", {"DejaVu Sans:", "Noto Serif CJK SC:"})}' in head
    assert head.count("\n\\letter{") == 4
    assert "\n\\letter{知}{77E5}\n" in head
    assert head.count("{") == head.count("}")


def test_many_letters_are_not_all_listed() -> None:
    head = head_for("".join(map(chr, range(0x4E00, 0x4E00 + 45))))
    assert head.splitlines()[0].endswith(f"{chr(0x4E00 + 39)} and 5 more")
    assert head.count("\n\\letter{") == 45
