"""Learning rates as numbers and as tensors: what optimisers step with, what is kept, and what nobody looks at."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor

from kdharness.device.device import Device
from kdharness.device.door import open_device
from kdharness.engine.effect import Effect
from kdharness.engine.players import Players
from kdharness.engine.rates import Rate
from kdharness.registry.manager import Registry
from kdharness.testing.bench import Bench
from kdharness.testing.operations import operations
from kdharness.testing.optimizer_checks import OptimizerCase
from kdharness.testing.rehearsal import RecordingCpu
from kdharness.testing.taken_back import Before

BUILT_IN = ("sgd", "adam", "adamw", "dot", "lamb")
TWO_GROUPS = {"decay_norms_and_biases": False}


def case_of(name: str, **recipe: Any) -> OptimizerCase:
    return OptimizerCase(Registry.load().optimizers[name].spec, recipe)


def bench_of(name: str, device: Device, **recipe: Any) -> Bench:
    bench = Bench(case_of(name, **recipe), device)
    bench.member.request()
    return bench


def players_of(bench: Bench) -> Players:
    return bench.member.state.players


def step(bench: Bench, number: int, gradient: float = 1.0) -> None:
    """With gradients that are alike everywhere."""
    players = players_of(bench)
    for parameter in players.all_parameters():
        parameter.grad = torch.full_like(parameter, gradient / (number + 1))
    players.set_rates(bench.member.clock.place(number, 8))
    players.advance("main", None)


def weights(bench: Bench) -> list[Tensor]:
    return [p.detach().clone() for p in bench.member.student.parameters()]


def reread(state: Any) -> Any:
    """As a checkpoint is."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("name", BUILT_IN)
def test_where_steps_are_recorded_all_groups_share_one_tensor(name: str) -> None:
    bench = bench_of(name, RecordingCpu(), **TWO_GROUPS)
    players = players_of(bench)
    found = []
    for number in (0, 3, 6):
        step(bench, number)
        groups = players.optimizers["main"].param_groups
        assert len(groups) == 2
        assert all(group["lr"] is players.rates["main"] for group in groups)
        found.append(float(players.rates["main"]))
    recipe = players.phase_recipe
    assert found == pytest.approx([recipe.lr_at(0, 2, number, 8) for number in (0, 3, 6)])
    assert len(set(found)) == 3


@pytest.mark.parametrize("device", [open_device("cpu"), RecordingCpu(records=False)], ids=["cpu", "fused"])
def test_elsewhere_it_is_the_number(device: Device) -> None:
    bench = bench_of("adam", device, **TWO_GROUPS)
    step(bench, 3)
    players = players_of(bench)
    number = players.phase_recipe.lr_at(0, 2, 3, 8)
    groups = players.optimizers["main"].param_groups
    assert [group["lr"] for group in groups] == [number] * 2
    assert [group["capturable"] for group in groups] == [False] * 2
    assert float(players.rates["main"]) == pytest.approx(number)


def test_no_device_that_is_there_records_steps() -> None:
    """None has proved it."""
    devices = [open_device("cpu"), open_device("cuda:0")]
    assert [device.records for device in devices] == [False, False]


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("first", [True, False])
def test_a_state_of_the_one_serves_the_other(name: str, first: bool) -> None:
    """One kernel in both, and rates that float32 has: the same bits as without a change."""
    recipe = {"schedule": "constant", "warmup_epochs": 0, "lr": 0.125, **TWO_GROUPS}
    benches = {records: bench_of(name, RecordingCpu(records), **recipe) for records in (True, False)}
    begun, other = benches[first], benches[not first]
    for number in range(2):
        step(begun, number)
    state = reread(begun.member.state.state_dict())
    assert all(type(group["lr"]) is float for group in state["players"]["optimizers"]["main"]["param_groups"])
    other.member.state.load_state_dict(state)
    for bench in (begun, other):
        step(bench, 2)
    groups = players_of(other).optimizers["main"].param_groups
    assert all(isinstance(group["lr"], Tensor) is not first for group in groups)
    # Without torch's kernels a product with the tensor is rounded before it is added.
    rounding = 1e-6 if name in ("dot", "lamb") else 0
    torch.testing.assert_close(weights(begun), weights(other), rtol=rounding, atol=rounding)


def test_a_state_of_other_kernels_keeps_those_that_are_here() -> None:
    """What the plain ones wrote would have the tensor read back, and count steps on the host."""
    plain, recorded = bench_of("adam", open_device("cpu")), bench_of("adam", RecordingCpu())
    step(plain, 0)
    recorded.member.state.load_state_dict(reread(plain.member.state.state_dict()))
    step(recorded, 1)
    step(plain, 1)
    (group,) = players_of(recorded).optimizers["main"].param_groups
    assert (group["fused"], group["capturable"], isinstance(group["lr"], Tensor)) == (True, True, True)
    torch.testing.assert_close(weights(recorded), weights(plain))


@pytest.mark.parametrize("number", [0.0, 0.5])
def test_whether_a_step_moves_anything_is_known_without_a_look(number: float) -> None:
    student = [torch.nn.Parameter(torch.ones(2))]
    effect, rate = Effect(student), Rate(torch.device("cpu"))
    optimizer = torch.optim.SGD(student, lr=1.0)
    effect.follow(optimizer, rate)
    effect.begin_epoch(watch=True)
    rate.set(number)
    optimizer.param_groups[0]["lr"] = rate.tensor
    student[0].grad = torch.zeros(2)
    with operations() as found:
        effect._before_step(rate, optimizer)
    assert not found.read_backs
    assert effect._trains_student is bool(number)


def test_a_method_may_set_another_number() -> None:
    rate = Rate(torch.device("cpu"))
    rate.set(0.5)
    assert [rate.of({"lr": own}) for own in (rate.tensor, 0.0, 0.25)] == [0.5, 0.0, 0.25]


@pytest.mark.parametrize("records", [True, False])
def test_a_step_that_is_taken_back_leaves_the_rate_as_it_was(records: bool) -> None:
    bench = bench_of("adam", RecordingCpu(records))
    step(bench, 0)
    state, paced = bench.member.state, players_of(bench).paced["main"]
    number, tensor = paced.rate.number, paced.rate.tensor.clone()
    before = Before(state)
    step(bench, 5)
    assert paced.rate.number != number
    before.put_back()
    (group,) = paced.optimizer.param_groups
    assert paced.rate.number == number
    assert torch.equal(paced.rate.tensor, tensor)
    assert group["lr"] is paced.rate.tensor if records else group["lr"] == number
