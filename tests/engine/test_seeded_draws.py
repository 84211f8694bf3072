"""What a seed decides, and what it leaves alone: initial weights, the order of samples, a method's own draws."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdharness.testing import Lab

PLUGIN = '''
import json
import torch
from torch import nn
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, Reads, hookimpl

def digest(module):
    return [float(p.detach().double().sum()) for p in module.parameters()]

class Drawn(Method):
    """Writes down everything that it begins with."""
    name = "drawn"
    reads = Reads(teachers="none", indices=True)
    where: str = ""

    def build(self, context):
        own = [context.generator(name) for name in ("one", "two")]
        self.told = dict(
            student=digest(context.student_model),
            peers=[digest(context.peer(role)) for role in ("peer1", "peer2", "student")],
            named=[torch.rand(3, generator=generator).tolist() for generator in own],
            default=torch.rand(3).tolist(),
        )
        self.order = []

    def losses(self, batch, student, teacher):
        self.order.append(batch.indices.tolist())
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

    def after_epoch(self, epoch):
        with open(self.where, "w") as file:
            json.dump(dict(self.told, order=self.order), file)

class Other(Drawn):
    """The same under another name."""
    name = "other"

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Drawn), MethodSpec.of(Other)]
'''


@pytest.fixture
def drawn(make_lab: Callable[..., Lab], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    (tmp_path / "drawn.py").write_text(PLUGIN)
    lab = make_lab(plugin_files=(tmp_path / "drawn.py",), metrics=("top1",))

    def train(method: str = "drawn", seed: int = 0) -> dict[str, Any]:
        where = tmp_path / f"{method}-{seed}.json"
        plan = lab.plan(methods=(method,), seeds=(seed,), scenarios=("few100",), settings=(f"{method}.where={where}",))
        (record,) = lab.train_plan(plan).values()
        assert record.status == "ok", record.traceback
        found: dict[str, Any] = json.loads(where.read_text())
        return found

    return train


def test_a_seed_decides_everything_that_is_drawn(drawn: Any) -> None:
    first, again, other = drawn(seed=0), drawn(seed=0), drawn(seed=1)
    assert first == again
    for what in ("student", "peers", "named", "default", "order"):
        assert first[what] != other[what], what
    # Not by a part of it: every network, every stream, every weight matrix, every epoch.
    assert all(a != b for a, b in zip(first["peers"], other["peers"], strict=True))
    assert all(a != b for a, b in zip(first["named"], other["named"], strict=True))
    assert all(a != b for a, b in zip(first["order"], other["order"], strict=True))


def test_methods_of_one_seed_begin_alike_and_draw_apart(drawn: Any) -> None:
    """They are compared on the same initial student and the same batches."""
    one, other = drawn("drawn"), drawn("other")
    for what in ("student", "peers", "order"):
        assert one[what] == other[what], what
    assert one["default"] != other["default"]
    assert not set(map(tuple, one["named"])) & set(map(tuple, other["named"]))


def test_streams_of_one_cell_are_apart(drawn: Any) -> None:
    found = drawn()
    first, second, third = found["peers"]
    assert third == found["student"], "the student's own role"
    assert first != second
    assert found["student"] not in (first, second)
    assert len({tuple(draws) for draws in (*found["named"], found["default"])}) == 3


def test_epochs_have_another_order(drawn: Any) -> None:
    order = drawn()["order"]
    half = len(order) // 2
    assert order[:half] != order[half:]


def test_generators_of_the_device_are_kept_too(make_lab: Any, tmp_path: Any) -> None:
    """On a CPU the two kinds give the same numbers; each is checkpointed."""
    (tmp_path / "drawing.py").write_text(
        """
import torch
from kdharness.api import Method, MethodSpec, Reads, hookimpl

class Drawing(Method):
    "Draws by name."
    name = "drawing"
    reads = Reads(teachers="none")
    on_device: bool = False

    def build(self, context):
        self.noise = context.generator("noise", device=self.on_device)

    def losses(self, batch, student, teacher):
        noise = torch.randn(student.logits.shape, generator=self.noise, device=student.logits.device)
        return {"ce": batch.task_loss(student.logits + noise)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Drawing)]
"""
    )
    rest = {"plugin_files": (tmp_path / "drawing.py",), "metrics": ()}
    whole, parts = make_lab("whole", **rest), make_lab("parts", checkpoint_seconds=0.0, **rest)
    cells = [
        whole.plan(methods=("drawing",), scenarios=("few100",), settings=(f"drawing.on_device={on}",)).cells[-1].cell
        for on in (False, True)
    ]
    whole.train(cells)
    assert whole.bits(cells[0].key) == whole.bits(cells[1].key)

    def stop(event: object) -> None:
        if getattr(event, "epoch", 0) == 2:
            parts.on_event = lambda event: None
            raise KeyboardInterrupt

    parts.on_event = stop
    with pytest.raises(KeyboardInterrupt):
        parts.train([cells[1]])
    parts.train([cells[1]])
    assert parts.bits(cells[1].key) == whole.bits(cells[1].key)
