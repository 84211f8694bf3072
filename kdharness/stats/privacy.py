"""Private data: what a method's accounting promises, and what an attack finds all the same.

Any method takes part by measuring `epsilon` and `delta`, or `epsilon_infinite` where it protects nothing, and
`releases`; the attack's advantages are the metrics mia_advantage and teacher_mia_advantage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from kdharness.stats.settings import COMPETITOR, SETTING, comparable, competitor_of, deviations_of, names_of
from kdharness.stats.summary import Estimate, estimate

ATTACKED = "x_mia_advantage"


@dataclass(frozen=True)
class Exposure:
    """What is known of one competitor.

    name: the method, with its variant.
    top1: over the seeds, in percent.
    epsilon: the privacy budget; NaN without one.
    delta: of that budget.
    releases: how many noisy releases were made.
    infinite: whether its mechanism protects nothing.
    student_leak: advantage of the attack on the student, in points.
    teacher_leak: likewise, on its teacher.
    """

    name: str
    top1: Estimate
    epsilon: float
    delta: float
    releases: float
    infinite: bool
    student_leak: Estimate
    teacher_leak: Estimate


@dataclass(frozen=True)
class SettingPrivacy:
    """The competitors of one setting (names: its columns), in the order of their top-1."""

    names: Mapping[str, str]
    deviations: str
    exposures: tuple[Exposure, ...]


def privacy_of(frame: pd.DataFrame) -> tuple[SettingPrivacy, ...]:
    """One for each setting in which some student was attacked; what follows its benchmark comes first."""
    if ATTACKED not in frame:
        return ()
    rows = comparable(frame)[0]
    rows = rows[(rows["status"] == "ok") & rows[ATTACKED].notna()]
    found = []
    for key, setting in rows.groupby(list(SETTING)):
        each = [
            _exposure(str(method), str(variant), cells)
            for (method, variant), cells in setting.groupby(list(COMPETITOR))
        ]
        ordered = tuple(sorted(each, key=lambda exposure: (-exposure.top1.mean, exposure.name)))
        found.append(SettingPrivacy(names_of(key), deviations_of(setting), ordered))
    return tuple(sorted(found, key=lambda privacy: bool(privacy.deviations)))


def _exposure(method: str, variant: str, cells: pd.DataFrame) -> Exposure:
    def mean(number: str) -> float:
        name = f"x_{method}_{number}"
        return float(pd.to_numeric(cells[name], errors="coerce").mean()) if name in cells else math.nan

    def leak(name: str) -> Estimate:
        return estimate([100 * float(v) for v in cells[name].dropna()] if name in cells else [])

    return Exposure(
        name=competitor_of({"method": method, "variant": variant}),
        top1=estimate([float(value) for value in cells["top1"].dropna()]),
        epsilon=mean("epsilon"),
        delta=mean("delta"),
        releases=mean("releases"),
        infinite=mean("epsilon_infinite") == 1,
        student_leak=leak(ATTACKED),
        teacher_leak=leak("x_teacher_mia_advantage"),
    )
