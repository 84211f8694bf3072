"""Which parts of a cell are in train mode while a phase trains: all but those that other phases train."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kdharness.testing import Lab

PLUGIN = '''
import json
import torch
from torch import nn
from torch.nn import functional as F
from kdharness.api import *

class Parts(Method):
    """Has layers of every kind, and phases that train some of them."""
    name = "parts"
    reads = Reads(teachers="none")
    where: str = ""

    def build(self, context):
        def block():
            return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Dropout(0.5))
        self.one, self.two = block(), block()
        self.alone = nn.Dropout(0.5)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)
        self.student = [context.student_model]
        self.seen = {}

    def phases(self):
        return [
            Phase("all", epochs=1),
            Phase("one", epochs=1, players=(Player("main", ("method.one",)),)),
            Phase("student", epochs=1, players=(Player("main", ("student",)),)),
        ]

    def losses(self, batch, student, teacher):
        modes = {name: part.training for name, part in self.named_modules() if name}
        modes |= {f"student.{name}": part.training for name, part in self.student[0].network.named_modules() if name}
        wanted = {f"{name} wants": p.requires_grad for name, p in self.named_parameters()}
        self.seen[batch.step.phase] = modes | wanted
        x = student.logits[:, :3]
        parts = sum(part(x).square().mean() for part in (self.one, self.two, self.alone, self.frozen))
        return {"ce": F.cross_entropy(student.logits, batch.targets), "parts": parts}

    def after_epoch(self, epoch):
        with open(self.where, "w") as file:
            json.dump(self.seen, file)

class Net(nn.Module):
    def __init__(self, num_classes, input_shape):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2))
        self.fc = nn.Linear(16, num_classes)

    def forward(self, x):
        return self.fc(self.body(x))

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Parts)]

@hookimpl
def kdharness_models():
    return [ModelSpec("net", Net, classifier="fc")]
'''
Modes = dict[str, dict[str, bool]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Modes:
    folder = tmp_path_factory.mktemp("resting")
    (folder / "parts.py").write_text(PLUGIN)
    lab = Lab(folder / "lab", plugin_files=(folder / "parts.py",), metrics=("top1",))
    where: Path = folder / "seen.json"
    settings = (f"parts.where={where}",)
    plan = lab.plan(methods=("parts",), pairs=("net:net",), scenarios=("few100",), settings=settings)
    (record,) = lab.train_plan(plan).values()
    assert record.status == "ok", record.traceback
    found: Modes = json.loads(where.read_text())
    return found


def training(seen: Modes, phase: str, keep: Callable[[str], bool]) -> set[bool]:
    return {mode for name, mode in seen[phase].items() if keep(name) and not name.endswith(" wants")}


def test_everything_is_in_train_mode_while_everything_is_trained(seen: Modes) -> None:
    """Layers without parameters too (dropout), and what is never trained."""
    assert training(seen, "all", lambda name: True) == {True}


def test_what_another_phase_trains_rests(seen: Modes) -> None:
    for phase, trained in (("one", "one"), ("student", "student")):
        for part in {"one", "two", "student.body", "student.fc"} - {trained, f"{trained}.body", f"{trained}.fc"}:
            assert seen[phase][part] is False, (phase, part)
        assert training(seen, phase, lambda name, trained=trained: name.startswith(f"{trained}.")) == {True}  # type: ignore[misc]
        # A layer without parameters is nobody's to train: it goes with the method as a whole.
        assert seen[phase]["alone"] is (phase == "one")


def test_only_what_is_trained_wants_a_gradient(seen: Modes) -> None:
    wants = {
        phase: {name.partition(".")[0] for name, wanted in modes.items() if name.endswith(" wants") and wanted}
        for phase, modes in seen.items()
    }
    assert wants == {"all": {"one", "two"}, "one": {"one"}, "student": set()}
