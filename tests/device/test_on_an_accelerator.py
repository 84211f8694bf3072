"""What only a device can show, and no rehearsal: these tests need one, and say so where there is none.

Not shown anywhere else: kernels and their numbers, fused optimisers, generators of the device, autocast and TF32,
events, and memory of the device. Streams and captured graphs are not used yet.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from kdharness.device import ACCELERATOR
from kdharness.device.device import Device
from kdharness.device.door import open_device
from kdharness.engine.optimizers import OptimizerFactory
from kdharness.protocol.recipe import Recipe
from kdharness.registry.manager import Registry
from kdharness.results.record import Status
from kdharness.testing import Lab


@pytest.fixture
def accelerator() -> Device:
    if not torch.accelerator.is_available():
        pytest.skip("not run: fused optimisers, generators, autocast, events and memory need a device")
    device = open_device(f"{ACCELERATOR}:0")
    device.use()
    return device


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_fused_optimisers_step_as_the_others_do(accelerator: Device, name: str) -> None:
    recipe = Recipe.model_validate({"epochs": 1, "optimizer": name, "lr": 0.01})
    registry = Registry.load()
    parameters = {parameter.name: parameter.default for parameter in registry.optimizers[name].spec.parameters}
    ends = []
    for fused in (False, accelerator.fused):
        torch.manual_seed(0)
        network = accelerator.put(nn.Linear(8, 4))
        factory = OptimizerFactory(registry, {name: {"parameters": parameters}}, fused)
        optimizer = factory.make(recipe, {}, list(network.parameters()), frozenset())
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.ones(2, 8, device=accelerator.torch)).square().sum().backward()
            optimizer.step()
        ends.append(network.weight.detach().cpu())
    torch.testing.assert_close(*ends)


def test_a_cells_draws_on_the_device_are_its_own(accelerator: Device) -> None:
    state, other = accelerator.random_state(0), accelerator.random_state(1)
    with state.active():
        first = torch.rand(3, device=accelerator.torch)
    with other.active():
        torch.rand(3, device=accelerator.torch)
    with state.active():
        second = torch.rand(3, device=accelerator.torch)
    with accelerator.random_state(0).active():
        undisturbed = [torch.rand(3, device=accelerator.torch) for _ in range(2)]
    assert [first.tolist(), second.tolist()] == [draw.tolist() for draw in undisturbed]


def test_time_is_that_of_the_device(accelerator: Device) -> None:
    clock = accelerator.clock()
    x = torch.ones(256, 256, device=accelerator.torch)
    with clock.charge("work"):
        for _ in range(20):
            x = x @ x / 256
    clock.settle()
    assert 0 < clock.take("work") < 60


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_group_gives_the_bits_of_its_cells_alone(
    accelerator: Device, make_lab: Callable[..., Lab], precision: str
) -> None:
    group, solo = make_lab("group", device=accelerator), make_lab("solo", device=accelerator)
    settings = (f"recipe.precision={precision}",)
    plan = group.plan(methods=("vanilla", "kd", "at"), scenarios=("few100",), settings=settings)
    records = group.train_plan(plan)
    assert {record.status for record in records.values()} == {Status.OK}
    for cell in (planned.cell for planned in plan.cells if planned.cell.role == "student"):
        solo.take(group, [cell])
        solo.train([cell], alone=True)
        assert solo.bits(cell.key) == group.bits(cell.key)
