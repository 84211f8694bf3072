"""DOT: its optimiser beside one written by hand, and its method as the harness trains it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from kdharness_plugins.optimizers.dot import DistillationOriented
from torch import Tensor, nn

from kdharness.testing import Lab

LR, MU, DELTA, DECAY = 0.05, 0.9, 0.075, 0.01


def by_hand(weights: list[Tensor], gradients: Callable[[list[Tensor]], tuple[list[Tensor], list[Tensor]]]) -> None:
    """Twenty steps of the paper's rule."""
    task = [torch.zeros_like(w) for w in weights]
    distill = [torch.zeros_like(w) for w in weights]
    for _ in range(20):
        for number, (g, h) in enumerate(zip(*gradients(weights), strict=True)):
            task[number] = (MU - DELTA) * task[number] + g + DECAY * weights[number]
            distill[number] = (MU + DELTA) * distill[number] + h
            weights[number] = weights[number] - LR * (task[number] + distill[number])


def losses(weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Two losses that both reach both weights."""
    a, b = weights
    return (a @ b - 1).square().sum(), (a.sum() * b.sum() - 2).square() / 3


def gradients(weights: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    leaves = [w.detach().requires_grad_() for w in weights]
    first, second = losses(leaves)
    return list(torch.autograd.grad(first, leaves)), list(torch.autograd.grad(second, leaves))


def made() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 3), (3, 2))
    return [0.3 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def test_twenty_steps_are_those_of_the_paper() -> None:
    expected = made()
    by_hand(expected, gradients)
    parameters = [nn.Parameter(w) for w in made()]
    optimizer = DistillationOriented(parameters, LR, MU, DECAY, DELTA)
    for _ in range(20):
        task, distill = gradients([p.detach() for p in parameters])
        optimizer.step(
            gradients={
                "task": dict(zip(parameters, task, strict=True)),
                "distill": dict(zip(parameters, distill, strict=True)),
            }
        )
    torch.testing.assert_close([p.detach() for p in parameters], expected)


@pytest.mark.parametrize("name", ["task", "distill", ""])
def test_what_one_loss_alone_reaches_moves_as_by_sgd(name: str) -> None:
    """With the plain momentum, decayed; so does a step without gradients by name."""
    one, other = (nn.Parameter(w) for w in (made()[0], made()[0]))
    optimizer = DistillationOriented([one], LR, MU, DECAY, DELTA)
    plain = torch.optim.SGD([other], lr=LR, momentum=MU, weight_decay=DECAY)
    for number in range(5):
        gradient = torch.full_like(one, number - 1.5)
        one.grad = other.grad = gradient
        optimizer.step(gradients={name: {one: gradient}}) if name else optimizer.step()
        plain.step()
    torch.testing.assert_close(one.detach(), other.detach())


def test_no_momentum_leaves_what_can_be_one() -> None:
    with pytest.raises(ValueError, match="out of"):
        DistillationOriented([nn.Parameter(torch.ones(1))], LR, 0.95, 0.0, 0.075)


PLUGIN = """
import torch
from kdharness.api import MethodSpec, hookimpl
from kdharness_plugins.methods.dot import DOT

class Checked(DOT):
    "Holds each step against the rule, with momenta of its own."
    name = "checked"

    def update(self, step):
        parameters = step.parameters["main"]
        own = self.__dict__.setdefault("own", {"task": None, "distill": None, "steps": 0})
        expected = [p.detach().clone() for p in parameters]
        for name, momentum in (("task", 0.825), ("distill", 0.975)):
            gradients = step.gradients(step.total(name))
            if name == "task":
                gradients = [g + 0.01 * p.detach() for g, p in zip(gradients, parameters)]
            before = own[name] or [torch.zeros_like(g) for g in gradients]
            own[name] = [momentum * v + g for v, g in zip(before, gradients)]
            expected = [w - 0.05 * v for w, v in zip(expected, own[name])]
        super().update(step)
        torch.testing.assert_close([p.detach() for p in parameters], expected)
        own["steps"] += 1

    def measurements(self):
        return {"steps": self.own["steps"]}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Checked)]
"""


def test_the_method_moves_the_student_by_that_rule(make_lab: Callable[..., Lab], tmp_path: Path) -> None:
    (tmp_path / "checked.py").write_text(PLUGIN)
    lab = make_lab(plugin_files=(tmp_path / "checked.py",), metrics=("top1",))
    settings = ("recipe.weight_decay=0.01", "recipe.lr=0.05", "recipe.schedule=constant", "recipe.batch_size=20")
    plan = lab.plan(methods=("checked",), scenarios=("few100",), settings=settings, epochs=4)
    record = lab.train_plan(plan)[plan.cells[-1].cell.key]
    assert record.status.value == "ok", record.traceback
    assert record.values["x_checked_steps"] == 20
