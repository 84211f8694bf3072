"""A training run before it has an identity: where it stands, what it is, what its networks come from."""

from __future__ import annotations

from dataclasses import dataclass

from kdharness.api.requirements import Pair, Requirement
from kdharness.planning.cell import STUDENT, TeacherSource
from kdharness.protocol.track import DEFAULT_TRACK
from kdharness.protocol.variant import Setup


@dataclass(frozen=True)
class Setting:
    """One point of the matrix but for the method.

    dataset: its name.
    scenario: its name.
    recipe: the name of the students'.
    pair: the models.
    seed: of the student that is asked for; what leads to it may have another.
    teacher_seed: of its teachers where the rule of the run does not say it; None for what the rule says.
    """

    dataset: str
    scenario: str
    recipe: str
    pair: Pair
    seed: int
    teacher_seed: int | None = None


@dataclass(frozen=True)
class Training:
    """A training run that has no identity yet.

    method: its name.
    setup: its parameters.
    student: the model that is trained.
    teachers: names of the teachers' models.
    seed: of the run.
    role: "student", "teacher", "step" or "spread".
    subset: the training data it sees.
    requirements: the cells that come before it; None: those that the method says.
    track: the one that it stands in.
    """

    method: str
    setup: Setup
    student: str
    teachers: tuple[str, ...]
    seed: int
    role: str = STUDENT
    subset: str = "train"
    requirements: tuple[Requirement, ...] | None = None
    track: str = DEFAULT_TRACK


@dataclass(frozen=True)
class Sources:
    """What a cell's networks come from, and what they see.

    teachers: in the method's order.
    start: what the student starts from.
    networks: models of further networks that the method makes.
    optimizers: those that the method names, beside the recipe's.
    views: those that student or teachers see.
    fault: why they cannot be had; "" when they can.
    """

    teachers: tuple[TeacherSource, ...] = ()
    start: TeacherSource | None = None
    networks: tuple[str, ...] = ()
    optimizers: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    fault: str = ""
