"""Pairs as they are written: "teacher:student", or "teacher1+teacher2:student"."""

from __future__ import annotations

from kdharness.api.requirements import Pair


def parse_pair(text: object) -> Pair:
    """The pair that a text names; a pair is itself. ValueError for any other form."""
    if isinstance(text, Pair):
        return text
    left, colon, right = str(text).partition(":")
    teachers = tuple(name.strip() for name in left.split("+"))
    if not colon or not right.strip() or not all(teachers) or ":" in right:
        raise ValueError(f"'{text}' is not of the form teacher:student or teacher1+teacher2:student")
    return Pair(teachers, right.strip())
