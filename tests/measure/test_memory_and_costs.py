"""What networks and training steps cost, and that measuring it changes nothing."""

from __future__ import annotations

import gc
import time

import pytest
import torch
from torch import nn

from kdharness.api.staged import StagedModel
from kdharness.device.clock import Clock
from kdharness.device.door import open_device
from kdharness.device.memory import MemoryMeter
from kdharness.engine.member import Member
from kdharness.measure.costs import count_macs, count_parameters, latency_seconds

CPU = torch.device("cpu")
MB = 2**20


def network(registry, name: str, classes: int = 100, shape: tuple[int, int, int] = (3, 32, 32)) -> StagedModel:
    spec = registry.get("model", name).spec
    return StagedModel(spec.factory(classes, shape), spec, shape)


@pytest.mark.parametrize(("name", "millions"), [("resnet8x4", 177.1), ("resnet20", 40.8)])
def test_multiply_accumulates_of_known_networks(registry, name, millions):
    assert count_macs(network(registry, name), (3, 32, 32), CPU) / 1e6 == pytest.approx(millions, rel=0.01)


def test_multiply_accumulates_by_hand():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 16, 5))
    assert count_macs(model, (3, 4, 4), CPU) == 16 * 8 * 27 + 8 * 16 * 5
    assert count_parameters(model) == 8 * 27 + 8 + 8 * 16 * 5 + 5


def latency(module: nn.Module, shape: tuple[int, int, int], device: torch.device) -> float:
    return latency_seconds(module, shape, open_device(device.type))


@pytest.mark.parametrize("measure", [count_macs, latency])
def test_measuring_a_network_leaves_it_as_it_was(registry, measure):
    model = network(registry, "conv4", 10, (1, 8, 8)).train()
    model.network.stage2.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [m.training for m in model.modules()]
    assert measure(model, (1, 8, 8), CPU) > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes


class Broken(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise ValueError("broken")


@pytest.mark.parametrize("measure", [count_macs, latency])
def test_modes_are_put_back_when_the_network_raises(measure):
    model = Broken().train()
    with pytest.raises(ValueError, match="broken"):
        measure(model, (1, 8, 8), CPU)
    assert model.training


def test_peak_memory_by_hand():
    outside = torch.empty(8 * MB, dtype=torch.uint8)
    with MemoryMeter() as meter:
        first = torch.empty(MB, dtype=torch.uint8)
        assert (meter.held, meter.peak) == (MB, MB)
        second = torch.zeros(MB, dtype=torch.uint8)
        assert (meter.held, meter.peak) == (2 * MB, 2 * MB)
        view = second[::2]  # shares its memory
        second.add_(1)  # in place
        outside.add_(1)  # not made in here
        assert (meter.held, meter.peak) == (2 * MB, 2 * MB)
        del first
        gc.collect()
        assert meter.held == MB
        third = torch.empty(MB // 2, dtype=torch.uint8)
        assert (meter.held, meter.peak) == (3 * MB // 2, 2 * MB)
        del second
        gc.collect()
        assert meter.held == 3 * MB // 2  # the view holds it
    del view, third


def test_peak_memory_of_a_backward_pass():
    """The activation that the backward pass needs is held until then."""
    x = torch.ones(MB // 4, requires_grad=True)
    with MemoryMeter() as meter:
        y = x.exp()  # 1 MB, kept for the gradient
        z = y.sum()
        held = meter.held
        z.backward()
    assert MB <= held < 1.01 * MB
    assert 2 * MB <= meter.peak < 3.01 * MB


METHODS = ("vanilla", "kd", "dkd", "at", "sp", "rkd", "vid", "nst", "pkt", "dist", "fitnet", "cc", "lskd")


def test_a_step_under_the_meter_gives_the_same_bits(make_lab, monkeypatch):
    """Or the epoch in which memory is measured would train otherwise than the others."""
    bits = []
    original = Member.step
    for measured in (True, False):
        lab = make_lab(f"measured_{measured}")
        monkeypatch.setattr(Member, "step", lambda self, *args, on=measured: original(self, *args[:3], on))
        plan = lab.plan(methods=METHODS, scenarios=("few100",))
        lab.train_plan(plan)
        bits.append({p.cell.label: lab.bits(p.cell.key) for p in plan.cells})
    assert bits[0] == bits[1]


def test_peak_memory_covers_what_stands_between_steps(lab):
    records = lab.train_plan(lab.plan(methods=("vanilla",), scenarios=("few100",)))
    (record,) = records.values()
    weights = 4 * record.values["student_parameters"]
    # Weights, momentum, gradients, and the activations of 50 images.
    assert record.values["peak_memory_bytes"] > 3 * weights + 50 * 16 * 64 * 4


# -- time --------------------------------------------------------------------------------------------------------------


def test_a_nested_stretch_is_charged_to_its_own_account():
    clock = Clock()
    with clock.charge("cell"):
        time.sleep(0.02)
        with clock.charge("shared"):
            time.sleep(0.05)
        time.sleep(0.02)
    clock.settle()
    cell, shared = clock.take("cell"), clock.take("shared")
    assert 0.04 <= cell < 0.05 + 0.04
    assert shared >= 0.05
    assert clock.take("cell") == 0.0


def test_time_is_charged_when_the_block_raises():
    clock = Clock()

    def fail() -> None:
        with clock.charge("cell"), clock.charge("shared"):
            time.sleep(0.01)
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert clock.take("shared") >= 0.01
    assert clock.take("cell") < 0.01
    with clock.charge("cell"):
        pass
    assert clock.take("shared") == 0.0
