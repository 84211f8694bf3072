"""Training data that a method declares: parts of the private images, and what its student is trained on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kdharness.errors import UserError
from kdharness.testing import Lab

PLUGIN = """
from kdharness.api import Method, MethodSpec, Reads, Requirement, hookimpl

class Parted(Method):
    name = "parted"
    reads = Reads(teachers="many")
    part: str = "private[2/3]"

    def requires(self, pair):
        return [Requirement(name, subset=self.part) for name in pair.teachers]

    def losses(self, batch, student, teacher):
        return {"ce": batch.task_loss(student.logits)}

class Seeing(Method):
    name = "seeing"
    reads = Reads(teachers="none")
    sees: str = "teacher"

    @property
    def trains_on(self):
        return self.sees

    def losses(self, batch, student, teacher):
        return {"ce": batch.task_loss(student.logits)}

class After(Parted):
    name = "after"

    def requires(self, pair):
        return [Requirement(pair.student, method="dp_sgd", subset="train", role="student")]

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(each) for each in (Parted, Seeing, After)]
"""


@pytest.fixture
def lab(make_lab: Any, tmp_path: Path) -> Lab:
    (tmp_path / "parted.py").write_text(PLUGIN)
    made: Lab = make_lab(plugin_files=(tmp_path / "parted.py",))
    return made


def cells(lab: Lab, method: str, scenario: str, *settings: str) -> dict[str, Any]:
    plan = lab.plan(methods=(method,), scenarios=(scenario,), settings=settings)
    return {planned.cell.role: planned for planned in plan.cells}


def test_a_teacher_of_a_part(lab: Lab) -> None:
    teacher = cells(lab, "parted", "split80")["teacher"].cell
    assert teacher.document["subset"] == "private[2/3]"
    assert teacher.label == "teacher vanilla conv32 digits split80 private[2/3] seed 0"
    assert (teacher.saw_private, teacher.unprotected, teacher.sheltered, teacher.accounted) == (True, True, True, False)


@pytest.mark.parametrize("scenario", ["clean", "few100"])
def test_no_image_is_private(lab: Lab, scenario: str) -> None:
    found = cells(lab, "parted", scenario)
    assert f"scenario '{scenario}' keeps none private" in found["student"].skip
    assert "teacher" not in found


@pytest.mark.parametrize(("setting", "reason"), [
    ("parted.part=private[2/101]", "101 parts of 2 images or more, and scenario 'split80' keeps 200 private"),
    ("parted.part=private[4/3]", "unknown subset 'private[4/3]' (in scenario 'split80')"),
    ("parted.part=private", "unknown subset 'private' (in scenario 'split80')"),
    ("seeing.sees=private", "unknown subset 'private' (in scenario 'split80')"),
])  # fmt: skip
def test_data_that_there_are_not(lab: Lab, setting: str, reason: str) -> None:
    """Asked for by a command, it ends the command."""
    with pytest.raises(UserError, match=re.escape(reason)):
        cells(lab, setting.partition(".")[0], "split80", setting)


def test_what_a_student_is_trained_on(lab: Lab) -> None:
    split = cells(lab, "seeing", "split80")["student"].cell
    assert split.document["subset"] == "teacher"
    assert (split.saw_private, split.accounted, split.unprotected, split.sheltered) == (True, True, False, True)
    few = cells(lab, "seeing", "few100")["student"].cell
    assert few.document["subset"] == "teacher"
    assert (few.saw_private, few.accounted, few.sheltered) == (False, False, False)
    assert lab.train([few])[few.key].values["x_train_images"] == 1000
    plain = cells(lab, "seeing", "split80", "seeing.sees=train")["student"].cell
    assert (plain.saw_private, plain.accounted) == (False, False)


def test_who_learns_from_such_a_student(lab: Lab) -> None:
    found = cells(lab, "after", "split80")
    assert (found["step"].cell.document["subset"], found["step"].cell.accounted) == ("teacher", True)
    assert not found["student"].cell.sheltered
    reason = cells(lab, "after", "clean")["step"].skip
    assert reason == "trains on private images, and the scenario keeps none"
