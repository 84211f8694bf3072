"""MEAL against numbers that its authors' code made in float64, from a small network of theirs with three pools.

Its gradient reversal fails on today's torch, and it has no alternate updates: these are its joint loss with the sign of
the student's gradient turned, before and after one step of the discriminators.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods.meal import MEAL
from torch import Tensor

from kdharness.api import Batch, BuildContext, ModelShape, Step, StepInfo

with np.load(Path(__file__).parents[2] / "vectors" / "meal.npz") as archive:
    VECTORS = {name: torch.from_numpy(np.asarray(array)) for name, array in archive.items()}

GAMMA, ETA = (0.3, 0.7, 1.2), (0.5, 2.0, 1.5)
POOLINGS = ("average", "maximum")
PUBLISHED = ("ce", "l1", "l2", "l1_soft", "l2_soft")
D_STEP = 0.1
STEP = StepInfo("train", torch.tensor(0), 1, torch.zeros((), dtype=torch.float64))


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@dataclass(frozen=True)
class Given:
    """In place of Outputs, which are float32."""

    stages: list[Tensor]
    logits: Tensor


def outputs_of(side: str) -> Any:
    leaves = [VECTORS[f"{side}{stage}"].clone().requires_grad_(side == "student") for stage in range(3)]
    return Given(leaves[:2], leaves[2])


def shape_of(side: str) -> ModelShape:
    stages = tuple(tuple(VECTORS[f"{side}{stage}"].shape[1:]) for stage in range(2))
    return ModelShape(side, stages, pre_activations=(), embedding=None)


def published(**parameters: Any) -> MEAL:
    """MEAL with the weights and sizes of the vectors, its discriminators those that they were made with."""
    method = MEAL(stage_weights=GAMMA, adversarial_weights=ETA, pooled_sizes=(6, 20), **parameters)
    given = {
        "num_classes": 10,
        "student": shape_of("student"),
        "teachers": (shape_of("teacher"),),
        "teacher_models": (),
        "make_generator": lambda name, on_device: torch.Generator().manual_seed(0),
    }
    context = BuildContext(**{field.name: given.get(field.name) for field in dataclasses.fields(BuildContext)})
    assert method.skip(context) is None
    method.build(context)
    for number, discriminator in enumerate(method.discriminators):
        discriminator.load_state_dict({name: VECTORS[f"d{number}.{name}"] for name in discriminator.state_dict()})
    return method


def losses_of(method: MEAL, student: Any) -> dict[str, Tensor]:
    images = torch.zeros(4, 3, 8, 8)
    return method.losses(Batch(images, torch.arange(4), STEP, views=(images,)), student, [outputs_of("teacher")])


def leaves_of(student: Any) -> list[Tensor]:
    return [*student.stages, student.logits]


def assert_gradients(found: list[Tensor], name: str, sign: float = 1.0) -> None:
    for stage, gradient in enumerate(found):
        expected = sign * VECTORS[f"{name}.grad{stage}"]
        assert expected.any()
        torch.testing.assert_close(gradient, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("similarity", PUBLISHED)
def test_similarities_and_their_gradients(pooling: str, similarity: str) -> None:
    method = published(pooling=pooling, similarity=similarity, adv_mode="none")
    student = outputs_of("student")
    losses = losses_of(method, student)
    assert set(losses) == {"similarity"}
    torch.testing.assert_close(losses["similarity"], VECTORS[f"{pooling}.{similarity}.loss"], rtol=1e-12, atol=0)
    assert_gradients(list(torch.autograd.grad(losses["similarity"], leaves_of(student))), f"{pooling}.{similarity}")


@pytest.mark.parametrize("pooling", POOLINGS)
def test_kl_is_ce_less_the_teachers_entropy(pooling: str) -> None:
    """Its gradient is that of ce: the entropy is the teacher's."""
    method = published(pooling=pooling, similarity="kl", adv_mode="none")
    student = outputs_of("student")
    loss = losses_of(method, student)["similarity"]
    assert loss < VECTORS[f"{pooling}.ce.loss"]
    assert_gradients(list(torch.autograd.grad(loss, leaves_of(student))), f"{pooling}.ce")


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize(("adv_mode", "sign"), [("joint_same_sign", 1.0), ("grl", -1.0)])
def test_discriminators_with_a_weight_of_each_stage(pooling: str, adv_mode: str, sign: float) -> None:
    method = published(pooling=pooling, adv_mode=adv_mode)
    student = outputs_of("student")
    loss = losses_of(method, student)["adversarial"]
    torch.testing.assert_close(loss, VECTORS[f"{pooling}.adv.loss"], rtol=1e-12, atol=0)
    loss.backward()
    assert_gradients([leaf.grad for leaf in leaves_of(student)], f"{pooling}.adv", sign)
    for number, discriminator in enumerate(method.discriminators):
        for name, parameter in discriminator.named_parameters():
            expected = VECTORS[f"{pooling}.d{number}.{name}.grad"]
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_alternate_updates_climb_the_loss_of_the_new_discriminators(pooling: str) -> None:
    method = published(pooling=pooling, adv_mode="alternate", similarity_weight=0.0)
    student = outputs_of("student")
    losses = losses_of(method, student)
    torch.testing.assert_close(losses["adversarial"], VECTORS[f"{pooling}.adv.loss"], rtol=1e-12, atol=0)
    parts = {"main": leaves_of(student), "discriminators": list(method.discriminators.parameters())}
    before = [leaf.detach().clone() for leaf in parts["main"]]
    optimizers = {name: torch.optim.SGD(tensors, lr=D_STEP) for name, tensors in parts.items()}
    tags = {name: method.terms[name] for name in losses}
    method.update(Step(losses, tags, optimizers, parts, lambda: losses, STEP))
    climbed = [(after.detach() - start) / D_STEP for after, start in zip(parts["main"], before, strict=True)]
    for stage, gradient in enumerate(climbed):
        expected = VECTORS[f"{pooling}.after.grad{stage}"]
        torch.testing.assert_close(gradient, expected, rtol=1e-8, atol=1e-13)
        assert not torch.allclose(expected, VECTORS[f"{pooling}.adv.grad{stage}"], rtol=1e-8, atol=1e-13)
