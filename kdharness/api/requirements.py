"""What a method tells the plan: for which pair it is asked, and which cells must be done first. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Pair:
    """The models that meet in a cell. As text: "teacher1+teacher2:student".

    teachers: names of the teacher models.
    student: name of the student model.
    """

    teachers: tuple[str, ...]
    student: str

    def __str__(self) -> str:
        return f"{'+'.join(self.teachers)}:{self.student}"


@dataclass(frozen=True)
class Requirement:
    """A cell that must be done first. Its trained network becomes a teacher of the cell that requires it, or its start.

    However a cell is answered, it stands in the table of the pair that was asked, and is measured against that pair's
    teachers.

    model: the network that it trains.
    method: how it is trained; on labels alone by default.
    parameters: of that method, where they are not to be the benchmark's.
    teachers: the cells that it requires itself.
    subset: the training data it sees; "teacher" is what the scenario gives to teachers, "private[3/10]" the third of
        ten disjoint parts of its private images.
    same_seed: whether it has the seed of the cell that requires it, rather than the teachers' own.
    role: "teacher", trained by the teachers' recipe, or "student" for a student run of its own (an earlier generation,
        an assistant). That one is a step: no table ranks it, unless it is asked for by name too.
    warm_start: its weights are what the student starts from, and it does not teach. One at most.
    """

    model: str
    method: str = "vanilla"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    teachers: tuple[Requirement, ...] = ()
    subset: str = "teacher"
    same_seed: bool = False
    role: Literal["teacher", "student"] = "teacher"
    warm_start: bool = False
