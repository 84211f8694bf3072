"""Methods that read modules, the stem and tokens: skipped where there are none, and in a group as alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdharness.protocol.benchmark import parse
from kdharness.testing import Lab

SOURCE = '''
import torch
import torch.nn.functional as F
from torch import nn
from kdharness.api import Method, MethodSpec, ModelSpec, Reads, Tokens, hookimpl

class Inside(Method):
    """Match the stem, and a convolution of the student's with one of the teacher's."""

    name = "inside"
    reads = Reads(taps=("stem",), modules=("stage2.depthwise",), teacher_modules=("stage1.depthwise", "fc"))

    def build(self, context):
        assert context.student.modules == {"stage2.depthwise": (32, 2, 2)}
        assert context.teacher.modules == {"stage1.depthwise": (16, 4, 4), "fc": (10,)}
        self.mix = nn.Linear(context.student.stem[0], context.teacher.stem[0])

    def losses(self, batch, student, teacher):
        stem = self.mix(student.stem.mean((2, 3)))
        return {
            "ce": F.cross_entropy(student.logits, batch.targets),
            "stem": F.mse_loss(stem, teacher.stem.mean((2, 3))),
            "conv": F.mse_loss(student.module("stage2.depthwise").mean(), teacher.module("stage1.depthwise").mean()),
            "logits": F.mse_loss(student.logits, teacher.module("fc")),
        }

class Aimless(Inside):
    """Ask for a module that there is not."""

    name = "aimless"
    reads = Reads(modules=("stage2.depthwide",))

class Worded(Inside):
    """Read tokens."""

    name = "worded"
    reads = Reads(taps=("tokens",))

class OneSided(Method):
    """Tokens of the student, the embedding of the teacher."""

    name = "one_sided"
    reads = Reads(taps=("tokens",), teacher_taps=("embedding",))

    def losses(self, batch, student, teacher):
        assert student.tokens(0).ndim == 3 and teacher.embedding.ndim == 2
        for outputs, tap in ((student, "embedding"), (teacher, "stages")):
            try:
                getattr(outputs, tap)
            except AttributeError:
                continue
            raise AssertionError(tap)
        return {"ce": batch.task_loss(student.logits)}

class Twofold(nn.Module):
    def __init__(self, trains):
        super().__init__()
        self.flat = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        self.trains = trains
    def forward(self, x):
        logits = self.flat(x)
        return {"logits": logits, "again": 2 * logits} if self.training or not self.trains else logits

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(each) for each in (Inside, Aimless, Worded, OneSided)]

@hookimpl
def kdharness_models():
    yield ModelSpec("twofold", lambda c, s: Twofold(False))
    yield ModelSpec("fickle", lambda c, s: Twofold(True))
    yield ModelSpec("few", lambda c, s: nn.Sequential(nn.Flatten(), nn.Linear(64, 5)))
    yield ModelSpec("maps", lambda c, s: nn.Conv2d(1, c, 3))
    yield ModelSpec("helped", lambda c, s: Twofold(True), auxiliary=("again",))
'''


@pytest.fixture
def reading(make_lab, tmp_path: Path) -> Lab:
    file = tmp_path / "reading.py"
    file.write_text(SOURCE)
    return make_lab(plugin_files=(file,))


def benchmark(pair: str, *methods: str):
    content = {"name": "small", "datasets": ["digits"], "pairs": [pair], "scenarios": ["few100"], "run": list(methods)}
    return parse({**content, "seeds": [0], "recipe": {"epochs": 2, "batch_size": 50, "lr": 0.01}}, "test")


def test_a_group_reads_what_each_would_alone(reading: Lab, make_lab, tmp_path: Path) -> None:
    plan = reading.plan(benchmark("sepconv16:sepconv16", "inside", "at", "kd"))
    assert not any(p.skip for p in plan.cells)
    records = reading.train_plan(plan)
    assert {r.status.value for r in records.values()} == {"ok"}, [r.traceback for r in records.values()]
    alone = make_lab("alone", plugin_files=reading.plugin_files)
    cell = next(p.cell for p in plan.cells if p.cell.method == "inside")
    alone.take(reading, [cell])
    alone.train([cell])
    assert alone.bits(cell.key) == reading.bits(cell.key)


def skips(lab: Lab, pair: str, *methods: str) -> dict[str, str]:
    return {p.cell.method: p.skip for p in lab.plan(benchmark(pair, *methods)).cells if p.cell.role == "student"}


def test_what_cannot_be_read_is_a_reason_to_skip(reading: Lab) -> None:
    reasons = skips(reading, "sepconv16:sepconv16", "aimless", "worded")
    assert reasons == {
        "aimless": "reads module 'stage2.depthwide' of the student, which model 'sepconv16' has not; "
        "did you mean 'stage2.depthwise'?",
        "worded": "reads tokens of the student, which model 'sepconv16' does not declare",
    }
    several = skips(reading, "sepconv16+sepconv16:sepconv16", "inside")
    assert several == {"inside": "reads stem of one teacher, and an ensemble of 2 has none"}


def test_student_and_teacher_are_tapped_apart(reading: Lab) -> None:
    plan = reading.plan(benchmark("sepconv16:vit_micro_p2", "one_sided"))
    assert not any(p.skip for p in plan.cells)
    records = reading.train_plan(plan)
    assert {r.status.value for r in records.values()} == {"ok"}, [r.traceback for r in records.values()]
    assert skips(reading, "vit_micro_p2:sepconv16", "one_sided") == {
        "one_sided": "reads tokens of the student, which model 'sepconv16' does not declare"
    }
    assert skips(reading, "twofold:vit_micro_p2", "one_sided") == {
        "one_sided": "reads embedding of the teacher, which model 'twofold' does not declare"
    }
    several = skips(reading, "sepconv16+sepconv16:vit_micro_p2", "one_sided")
    assert several == {"one_sided": "reads embedding of one teacher, and an ensemble of 2 has none"}


def test_outputs_of_train_mode_alone_are_declared(reading: Lab) -> None:
    fault = (
        "model 'fickle' returns other outputs in train mode (again, logits) than in eval mode (logits): "
        "its spec may name those of train mode alone as auxiliary"
    )
    assert skips(reading, "conv4:fickle", "vanilla") == {"vanilla": fault}
    plan = reading.plan(benchmark("twofold:helped", "kd"))
    assert not any(p.skip for p in plan.cells)
    assert {r.status.value for r in reading.train_plan(plan).values()} == {"ok"}


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("few", "model 'few' returns 5 logits, the dataset has 10 classes"),
        ("maps", "model 'maps' returns logits of shape [2, 10, 6, 6] for 2 images, and not [2, 10]"),
    ],
)
def test_logits_of_other_classes_are_told_when_planned(reading: Lab, model: str, says: str) -> None:
    assert skips(reading, f"conv32:{model}", "kd") == {"kd": says}
