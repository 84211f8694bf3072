"""What is wrong with a row of somebody's results.csv by itself: types, ranges, and what its status asks for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from kdharness.planning.cell import SPREAD, STEP, STUDENT, TEACHER
from kdharness.planning.shapes import LARGEST
from kdharness.protocol.track import TRACKS
from kdharness.results.numerals import meant_by, number_of
from kdharness.results.record import ENDLESS_COLUMNS, FLOAT_COLUMNS, INTEGER_COLUMNS, Status
from kdharness.results.rows import UNREADABLE
from kdharness.text import plain

ROLES = (STUDENT, TEACHER, STEP, SPREAD)
STATUSES = (*(status.value for status in Status), UNREADABLE)
# By column, all that it may say.
WORDS = (
    ("role", ROLES), ("status", STATUSES), ("selection", ("last", "validation")), ("track", TRACKS["both"]),
)  # fmt: skip
PERCENT = (0.0, 100.0)
SHARE = (0.0, 1.0)
# Of the other numbers only that they are not negative is known.
RANGES = {
    **dict.fromkeys(
        ("top1", "top5", "top1_last10", "top1_test_oracle", "val_top1", "teacher_top1", "teacher_agreement"), PERCENT
    ),
    "ece": SHARE,
    "delta": SHARE,
}
NOT_NEGATIVE = (0.0, math.inf)
# What a cell that is ok has measured, whatever it is.
MEASURED = ("selection", "top1", "epochs", "fingerprint", "kdharness_version", "torch_version", "finished_at")
ALWAYS = (
    "benchmark", "protocol", "dataset", "scenario", "seeding", "role", "method", "method_package", "method_revision",
    "parameters", "student", "seed", "status", "cell",
)  # fmt: skip
# Of these a row stands in a track.
IN_TRACKS = (STUDENT, SPREAD)
KEY = re.compile(r"[0-9a-f]{20}")


def text_of(row: Mapping[str, Any], name: str) -> str:
    """A value as results.csv shows it; "" for none."""
    value = row.get(name)
    return "" if value is None or value != value else str(value)


def label_of(row: Mapping[str, Any]) -> str:
    """For people: 'cell 1a2b… (kd[temperature=2] conv32:conv16 digits clean seed 3)'."""
    names = {name: text_of(row, name) for name in ("method", "variant", "teacher", "student", "dataset", "scenario")}
    method = f"{names['method']}[{names['variant']}]" if names["variant"] else names["method"]
    pair = f"{names['teacher']}:{names['student']}" if names["teacher"] else names["student"]
    where = f"{method} {pair} {names['dataset']} {names['scenario']} seed {text_of(row, 'seed')}"
    return plain(f"cell {text_of(row, 'cell')} ({where})")


def faults_of_row(row: Mapping[str, Any]) -> Iterator[str]:
    """One line each; none for a row that can be."""
    yield from (f"'{name}' is empty" for name in ALWAYS if not text_of(row, name))
    if text_of(row, "role") in IN_TRACKS and not text_of(row, "track"):
        yield "'track' is empty"
    for name, known in WORDS:
        if (given := text_of(row, name)) and given not in known:
            yield f"{name} '{given}' is none of {', '.join(known)}"
    for name, is_sound, wanted in FORMS:
        if (given := text_of(row, name)) and not is_sound(given):
            yield f"{name} '{given:.40}' is no {wanted}"
    numbers = [*((name, False) for name in FLOAT_COLUMNS), *((name, True) for name in INTEGER_COLUMNS)]
    for name, whole in numbers:
        yield from _faults_of_number(name, text_of(row, name), whole)
    status = text_of(row, "status")
    is_ok = status == Status.OK
    lacking = [name for name in MEASURED if is_ok and not text_of(row, name)]
    yield from (f"it is ok, and '{name}' is empty" for name in lacking)
    if status in STATUSES and not is_ok and text_of(row, "top1"):
        yield f"it has a top1, and is '{status}'"


def _faults_of_number(name: str, text: str, whole: bool) -> Iterator[str]:
    if not text:
        return
    number = number_of(text)
    low, high = RANGES.get(name, NOT_NEGATIVE)
    if number is None or (math.isinf(number) and name not in ENDLESS_COLUMNS):
        yield f"{name} '{text:.40}' is no number{meant_by(text)}"
    elif whole and not number.is_integer():
        yield f"{name} {text} is no whole number"
    elif whole and number > LARGEST:
        yield f"{name} {text} is too large"
    elif not low <= number <= high:
        yield f"{name} {text} is not " + (f"between {low:g} and {high:g}" if high < math.inf else "0 or more")


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text) is not None
    except ValueError:
        return False


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


# By column: whether a text is of its form, and what that is called.
FORMS: tuple[tuple[str, Callable[[str], bool], str], ...] = (
    ("cell", lambda text: KEY.fullmatch(text) is not None, "key of 20 hexadecimal digits"),
    ("parameters", _is_object, "JSON object"),
    ("started_at", _is_time, "time in ISO 8601"),
    ("finished_at", _is_time, "time in ISO 8601"),
)
