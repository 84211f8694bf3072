"""What of a cell follows from the rest of it: its pair, the teachers it is measured against, its regime."""

from __future__ import annotations

from collections.abc import Sequence

from kdharness.api.requirements import Pair
from kdharness.planning.cell import TeacherSource
from kdharness.planning.training import Training
from kdharness.protocol.scenario import Scenario


def pair_of(training: Training, teachers: Sequence[TeacherSource]) -> Pair:
    """The pair that was asked for; without teachers where the cell rests on none of them, so that it is the same for
    every teacher.
    """
    known = {source.model for source in teachers}
    return Pair(training.teachers if known.intersection(training.teachers) else (), training.student)


def references_of(pair: Pair, teachers: Sequence[TeacherSource]) -> tuple[TeacherSource, ...]:
    """The pair's teachers among those that a cell rests on; none where one is not among them."""
    nearest = {source.model: source for source in reversed(teachers)}
    found = [nearest[name] for name in pair.teachers if name in nearest]
    return tuple(found) if len(found) == len(pair.teachers) else ()


def regime_of(own: str, scenario: Scenario, teachers: int) -> str:
    """The method's own, or what scenario and pair make of it: of private data only those know that ask a teacher."""
    if own:
        return own
    if scenario.kind == "noise":
        return "noisy_labels"
    if scenario.kind == "split" and teachers:
        return "private_data"
    return "several_teachers" if teachers > 1 else ""
