"""Steps of optimisers that are recorded: built-in ones pass, and what bakes its rate in, or looks at it, is noticed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from kdharness.api import OptimizerSpec
from kdharness.registry.manager import Registry
from kdharness.testing import CheckFailed, CheckSkipped, MethodCase, OptimizerCase, optimizer_checks
from kdharness.testing.bench import Bench
from kdharness.testing.recorded_step import RecordedStep, unlike_when_replayed
from kdharness.testing.rehearsal import RecordingCpu, on_the_cpu
from kdharness.testing.replay import check_step_can_be_replayed

VARIANTS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "sgd nesterov": {"nesterov": True, "clip_norm": 0.1},
    "sgd without momentum": {"momentum": 0.0, "ema_decay": 0.9},
    "adam": {"decay_norms_and_biases": False},
    "adamw": {"weight_decay": 0.1},
    "dot": {"clip_norm": 0.1},
    "lamb": {},
}


def cases() -> list[Any]:
    known = Registry.load().optimizers
    tried = {label: OptimizerCase(known[label.split()[0]].spec, recipe) for label, recipe in VARIANTS.items()}
    return [
        pytest.param(f, id=f"{label}-{name}") for label, case in tried.items() for name, f in optimizer_checks(case)
    ]


@pytest.mark.parametrize("check", cases())
def test_built_in_optimisers(check: Callable[[], None]) -> None:
    try:
        check()
    except CheckSkipped as reason:
        if "driver" not in str(reason):
            raise
        pytest.skip(str(reason))  # of this torch's fake accelerator


def test_every_built_in_optimiser_is_among_them() -> None:
    known = Registry.load().optimizers
    assert {label.split()[0] for label in VARIANTS} == {n for n, found in known.items() if found.spec.capturable}
    assert all(found.spec.capturable for found in known.values())


class Reads(torch.optim.SGD):
    """Torch's, in the kernel that looks at its rate."""

    def __init__(self, params: Any, lr: float, weight_decay: float) -> None:
        super().__init__(params, lr, weight_decay=weight_decay)


class Sound(torch.optim.Optimizer):
    """Multiplies by its rate."""

    def __init__(self, params: Any, lr: float, weight_decay: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(self._rate(group) * parameter.grad)

    def _rate(self, group: dict[str, Any]) -> Tensor:
        rate: Tensor = group["lr"]
        return rate


class Counts(Sound):
    """Its rate falls with a count that is kept in Python."""

    steps = 0

    def _rate(self, group: dict[str, Any]) -> Tensor:
        self.steps += 1
        return super()._rate(group) / math.sqrt(self.steps)


class Ignores(Sound):
    """Steps with a rate of its own where it is given a tensor."""

    def _rate(self, group: dict[str, Any]) -> Tensor:
        return super()._rate(group) if isinstance(group["lr"], float) else torch.tensor(0.01)


def outcomes(spec: OptimizerSpec) -> dict[str, str]:
    """By check, what it says; '' where it passes."""
    found = {}
    for name, check in optimizer_checks(spec):
        try:
            check()
            found[name] = ""
        except (CheckFailed, CheckSkipped) as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def test_one_of_a_plugin_passes() -> None:
    found = outcomes(OptimizerSpec("sound", Sound, capturable=True))
    assert [said for said in found.values() if said and "driver" not in said] == []
    assert len(found) == 3


def test_one_that_looks_at_its_rate_is_noticed() -> None:
    found = outcomes(OptimizerSpec("reads", Reads, capturable=True))
    assert "waits for the device (_local_scalar_dense)" in found["check_a_replayed_step_follows_the_rate"]
    said = found["check_no_rate_is_read_back"]
    assert "numbers that are on the device" in said or "driver" in said


def test_one_that_bakes_a_number_in_is_noticed() -> None:
    found = outcomes(OptimizerSpec("counts", Counts, capturable=True))
    assert "is not the step of that rate: student." in found["check_a_replayed_step_follows_the_rate"]


def test_one_that_steps_otherwise_with_a_tensor_is_noticed() -> None:
    found = outcomes(OptimizerSpec("ignores", Ignores, capturable=True))
    said = found["check_a_tensor_steps_as_a_number_does"]
    assert said.startswith("CheckFailed: step 1 moves network.")
    assert said.endswith("otherwise where the learning rate is a tensor")


def test_one_that_does_not_say_so_is_not_recorded_with_the_reason() -> None:
    reason = (
        "CheckSkipped: no step is recorded: the optimizer 'sound' of player 'main' takes its learning rate "
        "as a number: its spec does not say capturable=True"
    )
    said = outcomes(OptimizerSpec("sound", Sound)).values()
    assert {one for one in said if "driver" not in one} == {reason}


def test_one_that_torch_records_on_devices_alone_says_so() -> None:
    spec = OptimizerSpec("nadam", torch.optim.NAdam, capturable=True)
    found = outcomes(spec)
    alone = "CheckSkipped: torch counts the steps of this optimiser on the host where there is no device"
    assert found["check_a_tensor_steps_as_a_number_does"] == alone
    assert found["check_a_replayed_step_follows_the_rate"] == alone


def test_a_rate_that_is_a_number_stays_in_the_recording() -> None:
    """What the tensor is for: without it the replayed step has the old rate."""
    case = OptimizerCase(Registry.load().optimizers["sgd"].spec)
    with on_the_cpu():
        benches = [Bench(case, RecordingCpu(records=False)) for _ in range(2)]
        assert unlike_when_replayed(*benches).startswith("student.")


@pytest.mark.parametrize("method", ["kd", "at", "fitnet", "dot"])
def test_steps_of_methods_are_replayed_bit_by_bit(method: str) -> None:
    """Teacher, taps and named gradients too."""
    case = MethodCase(Registry.load().get("method", method).spec)
    with on_the_cpu():
        assert unlike_when_replayed(*(Bench(case, RecordingCpu()) for _ in range(2))) == ""


def test_a_replay_runs_every_operation_again_where_its_tensors_are() -> None:
    x = torch.ones(3)
    with RecordedStep() as step:
        y = x * 2
        z = y[1:]
        z.add_(1)
        total = y.sum()
    x.fill_(5)
    step.replay()
    assert (y.tolist(), float(total)) == ([10.0, 11.0, 11.0], 32.0)


def test_a_recording_refuses_what_waits() -> None:
    with pytest.raises(CheckFailed, match="waits for the device"), RecordedStep():
        torch.ones(1).item()


def test_the_check_of_a_method_says_that_its_optimiser_is_not_recorded() -> None:
    import unrecorded_optimizer

    case = MethodCase(unrecorded_optimizer.SPEC)
    with pytest.raises(
        CheckSkipped, match="the optimizer 'plain' of player 'main' takes its learning rate as a number"
    ):
        check_step_can_be_replayed(case)
