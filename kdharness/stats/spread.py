"""How much of a result is the teacher's: students of one seed under several teachers, beside those of several seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from scipy import stats

from kdharness.planning.cell import SPREAD, STUDENT
from kdharness.stats.settings import (
    COMPETITOR,
    SETTING,
    competitor_of,
    deviations_of,
    names_of,
    teacher_of,
    with_teacher_source,
)
from kdharness.stats.summary import CONFIDENCE, LEAST_FOR_INTERVAL, Estimate, estimate


@dataclass(frozen=True)
class MethodSpread:
    """Top-1 of one method's students, in percent; an estimate without values where there are no such students.

    name: the method.
    between_teachers: of one student seed under several teachers.
    between_students: of several student seeds under one teacher.
    all_anew: of several student seeds, each under a teacher of its own (and with its own draw of the data, where
        the rule draws it).
    teachers: top-1 of the several teachers.
    """

    name: str
    between_teachers: Estimate
    between_students: Estimate
    all_anew: Estimate
    teachers: Estimate


@dataclass(frozen=True)
class SettingSpread:
    """The methods of one setting (names: its columns) that were trained under several teachers.

    seed: of the students that were.
    """

    names: Mapping[str, str]
    deviations: str
    seed: int
    methods: tuple[MethodSpread, ...]


def spreads_of(frame: pd.DataFrame) -> tuple[SettingSpread, ...]:
    """One for each setting in which some student was trained under several teachers; deviating ones last."""
    ok = with_teacher_source(frame[(frame["status"] == "ok") & frame["role"].isin((STUDENT, SPREAD))])
    ok = ok[ok["top1"].notna()].assign(_teacher=teacher_of(ok))
    found = []
    for key, setting in ok.groupby(list(SETTING)):
        again = setting[setting["role"] == SPREAD]
        if len(again):
            seed = int(again["seed"].min())
            each = [
                _spread(str(method), str(variant), rows, seed)
                for (method, variant), rows in setting.groupby(list(COMPETITOR))
                if (rows["role"] == SPREAD).any()
            ]
            found.append(SettingSpread(names_of(key), deviations_of(setting), seed, tuple(each)))
    return tuple(sorted(found, key=lambda spread: bool(spread.deviations)))


def _spread(method: str, variant: str, rows: pd.DataFrame, seed: int) -> MethodSpread:
    one_seed = rows[rows["seed"] == seed].drop_duplicates("_teacher")
    students = rows[rows["role"] == STUDENT]
    behind = students["_teacher"].nunique()
    return MethodSpread(
        name=competitor_of({"method": method, "variant": variant}),
        between_teachers=_of(one_seed, "top1"),
        between_students=_of(students if behind == 1 else students[:0], "top1"),
        all_anew=_of(students if behind > 1 else students[:0], "top1"),
        teachers=_of(one_seed, "teacher_top1"),
    )


def _of(rows: pd.DataFrame, column: str) -> Estimate:
    return estimate([float(value) for value in rows[column].dropna()])


def sd_interval(found: Estimate) -> tuple[float, float]:
    """The 95 % interval of a standard deviation, for values that are normal; NaN below three."""
    if found.n < LEAST_FOR_INTERVAL:
        return math.nan, math.nan
    degrees = found.n - 1
    ends = (stats.chi2.ppf(p, degrees) for p in ((1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2))
    low, high = (found.sd * math.sqrt(degrees / end) for end in ends)
    return float(low), float(high)
