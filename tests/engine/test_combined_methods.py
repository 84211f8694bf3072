"""Methods that are trained as one: bits alone, in a group and resumed; what each part adds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdharness.protocol.benchmark import parse
from kdharness.results.record import Status
from kdharness.testing import Lab

SMALL: dict[str, Any] = {
    "name": "small",
    "datasets": ["digits"],
    "pairs": ["conv8:conv4"],
    "scenarios": ["small100"],
    "recipe": {"epochs": 2},
}

# Draws in its build and in each step, and counts its epochs.
DRAWING = '''
import torch
from kdharness.api import Method, MethodSpec, Reads, hookimpl

class Drawn(Method):
    """A pull towards noisy logits."""
    name = "drawn"
    reads = Reads(teachers="none")
    terms = {"drawn": "distill"}

    def build(self, context):
        self.noise = context.generator("noise")
        self.scale = torch.nn.Parameter(torch.rand(()))
        self.register_buffer("epochs", torch.zeros(()))

    def losses(self, batch, student, teacher):
        noise = torch.randn(student.logits.shape, generator=self.noise)
        return {"drawn": (student.logits - noise - self.scale).square().mean()}

    def after_epoch(self, epoch):
        self.epochs += 1

    def measurements(self):
        return {"epochs": float(self.epochs)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Drawn)]
'''


def test_a_combination_gives_the_same_bits_alone_and_in_a_group(make_lab: Callable[..., Lab], tmp_path: Path) -> None:
    path = tmp_path / "drawn.py"
    path.write_text(DRAWING)
    content = {**SMALL, "run": ["kd", "kd+drawn", "vid+rkd", "rkd+kd"]}
    found = {}
    for name in ("group", "alone"):
        lab = make_lab(name, plugin_files=(path,))
        plan = lab.plan(parse(content, "small"))
        cells = [p.cell for p in plan.cells]
        teachers, students = ([c for c in cells if (c.role == "teacher") is wanted] for wanted in (True, False))
        records = lab.train(teachers)
        for group in [students] if name == "group" else [[cell] for cell in students]:
            records |= lab.train(group)
        assert {record.status for record in records.values()} == {Status.OK}
        found[name] = {cell.label: records[cell.key].values for cell in students}
    for label, values in found["group"].items():
        assert values["nll"] == found["alone"][label]["nll"], label
    combined = found["group"]["kd+drawn conv8:conv4 digits small100 seed 0"]
    assert combined["x_kd+drawn_drawn_epochs"] == 2.0
    assert combined["nll"] != found["group"]["kd conv8:conv4 digits small100 seed 0"]["nll"]


@pytest.mark.parametrize(
    ("combination", "settings"),
    [
        ("rkd+kd", ("rkd+kd.without=rkd.rkd", "rkd+kd.rkd.ce_weight=0.1")),
        ("kd+rkd", ("kd+rkd.without=rkd.rkd",)),
        ("vanilla+kd", ("recipe.epochs=2", "kd.ce_weight=1")),
    ],
)
def test_without_what_the_others_add_it_is_the_one_method(
    lab: Lab, combination: str, settings: tuple[str, ...]
) -> None:
    """The first part's label term at its weight, and kd's distilling term."""
    plan = lab.plan(parse({**SMALL, "run": ["kd", combination]}, "small"), settings=settings)
    records = lab.train_plan(plan)
    found = {p.cell.method: records[p.cell.key] for p in plan.cells if p.cell.role == "student"}
    assert found["kd"].status is found[combination].status is Status.OK
    assert found["kd"].values["nll"] == pytest.approx(found[combination].values["nll"], rel=1e-6)
