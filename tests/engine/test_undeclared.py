"""A method that reads what it did not declare is told what to declare; a subset that there is not is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kdharness.testing import Lab

PLUGIN = '''
import torch
from torch.nn import functional as F
from kdharness.api import *

def weigh(batch):
    return torch.ones(1000)[batch.indices]

class Base(Method):
    reads = Reads(teachers="none")

    def extra(self, batch, student, teacher):
        return 0.0

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets) + self.extra(batch, student, teacher)}

READS = {
    "its_indices": lambda b, s, t: b.indices.float().mean(),
    "partners": lambda b, s, t: s.model.run(b.partners).logits.mean() if b.partners.ndim else 0,
    "second_view": lambda b, s, t: s.views[1].logits.mean(),
    "second_picture": lambda b, s, t: b.views[1].mean(),
    "a_teacher": lambda b, s, teacher: teacher.logits.mean(),
    "stages": lambda b, s, t: s.stages[0].mean(),
    "own_none": lambda b, s, t: None.logits,
}

def method(name, extra):
    return type(name, (Base,), {"name": name, "extra": lambda self, b, s, t: extra(b, s, t)})

class Trian(Base):
    """Requires a teacher on a subset that there is not."""
    name = "wrong_subset"
    reads = Reads()

    def requires(self, pair):
        return [Requirement(pair.teachers[0], subset="trian")]

class Phased(Base):
    """Trains on a subset that there is not."""
    name = "wrong_phase"

    def phases(self):
        return [Phase(subset="publik")]

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(m) for m in (*(method(n, e) for n, e in READS.items()), Trian, Phased)]
'''

DECLARED = {
    "its_indices": "batch.indices is None without reads = Reads(indices=True)",
    "partners": "batch.partners is None without reads = Reads(partners='same_class')",
    "second_view": "there is no views[1]: the method declares 1, in views of its reads = Reads(views=(...))",
    "second_picture": "the method declares 1 of views (recipe) in reads = Reads(views=...)",
    "a_teacher": "teacher is None with reads = Reads(teachers='none')",
    "stages": "'stages' was not declared: add it to taps",
}


def test_what_must_be_declared_is_said(make_lab: Callable[..., Lab], tmp_path: Path) -> None:
    file = tmp_path / "reads.py"
    file.write_text(PLUGIN)
    lab = make_lab(plugin_files=(file,), metrics=())
    plan = lab.plan(methods=(*DECLARED, "own_none"), scenarios=("few100",), pairs=("conv4:conv4",), epochs=1)
    records = lab.train([p.cell for p in plan.cells if p.cell.method != "vanilla" and p.cell.role == "student"])
    said = {record.cell.method: record.error_message for record in records.values()}
    for name, hint in DECLARED.items():
        assert hint in said[name], name
    assert said["own_none"] == "'NoneType' object has no attribute 'logits'"


def test_a_subset_that_there_is_not_is_refused_when_planned(make_lab: Callable[..., Lab], tmp_path: Path) -> None:
    file = tmp_path / "reads.py"
    file.write_text(PLUGIN)
    plan = make_lab(plugin_files=(file,)).plan(methods=("wrong_subset", "wrong_phase"), scenarios=("few100",))
    reasons = {p.cell.method: p.skip for p in plan.cells if p.skip}
    said = "unknown subset 'trian' (in scenario 'few100'); did you mean 'train'?"
    assert reasons["wrong_subset"] == f"method 'wrong_subset' requires what there is not: {said}"
    assert "unknown subset 'publik' (phase 'train'); valid: teacher, train" in reasons["wrong_phase"]
