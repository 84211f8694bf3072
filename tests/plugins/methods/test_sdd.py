"""SDD: logits of cells, the weights of those on which the teacher changes its mind, and the three kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods.dkd import dkd_loss
from kdharness_plugins.methods.kd import kd_loss
from kdharness_plugins.methods.sdd import local_logits, sdd_dkd_loss, sdd_loss, sdd_nkd_loss
from method_world import SPECS, World
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]


def array(tensor: Any) -> Array:
    found: Array = tensor.detach().double().numpy()
    return found


def cells_of(classes: int = 5, cells: int = 5, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(4, classes, cells, generator=generator, dtype=torch.float64)


TARGETS = torch.tensor([0, 1, 1, 0])


@pytest.mark.parametrize(("scales", "cells"), [((1,), 1), ((1, 2), 5), ((1, 2, 4), 21)])
def test_cells_are_classified_by_the_network_s_own_classifier(scales: tuple[int, ...], cells: int) -> None:
    world = World(shape=(3, 16, 16))
    outputs = world.student.run(world.images, ("stages",))
    found = local_logits(world.student, outputs.maps(-1), "own", scales)
    assert found.shape == (6, 5, cells)
    torch.testing.assert_close(found[:, :, 0], outputs.logits)
    weight, bias = (array(p) for p in (world.student.classifier.weight, world.student.classifier.bias))
    feature = array(outputs.maps(-1))
    assert feature.shape[2:] == (4, 4)
    expected = [feature.reshape(6, 16, k, 4 // k, k, 4 // k).mean((3, 5)).reshape(6, 16, -1) for k in scales]
    np.testing.assert_allclose(
        array(found),
        np.einsum("kd,ndm->nkm", weight, np.concatenate(expected, 2)) + bias[:, None],
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("kind", ["kd", "dkd"])
def test_one_cell_is_the_method_on_the_whole_image(kind: str) -> None:
    student, teacher = cells_of(cells=1), cells_of(cells=1, seed=1)
    whole = student[:, :, 0], teacher[:, :, 0]
    if kind == "kd":
        torch.testing.assert_close(sdd_loss(student, teacher, TARGETS, 3.0), kd_loss(*whole, 3.0))
    else:
        found = sdd_dkd_loss(student, teacher, TARGETS, 2.0, 5.0, 3.0)
        torch.testing.assert_close(found, dkd_loss(*whole, TARGETS, 2.0, 5.0, 3.0))


def test_cells_where_the_teacher_changes_its_mind_count_twice() -> None:
    """Right on the whole and wrong on the cell, or the other way; wrong on both in two ways is one mind."""
    answers = torch.tensor([[0, 0, 2], [2, 1, 3]])  # of three cells, the first the whole; the labels are 0 and 1
    teacher = torch.nn.functional.one_hot(answers, 4).transpose(1, 2).double()
    student = torch.zeros(2, 4, 3, dtype=torch.float64)
    one = kd_loss(student[:1, :, 0], teacher[:1, :, 0], 1.0)  # the same for all cells
    found = sdd_loss(student, teacher, torch.tensor([0, 1]), 1.0)
    torch.testing.assert_close(found, one * (1 + 1 + 2 + 1 + 2 + 1) / 6)


def test_the_label_is_not_among_the_other_classes_of_nkd() -> None:
    """In the public code it is: with gamma alone left, what the student gives the label must not matter."""
    student, teacher = cells_of(), cells_of(seed=1)
    raised = student.clone()
    raised[torch.arange(4), TARGETS] += 7.0

    def others(logits: Tensor) -> Tensor:
        return sdd_nkd_loss(logits, teacher, TARGETS, 2.0, 3.0) - sdd_nkd_loss(logits, teacher, TARGETS, 0.0, 3.0)

    torch.testing.assert_close(others(raised), others(student))


def test_a_network_that_diverged_is_no_loss_of_zero() -> None:
    """The public code replaces what is not a number by 0."""
    assert sdd_loss(torch.full((4, 5, 5), float("inf")), cells_of(), TARGETS, 4.0).isnan()


@pytest.mark.parametrize(
    ("kind", "weights"), [("kd", (0.1, 0.9, 0)), ("dkd", (1, 1, 20)), ("nkd", (1, 1, 20))], ids=["kd", "dkd", "nkd"]
)
def test_what_losses_returns(kind: str, weights: tuple[float, float, int]) -> None:
    world = World(classes=2)
    method = world.built("sdd", kind=kind, beta=6.0, alpha=2.0, temperature=3.0)
    student, teacher = world.outputs(method, world.batch())
    locals_ = [
        local_logits(outputs.model, outputs.maps(-1), "own" if outputs is student else "frozen", (1, 2, 4))
        for outputs in (student, teacher)
    ]
    expected = {
        "kd": lambda: sdd_loss(*locals_, world.targets, 3.0),
        "dkd": lambda: sdd_dkd_loss(*locals_, world.targets, 2.0, 6.0, 3.0),
        "nkd": lambda: sdd_nkd_loss(*locals_, world.targets, 6.0, 3.0),
    }[kind]()
    share = 1.0 if weights[2] == 0 else 0.25 * 40 / 20
    losses = method.losses(world.batch(progress=0.25), student, teacher)
    torch.testing.assert_close(losses["sdd"], weights[1] * share * expected)
    torch.testing.assert_close(losses["ce"], weights[0] * world.batch().task_loss(student.logits))


def test_what_is_given_goes_before_what_the_kind_has() -> None:
    settings = SPECS["sdd"].factory(kind="dkd", ce_weight=0.5, weight=0.0, warmup_epochs=3).settings
    assert (settings.ce_weight, settings.weight, settings.warmup_epochs) == (0.5, 0.0, 3)


@pytest.mark.parametrize(("scales", "shown"), [((2, 4), "2, 4"), ((), "empty")])
def test_the_first_scale_is_the_whole_image(scales: tuple[int, ...], shown: str) -> None:
    reason = SPECS["sdd"].factory(scales=scales).skip(World().context)
    assert reason == f"scales is {shown}: the first is to be 1, the whole image"
