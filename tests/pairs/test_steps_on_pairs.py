"""The check of steps notices what it is there for."""

from __future__ import annotations

import math

import pytest
import torch
from pair_world import registry_with
from steps_on_pairs import check_steps

from kdharness.api import Method, MethodSpec, Reads, hookimpl
from kdharness.testing.rehearsal import on_the_cpu

PAIR = "vgg13:vgg8"


class Plain(Method):
    """Learns from labels."""

    name = "plain"
    reads = Reads("none")

    def losses(self, batch, student, teacher):  # type: ignore[no-untyped-def]
        return {"ce": batch.task_loss(student.logits)}


class OnlyStages(Plain):
    """Does not reach the classifier."""

    name = "only_stages"
    reads = Reads("none", ("stages",))

    def losses(self, batch, student, teacher):  # type: ignore[no-untyped-def]
        return {"ce": student.stages[-1].square().mean()}


class Infinite(Plain):
    """Gives no finite number."""

    name = "infinite"

    def losses(self, batch, student, teacher):  # type: ignore[no-untyped-def]
        return {"ce": batch.task_loss(student.logits), "more": torch.full((), math.inf)}


class Idle(Plain):
    """Has a part that nothing trains."""

    name = "idle"

    def build(self, context) -> None:  # type: ignore[no-untyped-def]
        self.part = torch.nn.Linear(2, 2)


class Plugin:
    @hookimpl
    def kdharness_methods(self) -> list[MethodSpec]:
        return [MethodSpec.of(each, revision=1) for each in (Plain, OnlyStages, Infinite, Idle)]


def test_what_is_wrong_with_a_step_is_said_of_each_method() -> None:
    methods = ("plain", "only_stages", "infinite", "idle")
    with on_the_cpu() as device, pytest.raises(ExceptionGroup) as found:
        check_steps(PAIR, device, methods, registry_with(Plugin()))
    said = [(error.__notes__, str(error)) for error in found.value.exceptions]
    assert [notes for notes, _ in said] == [[f"method '{name}' on {PAIR}"] for name in methods[1:]]
    only_stages, infinite, idle = (text for _, text in said)
    assert "student.network.fc.weight" in only_stages
    assert "more in train" in infinite
    assert "method.part.weight" in idle
