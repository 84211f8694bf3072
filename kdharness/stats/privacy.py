"""Private data: what a method's accounting promises, and what an attack finds all the same.

Any method takes part by measuring `epsilon` and `delta`, or `epsilon_infinite` where it protects nothing,
`noise_public` where who knows the seed knows its noise, and `releases`; the attack's advantages are the metrics
mia_advantage and teacher_mia_advantage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from kdharness.stats.images import image_variance, images_alone, variance_of
from kdharness.stats.settings import (
    COMPETITOR,
    SETTING,
    comparable,
    competitor_of,
    deviations_of,
    names_of,
    teacher_of,
)
from kdharness.stats.summary import Estimate, estimate

ATTACKED = "x_mia_advantage"
ATTACKED_TEACHER = "x_teacher_mia_advantage"
UNKNOWN = "?"


@dataclass(frozen=True)
class Exposure:
    """What is known of one competitor.

    name: the method, with its variant.
    top1: over the seeds, in percent.
    epsilon: the privacy budget spent on the private images: 0 where nobody who saw them was asked, infinite where
        somebody was without a private mechanism.
    delta: of a finite budget; NaN without one.
    releases: how many noisy releases were made.
    student_leak: advantage of the attack on the student, in points; its interval holds the sampling of images.
    teacher_leak: likewise, on its teachers, each once.
    """

    name: str
    top1: Estimate
    epsilon: float
    delta: float
    releases: float
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
    lineage = Lineage.of(frame)
    found = []
    for key, setting in rows.groupby(list(SETTING)):
        each = [
            _exposure(str(method), str(variant), cells, lineage)
            for (method, variant), cells in setting.groupby(list(COMPETITOR))
        ]
        ordered = tuple(sorted(each, key=lambda exposure: (-exposure.top1.mean, exposure.name)))
        found.append(SettingPrivacy(names_of(key), deviations_of(setting), ordered))
    return tuple(sorted(found, key=lambda privacy: bool(privacy.deviations)))


def _exposure(method: str, variant: str, cells: pd.DataFrame, lineage: Lineage) -> Exposure:
    def most(number: str) -> float:
        name = f"x_{method}_{number}"
        return float(pd.to_numeric(cells[name], errors="coerce").max()) if name in cells else math.nan

    epsilon = math.inf if most("epsilon_infinite") > 0 or most("noise_public") > 0 else most("epsilon")
    if math.isnan(epsilon):  # nothing is accounted for: it has asked, or it has not
        asked = most("epsilon_infinite") != 0 and any(map(lineage.asked_private, cells["cell"]))
        epsilon = math.inf if asked else 0.0
    return Exposure(
        name=competitor_of({"method": method, "variant": variant}),
        top1=estimate([float(value) for value in cells["top1"].dropna()]),
        epsilon=epsilon,
        delta=most("delta") if 0 < epsilon < math.inf else math.nan,
        releases=most("releases"),
        student_leak=_leak(ATTACKED, cells),
        teacher_leak=_leak(ATTACKED_TEACHER, cells.assign(_teacher=teacher_of(cells)).drop_duplicates("_teacher")),
    )


@dataclass(frozen=True)
class Lineage:
    """What cells rest on.

    images: by cell, how many its training data has.
    sources: by cell, the keys of those that taught it or that it began with; UNKNOWN for a teacher from a file.
    """

    images: Mapping[str, float]
    sources: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Lineage:
        counts = frame["x_train_images"] if "x_train_images" in frame else pd.Series(math.nan, index=frame.index)
        texts = frame["teacher_cell"] + "+" + frame["source_cells"]
        texts = texts.where((frame["teacher"] == "") | (texts != "+"), UNKNOWN)
        each = zip(frame["cell"], texts.str.split("+"), strict=True)
        sources = {cell: frozenset(keys) - {""} for cell, keys in each}
        return cls(dict(zip(frame["cell"], counts.astype(float), strict=True)), sources)

    def asked_private(self, cell: str) -> bool:
        """Whether a student's numbers rest on a network that saw more images than the student may see. One of which
        that is not known counts as having seen them.
        """
        public = self.images.get(cell, math.nan)
        return not all(self.images.get(key, math.inf) <= public for key in self._behind(cell))

    def _behind(self, cell: str) -> set[str]:
        """All cells that it rests on, through however many steps."""
        found: set[str] = set()
        waiting = [cell]
        while waiting:
            new = self.sources.get(waiting.pop(), frozenset()) - found
            found |= new
            waiting += new
        return found


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
