"""What is counted of a piece of training, and what counts as waiting for a device."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kdharness.testing.operations import operations


def test_views_are_no_operations() -> None:
    x = torch.ones(2, 3)
    with operations() as found:
        x.view(6).reshape(3, 2).t()[0].detach()
        assert found.count == 0
        x.add(1).mul_(2)
    assert (found.count, found.read_backs) == (2, [])


WAITING: dict[str, Callable[[Tensor], object]] = {
    "item": lambda x: x.sum().item(),
    "float": lambda x: float(x[0]),
    "if": lambda x: bool(x.sum() > 0),
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 0],
    "write by a mask": lambda x: x.clone().__setitem__(x > 0, torch.ones(3)),
    "masked_select": lambda x: x.masked_select(x > 0),
    "unique": lambda x: x.unique(),
    "bincount": lambda x: x.long().bincount(),
    "equal": lambda x: torch.equal(x, x),
    "repeat_interleave": lambda x: x.repeat_interleave(torch.tensor([1, 2, 3])),
}


@pytest.mark.parametrize("name", WAITING)
def test_what_waits_for_the_device(name: str) -> None:
    with operations() as found:
        WAITING[name](torch.ones(3))
    assert found.read_backs


FREE: dict[str, Callable[[Tensor], object]] = {
    "index": lambda x: x[torch.tensor([0, 2])],
    "where": lambda x: torch.where(x > 0, x, -x),
    "repeat": lambda x: x.repeat_interleave(2),
    "gather": lambda x: x.gather(0, x.long()),
    "draw on the host": lambda x: int(torch.randint(3, (), generator=torch.Generator())),
    "order on the host": lambda x: torch.randperm(3, generator=torch.Generator()).add(1).unique().tolist(),
}


@pytest.mark.parametrize("name", FREE)
def test_what_does_not(name: str) -> None:
    with operations() as found:
        FREE[name](torch.ones(3))
    assert found.read_backs == []


def test_a_draw_that_met_the_device_is_on_the_device() -> None:
    with operations() as found:
        float(torch.rand((), generator=torch.Generator()) * torch.ones(()))
    assert found.read_backs == ["_local_scalar_dense"]


def test_an_optimiser_s_own_counts_are_passed_over_and_no_others() -> None:
    weight = torch.ones(3, requires_grad=True)
    adam = torch.optim.Adam([weight])
    with operations() as found:
        weight.square().sum().backward()
        adam.step()
        assert found.read_backs == []
        weight.detach().sum().item()
    assert found.read_backs == ["_local_scalar_dense"]
    assert found.count > 10


def test_one_hot_of_so_many_classes_looks_at_nothing_and_of_unknown_ones_does() -> None:
    targets = torch.tensor([0, 2, 1])
    with operations() as found:
        F.one_hot(targets, 3)
        F.one_hot(targets, num_classes=3)
    assert found.read_backs == []
    assert found.waited == ""
    with operations() as found:
        F.one_hot(targets)
    assert found.read_backs


def test_a_wait_is_named_with_the_line_of_the_plugin() -> None:
    with operations() as found:
        torch.ones(2).sum().item()
    assert re.fullmatch(rf"_local_scalar_dense in {re.escape(__file__)}:\d+", found.waited)
