"""Private data: what a method's accounting promises, and what an attack finds all the same.

What a student spent is in the columns epsilon and delta. A method may state besides how many `releases` it made, and
`mu`, where its mechanism is Gaussian. The attack's advantages are the metrics mia_advantage and teacher_mia_advantage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from kdharness.results.budgets import Budget
from kdharness.stats.composition import Release, together
from kdharness.stats.images import image_variance, images_alone, variance_of
from kdharness.stats.settings import (
    COMPETITOR,
    SETTING,
    as_dicts,
    comparable,
    competitor_of,
    deviations_of,
    names_of,
    teacher_of,
)
from kdharness.stats.summary import Estimate, estimate

ATTACKED = "x_mia_advantage"
ATTACKED_TEACHER = "x_teacher_mia_advantage"


@dataclass(frozen=True)
class Exposure:
    """What is known of one competitor.

    name: the method, with its variant.
    top1: over the seeds, in percent.
    spent: by one student, the most that one spent; None where that is not known.
    together: by all of its students.
    releases: how many noisy releases each made.
    student_leak: advantage of the attack on the student, in points; its interval holds the sampling of images.
    teacher_leak: likewise, on its teachers, each once.
    """

    name: str
    top1: Estimate
    spent: Budget | None
    together: Budget | None
    releases: float
    student_leak: Estimate
    teacher_leak: Estimate


@dataclass(frozen=True)
class SettingPrivacy:
    """The competitors of one setting (names: its columns), in the order of their top-1.

    protected: what those spent together that have a finite budget; None where there is not more than one.
    """

    names: Mapping[str, str]
    deviations: str
    exposures: tuple[Exposure, ...]
    protected: Budget | None = None

    @property
    def unprotected(self) -> tuple[str, ...]:
        """Those that asked without protection."""
        return tuple(e.name for e in self.exposures if e.spent is not None and e.spent.epsilon == math.inf)


def privacy_of(frame: pd.DataFrame) -> tuple[SettingPrivacy, ...]:
    """One for each setting with private images, attacked or not; what follows its benchmark comes first."""
    rows = comparable(frame)[0]
    rows = rows[(rows["status"] == "ok") & rows["epsilon"].notna()]
    found = []
    for key, setting in rows.groupby(list(SETTING)):
        each = [
            _exposure(str(method), str(variant), cells)
            for (method, variant), cells in setting.groupby(list(COMPETITOR))
        ]
        ordered = tuple(sorted(each, key=lambda exposure: (-exposure.top1.mean, exposure.name)))
        found.append(SettingPrivacy(names_of(key), deviations_of(setting), ordered, _protected(setting)))
    return tuple(sorted(found, key=lambda privacy: bool(privacy.deviations)))


def _protected(setting: pd.DataFrame) -> Budget | None:
    """Of all students of a setting that were protected: they learned from the same images."""
    spent = setting[(setting["epsilon"] > 0) & (setting["epsilon"] < math.inf)]
    return budget_of_all(spent) if len(spent[list(COMPETITOR)].drop_duplicates()) > 1 else None


def budget_of_all(cells: pd.DataFrame) -> Budget | None:
    """What several students spent together; None where one's is not known.

    All are taken to be about the same images: true of one teacher's students, and of several teachers that saw the same
    images. Where each seed has a split of its own, it is so for the images that are private for all of them.
    """
    budgets = [_release(row) for row in as_dicts(cells)]
    return None if not budgets or any(math.isnan(b.budget.epsilon) for b in budgets) else together(budgets)


def _release(row: Mapping[str, Any]) -> Release:
    mu = row.get(f"x_{row['method']}_mu")
    return Release(Budget(float(row["epsilon"]), float(row["delta"])), mu if isinstance(mu, float) else math.nan)


def most_spent(cells: pd.DataFrame) -> Budget | None:
    """By one student: the most of them; None where no one's is known."""
    known = [_release(row).budget for row in as_dicts(cells[cells["epsilon"].notna()])]
    return max(known, key=lambda budget: budget.epsilon, default=None)


def _exposure(method: str, variant: str, cells: pd.DataFrame) -> Exposure:
    releases = f"x_{method}_releases"

    return Exposure(
        name=competitor_of({"method": method, "variant": variant}),
        top1=estimate([float(value) for value in cells["top1"].dropna()]),
        spent=most_spent(cells),
        together=budget_of_all(cells),
        releases=float(pd.to_numeric(cells[releases], errors="coerce").mean()) if releases in cells else math.nan,
        student_leak=_leak(ATTACKED, cells),
        teacher_leak=_leak(ATTACKED_TEACHER, cells.assign(_teacher=teacher_of(cells)).drop_duplicates("_teacher")),
    )


def _leak(name: str, cells: pd.DataFrame) -> Estimate:
    """In points, over the rows that have it; of a single row the interval over images alone."""
    if name not in cells:
        return estimate([])
    known = cells[cells[name].notna()]
    values = [100 * float(value) for value in known[name]]
    ends = [f"{name}_{end}" for end in ("low", "high")]
    if not values or not all(end in known for end in ends):
        return estimate(values)
    variances = [variance_of(100 * low, 100 * high) for low, high in known[ends].astype(float).itertuples(index=False)]
    if len(values) == 1:
        return images_alone(values[0], variances[0])
    return estimate(values, image_variance(variances, str(known["seeding"].iloc[0])))
