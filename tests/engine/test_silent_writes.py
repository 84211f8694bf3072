"""Writes to what cells share that move no version: the culprit fails by itself, the others have their right bits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from kdharness.api.executors import CellAborted
from kdharness.planning.cell import Cell
from kdharness.results.record import Record, Status
from kdharness.testing import Lab

PLUGIN = '''
import gc
from dataclasses import replace
import torch
from torch import nn
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, Reads, View, hookimpl

def datasets():
    return [thing for thing in gc.get_objects() if type(thing).__name__ == "Data"]

def zero_storage(tensor):
    tensor.untyped_storage().fill_(0)

WRITES = {
    "images_data": lambda m, b, t: b.images.data.mul_(0.5),
    "images_flip": lambda m, b, t: b.images.data.copy_(b.images.flip(3)),
    "images_numpy": lambda m, b, t: b.images.numpy().fill(0.25),
    "images_storage": lambda m, b, t: zero_storage(b.images),
    "images_exchanged": lambda m, b, t: setattr(b.images, "data", b.images[:1].clone()),
    "images_cut_short": lambda m, b, t: b.images.untyped_storage().resize_(4),
    "one_pixel": lambda m, b, t: b.images.detach().numpy()[3, 0, 2].__setitem__(5, 0.123),
    "targets_numpy": lambda m, b, t: b.targets.numpy().__setitem__(slice(None), 0),
    "targets_moved": lambda m, b, t: b.targets.data.copy_(b.targets.roll(1)),
    "targets_wild": lambda m, b, t: b.targets.data.fill_(99),
    "indices": lambda m, b, t: b.indices.data.add_(1),
    "partners": lambda m, b, t: b.partners.data.zero_(),
    "progress": lambda m, b, t: b.step.progress.data.fill_(1.0),
    "epoch": lambda m, b, t: b.step.epoch.numpy().fill(7),
    "teacher_logits": lambda m, b, t: t.logits.data.zero_(),
    "teacher_logits_earlier_view": lambda m, b, t: t.logits.detach().numpy().reshape(-1).__setitem__(3, 9.0),
    "teacher_features": lambda m, b, t: t.stages[-1].data.mul_(2),
    "teacher_weights": lambda m, b, t: [p.data.zero_() for p in t.model.parameters()],
    "teacher_buffers": lambda m, b, t: [x.numpy().fill(1) for x in t.model.buffers() if x.ndim],
    "teacher_storage": lambda m, b, t: zero_storage(next(t.model.parameters())),
    "teacher_exchanged": lambda m, b, t: [setattr(p, "data", torch.zeros_like(p)) for p in t.model.parameters()],
    "teacher_hook": lambda m, b, t: t.model.classifier.register_forward_hook(lambda m, i, o: o * 0),
    "teacher_attribute": lambda m, b, t: [setattr(x, "eps", 100.0) for x in t.model.modules() if hasattr(x, "eps")],
    "teacher_forward": lambda m, b, t: setattr(t.model.classifier, "forward", lambda x: x[:, :10] * 0),
    "teacher_module_other": lambda m, b, t: setattr(t.model.network, "last", nn.Identity()),
    "teacher_trained": lambda m, b, t: t.model.classifier.requires_grad_(True),
    "data_images": lambda m, b, t: [data.train.images[:50].numpy().fill(0) for data in datasets()],
    "data_test": lambda m, b, t: [data.test.images.data.__setitem__((3, 0, 2, 5), 77) for data in datasets()],
    "data_labels": lambda m, b, t: [data.targets.numpy().fill(1) for data in datasets()],
    "data_rows": lambda m, b, t: [rows.data.copy_(rows.flip(0)) for d in datasets() for rows in d.subsets.values()],
    "prepared": lambda m, b, t: m.student[0].prepare(b.images).data.zero_(),
}

class Shows(nn.Module):
    """Writes into the images that it is shown."""

    def __init__(self, student, kind):
        super().__init__()
        self.student, self.kind = student, kind

    def forward(self, images):
        logits = self.student(images)
        if self.kind == "predictor":
            images.data.zero_()
        if self.kind == "predictor_openly":
            images.zero_()
        return logits

class Silent(Method):
    """Does what `kind` says in its third step."""
    name = "silent"
    kind: str = "none"
    reads = Reads(taps=("stages",), indices=True, partners="same_class")

    def build(self, context):
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.student = [context.student_model]
        self.teachers = context.teacher_models
        if self.kind == "in_build":
            next(self.teachers[0].parameters()).data.zero_()

    def after_epoch(self, epoch):
        if self.kind == "after_epoch":
            next(self.teachers[0].parameters()).data.zero_()
        if self.kind == "after_epoch_openly":
            with torch.no_grad():
                next(self.teachers[0].parameters()).zero_()

    def losses(self, batch, student, teacher):
        self.steps += 1
        if int(self.steps) == 3 and self.kind in WRITES:
            WRITES[self.kind](self, batch, teacher)
        return {"ce": F.cross_entropy(student.logits, batch.targets.clamp(max=9))}

    def predictor(self, student, teachers):
        return Shows(student, self.kind)

class Open(Silent):
    """The same in ways that torch notices, and another in step `when`."""
    name = "open"
    when: int = 3

    def losses(self, batch, student, teacher):
        self.steps += 1
        if int(self.steps) == self.when and self.kind == "images":
            batch.images.mul_(1.0)
        if int(self.steps) == self.when and self.kind == "teacher":
            with torch.no_grad():
                next(teacher.model.parameters()).mul_(1.0)
        if int(self.steps) == self.when and self.kind == "raise":
            raise ValueError("it broke")
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

    def after_epoch(self, epoch):
        if self.kind == "teacher_after_epoch":
            with torch.no_grad():
                next(self.teachers[0].parameters()).mul_(1.0)

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Silent), MethodSpec.of(Open)]
'''

OF_MODULES = {
    "teacher_hook": ": network.fc._forward_hooks",
    "teacher_attribute": ".eps",
    "teacher_forward": ": network.fc.forward",
    "teacher_module_other": ": network._modules",
    "teacher_trained": ": network.fc.requires_grad",
}
OF_DATA = {
    "data_images": "it changed the dataset in place: the images of the train split",
    "data_test": "it changed the dataset in place: the images of the test split",
    "data_labels": "it changed the dataset in place: the labels of the train split",
    "data_rows": "it changed the dataset in place: the rows of subset ",
}
NAMED = {"teacher_weights": "network.", "teacher_storage": "network.", "teacher_buffers": "network."}

IN_A_STEP = [line.split('"')[1] for line in PLUGIN.splitlines() if '": lambda' in line]


@dataclass(frozen=True)
class Undisturbed:
    lab: Lab
    cells: list[Cell]
    bits: dict[str, dict[str, bytes]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """kd, and a method that reads labels alone, in a group."""
    lab = Lab(tmp_path_factory.mktemp("undisturbed") / "lab", metrics=("top1",))
    plan = lab.plan(methods=("kd", "vanilla"), scenarios=("few100",), settings=("recipe.batch_size=25",))
    lab.train_plan(plan)
    cells = [p.cell for p in plan.cells if p.cell.role == "student"]
    return Undisturbed(lab, cells, {cell.key: lab.bits(cell.key) for cell in cells})


def apart(undisturbed: Undisturbed, lab: Lab, kind: str) -> tuple[bool, Record]:
    """The culprit's record, trained before and beside the others; whether the group was taken apart."""
    plan = lab.plan(
        methods=("silent",), scenarios=("few100",), settings=("recipe.batch_size=25", f"silent.kind={kind}")
    )
    (culprit,) = (p.cell for p in plan.cells if p.cell.method == "silent")
    lab.take(undisturbed.lab, [culprit, *undisturbed.cells])
    records = lab.train([culprit, *undisturbed.cells])
    aborted = [event.key for event in lab.events if isinstance(event, CellAborted) and event.alone]
    cells = {cell.key: cell for cell in (culprit, *undisturbed.cells)}
    for key in aborted:
        assert lab.folder.read_record(key).status is Status.INTERRUPTED
        records |= lab.train([cells[key]], alone=True)
    for cell in undisturbed.cells:
        assert records[cell.key].status is Status.OK, records[cell.key].traceback
        assert lab.bits(cell.key) == undisturbed.bits[cell.key]
    return bool(aborted), records[culprit.key]


@pytest.fixture
def silent_lab(make_lab: Callable[..., Lab], tmp_path: Path) -> Lab:
    file = tmp_path / "silent.py"
    file.write_text(PLUGIN)
    return make_lab(plugin_files=(file,), metrics=("top1",), checkpoint_seconds=0.0)


def test_without_a_write_nothing_is_taken_apart(undisturbed: Undisturbed, silent_lab: Lab) -> None:
    taken_apart, record = apart(undisturbed, silent_lab, "none")
    assert not taken_apart
    assert record.status is Status.OK, record.traceback


@pytest.mark.parametrize("kind", [*IN_A_STEP, "in_build", "after_epoch", "predictor"])
def test_the_culprit_fails_by_itself(undisturbed: Undisturbed, silent_lab: Lab, kind: str) -> None:
    taken_apart, record = apart(undisturbed, silent_lab, kind)
    assert taken_apart
    assert (record.status, record.error_type) == (Status.FAILED, "SharedStateChanged")
    # Of one that trains alone what it did to its teacher's modules is seen after its step.
    assert kind in OF_MODULES | OF_DATA or "unnoticed by torch" in record.error_message
    assert (OF_MODULES | OF_DATA | NAMED).get(kind, "") in record.error_message


@pytest.mark.parametrize("kind", ["after_epoch_openly", "predictor_openly"])
def test_an_open_change_outside_a_step_is_blamed_at_once(undisturbed: Undisturbed, silent_lab: Lab, kind: str) -> None:
    taken_apart, record = apart(undisturbed, silent_lab, kind)
    assert not taken_apart
    assert (record.status, record.error_type) == (Status.FAILED, "SharedStateChanged")


def train_apart(undisturbed: Undisturbed, lab: Lab, kinds: dict[str, str], *open_settings: str) -> dict[str, Record]:
    """Records by method of a group that is taken apart: one writes silently, then kd reads, then one in the open."""
    settings = ("recipe.batch_size=25", *(f"{name}.kind={kind}" for name, kind in kinds.items()), *open_settings)
    plan = lab.plan(methods=tuple(kinds), scenarios=("few100",), settings=settings)
    faulty = {p.cell.method: p.cell for p in plan.cells if p.cell.method in kinds and p.cell.role == "student"}
    first, second = (faulty[name] for name in kinds)
    kd, vanilla = sorted(undisturbed.cells, key=lambda cell: cell.method)
    cells = [first, kd, second, vanilla]
    lab.take(undisturbed.lab, cells)
    records = lab.train(cells)
    for event in [event for event in lab.events if isinstance(event, CellAborted)]:
        records |= lab.train([next(cell for cell in cells if cell.key == event.key)], alone=True)
    for cell in (kd, vanilla):
        assert records[cell.key].status is Status.OK, records[cell.key].traceback
        assert lab.bits(cell.key) == undisturbed.bits[cell.key], cell.method
    return {record.cell.method: record for record in records.values()}


@pytest.mark.parametrize(
    ("silent", "openly", "when"),
    [
        ("images_data", "images", 3),
        ("teacher_weights", "teacher", 3),
        ("teacher_weights", "teacher", 4),
        ("after_epoch", "teacher_after_epoch", 3),
    ],
)
def test_a_change_in_the_open_hides_no_silent_one_before_it(
    undisturbed: Undisturbed, silent_lab: Lab, silent: str, openly: str, when: int
) -> None:
    kinds = {"silent": silent, "open": openly}
    records = train_apart(undisturbed, silent_lab, kinds, f"open.when={when}")
    assert {name: records[name].error_type for name in kinds} == dict.fromkeys(kinds, "SharedStateChanged")


def test_a_failure_hides_no_silent_change_after_it(undisturbed: Undisturbed, silent_lab: Lab) -> None:
    records = train_apart(undisturbed, silent_lab, {"open": "raise", "silent": "images_data"})
    assert records["open"].error_message == "it broke"
    assert records["silent"].error_type == "SharedStateChanged"


@pytest.mark.parametrize("kind", ["images", "teacher"])
def test_in_the_first_step_whoever_changes_in_the_open_leaves_alone(
    undisturbed: Undisturbed, silent_lab: Lab, kind: str
) -> None:
    records = train_apart(undisturbed, silent_lab, {"silent": "none", "open": kind}, "open.when=1")
    assert not any(isinstance(event, CellAborted) for event in silent_lab.events)
    assert records["open"].error_type == "SharedStateChanged"
    assert records["silent"].status is Status.OK


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("one_pixel", "in place: batch.images (view 'standard'), unnoticed"),
        ("targets_numpy", "in place: batch.targets, unnoticed"),
        ("partners", "in place: batch.partners (view 'standard'), unnoticed"),
        ("epoch", "in place: a number of batch.step, unnoticed"),
        ("teacher_features", "in place: teacher.logits, teacher.stages[0]"),
    ],
)
def test_what_is_changed_in_the_first_batch_is_named(silent_lab: Lab, kind: str, names: str) -> None:
    """Its third step is the first batch of the third epoch."""
    settings = ("recipe.batch_size=100", f"silent.kind={kind}")
    plan = silent_lab.plan(methods=("silent",), scenarios=("few100",), settings=settings, epochs=3)
    records = silent_lab.train_plan(plan)
    (record,) = (record for record in records.values() if record.cell.method == "silent")
    assert names in record.error_message


MIXED = '''
from dataclasses import replace
import torch
from kdharness.api import Method, MethodSpec, Reads, hookimpl

class Mixed(Method):
    """Makes images of its own, and writes into `kind`; its twins with another `kind` make the same ones."""
    name = "mixed"
    kind: str = "none"
    reads = Reads(teachers="none")
    mixed_labels = "mix"

    def losses(self, batch, student, teacher):
        if self.kind == "soft_targets":
            batch.soft_targets.data.fill_(0.1)
        if self.kind == "mixing":
            batch.mixing.permutation.numpy().sort()
        return {"ce": batch.task_loss(student.logits)}

class Turned(Mixed):
    """Turns the images; writes into what it made from the second batch on."""
    name = "turned"

    def transform(self, batch, generator):
        return replace(batch, images=batch.images.flip(2))

    def losses(self, batch, student, teacher):
        if self.kind == "images":
            batch.images.data.zero_()
        return {"ce": batch.task_loss(student.logits)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Mixed), MethodSpec.of(Turned)]
'''


@pytest.mark.parametrize(
    ("method", "kind", "recipe"),
    [
        ("mixed", "soft_targets", ("recipe.mixup=0.4",)),
        ("mixed", "mixing", ("recipe.mixup=0.4",)),
        ("turned", "images", ()),
    ],
)
def test_mixed_labels_and_what_a_transform_made(
    make_lab: Callable[..., Lab], tmp_path: Path, method: str, kind: str, recipe: tuple[str, ...]
) -> None:
    file = tmp_path / "mixed.py"
    file.write_text(MIXED)
    lab = make_lab(plugin_files=(file,), metrics=("top1",))
    plan = lab.plan(methods=(method,), scenarios=("few100",), settings=(*recipe, f"{method}.kind={kind}"))
    (cell,) = (p.cell for p in plan.cells)
    record = lab.train([cell])[cell.key]
    assert (record.status, record.error_type) == (Status.FAILED, "SharedStateChanged")
