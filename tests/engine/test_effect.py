"""Gradients that are zero, gradients that are small, and parts that nobody trains."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from kdharness.engine.effect import Effect
from kdharness.errors import CellError


def parameters(*gradients: float | None) -> list[nn.Parameter]:
    """One with each of these gradients."""
    made = [nn.Parameter(torch.ones(2)) for _ in gradients]
    for parameter, gradient in zip(made, gradients, strict=True):
        parameter.grad = None if gradient is None else torch.tensor([0.0, gradient])
    return made


def watched(student: list[nn.Parameter], *steps: list[nn.Parameter]) -> Effect:
    effect = Effect(student)
    effect.begin_epoch(watch=True)
    for step in steps:
        effect.note(step)
    return effect


def fails(effect: Effect, alone: bool = True) -> bool:
    try:
        effect.check({"ce": 0.0}, 1, alone)
    except CellError:
        return True
    return False


# The square of the smallest is zero in float32.
@pytest.mark.parametrize("gradient", [1.0, -1.0, 1e-30, -1e-30, float("nan"), float("inf")])
def test_one_gradient_in_one_step_is_enough(gradient: float) -> None:
    student = parameters(0.0, None, gradient)
    zero = parameters(0.0)
    assert not fails(watched([*student, *zero], student, zero))
    assert not fails(watched([*student, *zero], zero, student))


def test_zeros_alone_move_nothing() -> None:
    student = parameters(0.0, 0.0, None)
    assert fails(watched(student, student, student))


def test_the_method_s_own_parts_do_not_make_up_for_zeros() -> None:
    student, own = parameters(0.0), parameters(1.0)
    assert fails(watched(student, [*student, *own]), alone=False)


@pytest.mark.parametrize("alone", [True, False])
def test_no_loss_depends_on_the_student(alone: bool) -> None:
    student, own = parameters(None), parameters(1.0)
    assert fails(watched(student, [*student, *own]), alone) is alone
    assert fails(watched(student, [*student, *parameters(0.0)]), alone)


def test_nobody_says_anything_of_a_student_that_is_not_trained() -> None:
    student = parameters(0.0)
    assert not fails(watched(student, parameters(0.0)))
    assert not fails(watched(student))


def test_an_epoch_begins_anew() -> None:
    student, moved = parameters(0.0), parameters(1.0)
    effect = watched([*student, *moved], moved)
    effect.begin_epoch(watch=True)
    effect.note(student)
    assert fails(effect)


def test_gradients_of_few_rows() -> None:
    table = nn.Embedding(4, 2, sparse=True)
    loss: Tensor = table(torch.tensor([1])).sum()
    loss.backward()
    assert not fails(watched([table.weight], [table.weight]))


def test_no_term_is_told_that_is_withheld() -> None:
    student = parameters(0.0)
    with pytest.raises(CellError, match="was exactly zero: nothing is trained"):
        watched(student, student).check({}, 1, alone=True)
