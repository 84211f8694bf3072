"""Who is shown which view of a batch, and what cells with other views share."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from kdharness.api import Outputs, Reads, View
from kdharness.api.declarations import Wanted
from kdharness.data.batches import EpochBatches
from kdharness.data.views import ViewKey, view_keys
from kdharness.engine.teacher_batch import TeacherBatch, TeacherOutputs
from kdharness.protocol.benchmark import Benchmark, parse
from kdharness.results.record import Status
from kdharness.testing import Lab

PLUGIN = '''
import torch
from torch.nn import functional as F
from kdharness.api import *

class Two(Method):
    """The student sees two views, its teacher the first and a third."""
    name = "two"
    reads = Reads(views=(View("none"), View("standard", teacher=False), View("standard", student=False), "none"))

    def losses(self, batch, student, teacher):
        assert batch.images is batch.views[0] and len(batch.views) == len(student.views) == len(teacher.views) == 4
        assert student.views[0] is student and teacher.views[0] is teacher
        # Digits are not augmented: what differs is who was asked.
        assert all(torch.equal(view, batch.images) for view in batch.views)
        assert torch.equal(teacher.logits, teacher.views[2].logits)
        assert teacher.views[2] is teacher.views[2]
        assert [view.logits.requires_grad for view in student.views[:2]] == [True, True]
        kd = F.mse_loss(student.views[1].logits, teacher.views[2].logits)
        return {"ce": F.cross_entropy(student.logits, batch.targets), "kd": kd}

class First(Method):
    """The student is not shown the first view."""
    name = "first"
    reads = Reads(views=(View("standard", student=False), View("none", teacher=False)))

    def losses(self, batch, student, teacher):
        assert batch.images is batch.views[1] and student.views[1] is student and teacher.views[0] is teacher
        return {"ce": F.cross_entropy(student.logits, batch.targets), "kd": F.mse_loss(student.logits, teacher.logits)}

class Peeks(Two):
    """Reads what is not shown."""
    name = "peeks"
    who: str = "student"

    def losses(self, batch, student, teacher):
        outputs, number = (student, 2) if self.who == "student" else (teacher, 1)
        return {"ce": outputs.views[number].logits.sum()}

class Rash(Method):
    """Changes the teacher's outputs on a view that is read late."""
    name = "rash"
    reads = Reads(views=("recipe", View("standard", student=False)))

    def losses(self, batch, student, teacher):
        teacher.views[1].logits.zero_()
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(method) for method in (Two, First, Peeks, Rash)]
'''


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Lab]:
    (tmp_path / "views.py").write_text(PLUGIN)
    return lambda name="lab": Lab(tmp_path / name, plugin_files=(tmp_path / "views.py",), metrics=())


def benchmark(*methods: str) -> Benchmark:
    content = {"name": "small", "datasets": ["digits"], "pairs": ["conv4:conv4"], "scenarios": ["few100"]}
    recipe = {"epochs": 2, "batch_size": 50}
    return parse({**content, "run": list(methods), "seeds": [0], "recipe": recipe}, "test")


def test_names_of_views() -> None:
    reads = Reads(views=("recipe", View("strong"), "none", "strong", View("recipe", teacher=False)))
    assert reads.views[0] == View("recipe")
    assert [(key.name, key.occurrence) for key in view_keys(reads.view_names("strong"))] == [
        ("strong", 0), ("strong", 1), ("none", 0), ("strong", 2), ("strong", 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("views", "message"),
    [((View("none", student=False),), "student sees"), ((View("none", teacher=False),), "teachers")],
)
def test_somebody_must_see_one(views: tuple[View, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Reads(views=views)
    assert Reads(teachers="none", views=(View("none", teacher=False),))


def test_a_method_with_two_views_shares_pass_and_teacher_with_kd(
    make: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = make()
    plan = lab.plan(benchmark("kd", "two", "first"))
    lab.train([p.cell for p in plan.cells if p.cell.role == "teacher"])
    students = [p.cell for p in plan.cells if p.cell.role == "student"]
    passes: list[object] = []
    made: list[ViewKey] = []
    runs: list[ViewKey] = []
    start, view, run = EpochBatches.__init__, EpochBatches._view, TeacherBatch._run
    monkeypatch.setattr(EpochBatches, "__init__", lambda self, *given: passes.append(start(self, *given)))
    monkeypatch.setattr(EpochBatches, "_view", lambda self, key: made.append(key) or view(self, key))
    monkeypatch.setattr(TeacherBatch, "_run", lambda self, *given: runs.append(given[1]) or run(self, *given))
    records = lab.train(students)
    assert [r.error_message for r in records.values() if r.status is not Status.OK] == []
    assert len(passes) == 2  # epochs
    # Of each of two batches: kd's standard view is first's, and two's second is drawn apart.
    names = [("none", 0), ("none", 1), ("standard", 0), ("standard", 1)]
    assert sorted((key.name, key.occurrence) for key in made) == sorted(names * 4)
    # The teacher on standard 0 for kd and first, on none 0 and standard 1 for two, which never reads its last view.
    assert sorted((key.name, key.occurrence) for key in runs) == sorted([("none", 0), *names[2:]] * 4)
    for cell in students:
        solo = make(f"solo-{cell.method}")
        solo.take(lab, [cell])
        solo.train([cell], alone=True)
        assert solo.bits(cell.key) == lab.bits(cell.key)


@pytest.mark.parametrize("who", ["student", "teacher"])
def test_what_is_not_shown_says_why(make: Callable[..., Lab], who: str) -> None:
    lab = make()
    plan = lab.plan(benchmark("peeks"), settings=(f"peeks.who={who}",))
    record = next(r for r in lab.train_plan(plan).values() if r.cell.method == "peeks")
    assert record.error_type == "AttributeError"
    number = 2 if who == "student" else 1
    assert record.error_message == (
        f"views[{number}] is not shown to the {who}: its View('standard', {who}=False) says so"
    )


def test_a_view_that_is_read_late_is_watched_too(make: Callable[..., Lab]) -> None:
    lab = make()
    records = lab.train_plan(lab.plan(benchmark("rash", "two")))
    by_method = {r.cell.method: r for r in records.values() if r.cell.role == "student"}
    assert by_method["rash"].error_type == "SharedStateChanged"
    assert by_method["two"].status is Status.OK


def test_a_steps_outputs_of_teachers_go_when_nobody_holds_them() -> None:
    class Batch:
        def outputs(self, teacher: object, view: ViewKey, wanted: Wanted) -> Outputs:
            return Outputs(None, torch.ones(2, 3), {})  # type: ignore[arg-type]

    views = [(View(name), ViewKey(name, 0)) for name in ("first", "second")]
    teachers = TeacherOutputs([object()], Batch(), views, Wanted())  # type: ignore[list-item, arg-type]
    outputs = teachers[0]
    assert outputs.views[0] is outputs
    assert outputs.views[1] is outputs.views[1]
    held = [weakref.ref(outputs), weakref.ref(outputs.views[1])]
    gc.disable()  # which would free what holds itself, too, though much later
    try:
        del teachers, outputs
        assert [ref() for ref in held] == [None, None]
    finally:
        gc.enable()
