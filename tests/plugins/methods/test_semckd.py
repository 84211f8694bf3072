"""SemCKD: attention between all stages, for batches of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods.semckd import semckd_loss
from method_world import World
from numpy.typing import NDArray

Array = NDArray[np.float64]


def array(tensor: Any) -> Array:
    found: Array = tensor.detach().double().numpy()
    return found


def described(maps: Array, mlp: Any, batch_size: int) -> Array:
    """Queries or keys of maps [N, C, H, W], a row of inner products for each sample."""
    flat = maps.reshape(len(maps), -1)
    rows = np.zeros((len(maps), batch_size))
    rows[:, : len(maps)] = flat @ flat.T
    hidden = np.maximum(rows @ array(mlp[0].weight).T + array(mlp[0].bias), 0)
    found: Array = hidden @ array(mlp[2].weight).T + array(mlp[2].bias)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def pooled(maps: Array, size: int) -> Array:
    n, c, h, _ = maps.shape
    return maps.reshape(n, c, size, h // size, size, h // size).mean((3, 5))


@pytest.mark.parametrize("samples", [8, 5, 2])
def test_the_term_is_the_papers(samples: int) -> None:
    """Of a full batch, and of shorter ones, whose rows are filled up with zeros."""
    world = World(samples=samples, batch_size=8, teacher_name="vgg8", student_name="conv4")
    method = world.built("semckd", weight=2.0, softness=0.5).eval()
    student, teacher = world.outputs(method, world.batch())
    students, teachers = [array(f) for f in student.stages], [array(f) for f in teacher.stages]
    queries = np.stack([described(f, mlp, 8) for f, mlp in zip(students, method.queries, strict=True)], 1)
    keys = np.stack([described(f, mlp, 8) for f, mlp in zip(teachers, method.keys, strict=True)], 1)
    energy = np.exp(np.einsum("nsd,ntd->nst", queries, keys) / 0.5)
    attention = energy / energy.sum(2, keepdims=True)
    total = 0.0
    for s, source in enumerate(students):
        for t, target in enumerate(teachers):
            size = min(source.shape[2], target.shape[2])
            with torch.no_grad():
                given = torch.from_numpy(pooled(source, size)).float()
                projected = array(method.projectors[s * len(teachers) + t](given))
            distance = ((projected - pooled(target, size)) ** 2).mean((1, 2, 3))
            total += (attention[:, s, t] * distance).sum()
    losses = method.losses(world.batch(), student, teacher)
    assert losses["semckd"].item() == pytest.approx(2 * total / (samples * len(students)), rel=1e-3)


def test_every_sample_attends_to_all_stages_of_the_teacher() -> None:
    world = World(samples=5, batch_size=8)
    method = world.built("semckd")
    student, teacher = world.outputs(method, world.batch())
    attention = method.attention(student.stages, teacher.stages)
    assert attention.shape == (5, 3, 3)
    torch.testing.assert_close(attention.sum(dim=2), torch.ones(5, 3))
    sharp = world.built("semckd", softness=0.01).attention(student.stages, teacher.stages)
    assert (sharp.amax(dim=2) >= attention.amax(dim=2)).all()


def test_a_short_batch_is_a_full_one_with_blank_images_for_those_that_are_there() -> None:
    world = World(samples=3, batch_size=6)
    method = world.built("semckd")
    student, teacher = world.outputs(method, world.batch())
    filled = [
        [torch.cat([maps, torch.zeros(3, *maps.shape[1:])]) for maps in outputs.stages]
        for outputs in (student, teacher)
    ]
    torch.testing.assert_close(
        method.attention(*filled)[:3], method.attention(student.stages, teacher.stages), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(("batch_size", "width"), [(64, 16), (6, 2), (2, 2)])
def test_queries_are_a_quarter_of_the_batch_and_never_one_number(batch_size: int, width: int) -> None:
    method = World(batch_size=batch_size).built("semckd")
    assert {mlp[2].out_features for mlp in (*method.queries, *method.keys)} == {width}
    assert {mlp[0].in_features for mlp in (*method.queries, *method.keys)} == {batch_size}


def test_a_larger_batch_is_cut() -> None:
    world = World(samples=6, batch_size=4)
    assert all(loss.isfinite() for loss in world.losses(world.built("semckd")).values())


def test_attention_is_trained() -> None:
    world = World()
    method = world.built("semckd")
    world.losses(method)["semckd"].backward()
    assert all(p.grad is not None and p.grad.any() for p in method.projectors.parameters())
    last = [mlp[2].weight for mlp in (*method.queries, *method.keys)]
    assert all(weight.grad is not None and weight.grad.any() for weight in last)


def test_equal_maps_have_no_distance_whatever_attends() -> None:
    maps = [torch.randn(2, 3, 4, 4), torch.randn(2, 5, 2, 2)]
    assert semckd_loss(maps, maps, torch.rand(2, 1, 2)).item() == 0
