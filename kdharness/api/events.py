"""What the event hooks are told of a run and its cells."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunInfo:
    """A run as event hooks see it.

    benchmark: the benchmark's name.
    folder: its results folder, absolute; what a logger writes belongs in `logs/` of it.
    cells: how many are planned.
    command: the arguments that the plan was made from.
    """

    benchmark: str
    folder: Path
    cells: int
    command: tuple[str, ...] = ()


@dataclass(frozen=True)
class CellInfo:
    """A cell as event hooks see it.

    key: its identity, which results.csv calls `cell`; the rest are columns of the same names.
    benchmark: the benchmark's name.
    dataset: the dataset's name.
    scenario: what is done to the data.
    role: "student", "teacher" or "step".
    method: the method's name.
    variant: parameters that are not the benchmark's own; '' for none.
    teacher: names of the teacher models, joined by '+'; '' without one.
    student: the model that is trained.
    seed: the cell's.
    recipe: what the benchmark calls its recipe; '' for teachers.
    track: "default" or "published", the first of those that it stands in; '' for teachers and steps.
    """

    key: str
    benchmark: str
    dataset: str
    scenario: str
    role: str
    method: str
    variant: str
    teacher: str
    student: str
    seed: int
    recipe: str = ""
    track: str = "default"
