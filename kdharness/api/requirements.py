"""What a method tells the plan: for which pair it is asked, and which cells must be done first. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Pair:
    """Names of the teacher models and of the student model. As text: "teacher1+teacher2:student"."""

    teachers: tuple[str, ...]
    student: str

    def __str__(self) -> str:
        return f"{'+'.join(self.teachers)}:{self.student}"


@dataclass(frozen=True)
class Requirement:
    """A cell that must be done first, and whose trained network becomes one of this cell's teachers, or its start.

    model: the network it trains; method, parameters, teachers: how (labels alone by default);
    subset: the training data it sees ("teacher": what the scenario gives to teachers);
    same_seed: trained with the seed of the cell that requires it, rather than with the teachers' own seed;
    role: "teacher", or "student" for a cell that is a full student run of its own (an earlier generation, an
    assistant);
    warm_start: its weights are what the student starts from, and it does not teach (one at most);
    auxiliary: it helps the method and is not what the student is measured against: no part of the column `teacher`,
        of `teacher_top1`, of the agreement with the teacher.
    """

    model: str
    method: str = "vanilla"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    teachers: tuple[Requirement, ...] = ()
    subset: str = "teacher"
    same_seed: bool = False
    role: str = "teacher"
    warm_start: bool = False
    auxiliary: bool = False
