"""The pure loss functions, in float64: against reference vectors, and against what their papers promise."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

VECTORS = Path(__file__).parents[2] / "vectors"
INDEX = json.loads((VECTORS / "index.json").read_text())
LOGITS = ("kd", "dkd", "dist", "lskd")
EMBEDDING = ("rkd", "pkt", "cc")
FEATURES = ("at", "nst", "sp")
CONSTANTS = {name: entry["constants"] for name, entry in INDEX.items()}

# Losses that are not called as their method is.
MODULES = {"hcl": "reviewkd"}

torch.set_num_threads(1)


def loss_function(name: str) -> Callable[..., Tensor]:
    return getattr(import_module(f"kdharness_plugins.methods.{MODULES.get(name, name)}"), f"{name}_loss")


def constants_of(name: str) -> dict[str, float]:
    """The constants that the function takes; others (an eps, say) are its own."""
    taken = inspect.signature(loss_function(name)).parameters
    return {key: value for key, value in CONSTANTS[name].items() if key in taken}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def feature_maps(*shapes: tuple[int, ...], seed: int = 0) -> list[Tensor]:
    return [random(*shape, seed=seed + k) for k, shape in enumerate(shapes)]


@pytest.mark.parametrize("name", sorted(INDEX))
def test_reference_vector(name: str) -> None:
    with np.load(VECTORS / f"{name}.npz") as archive:
        arrays = dict(archive)
    arguments: dict[str, Tensor | list[Tensor]] = {}
    leaves: dict[str, Tensor] = {}
    for key in (k.removeprefix("in.") for k in arrays if k.startswith("in.")):
        tensor = torch.from_numpy(arrays[f"in.{key}"])
        if f"out.grad.{key}" in arrays:
            leaves[key] = tensor.requires_grad_()
        argument, _, stage = key.partition(".")
        if stage:
            arguments.setdefault(argument, []).append(tensor)
        else:
            arguments[argument] = tensor
    loss = loss_function(name)(**arguments, **constants_of(name))
    loss.backward()
    assert leaves
    assert loss.dtype == torch.float64
    np.testing.assert_allclose(loss.item(), arrays["out.loss"], rtol=1e-9)
    for key, leaf in leaves.items():
        expected = arrays[f"out.grad.{key}"]
        assert np.linalg.norm(leaf.grad.numpy() - expected) < 1e-9 * np.linalg.norm(expected), key


def example(name: str, seed: int, samples: int = 5) -> Tensor | list[Tensor]:
    """One network's side of a loss: what `name` compares."""
    if name in FEATURES:
        return feature_maps((samples, 4, 4, 4), (samples, 6, 2, 2), seed=seed)
    return random(samples, 7, seed=seed)


def call(name: str, student: Tensor | list[Tensor], teacher: Tensor | list[Tensor]) -> Tensor:
    targets = (torch.arange(len(student)) % 7,) if name == "dkd" else ()
    return loss_function(name)(student, teacher, *targets, **constants_of(name))


@pytest.mark.parametrize("name", [*LOGITS, *EMBEDDING, *FEATURES])
def test_loss_is_zero_for_an_equal_student_and_positive_otherwise(name: str) -> None:
    teacher = example(name, seed=1)
    assert call(name, teacher, teacher).abs() < 1e-12
    assert call(name, example(name, seed=20), teacher) > 1e-4


@pytest.mark.parametrize("name", [*LOGITS, "rkd", "pkt", *FEATURES])
def test_no_gradient_reaches_the_teacher(name: str) -> None:
    student, teacher = example(name, seed=1), example(name, seed=20)
    for tensor in [*(student if name in FEATURES else [student]), *(teacher if name in FEATURES else [teacher])]:
        tensor.requires_grad_()
    call(name, student, teacher).backward()
    assert all(t.grad is None for t in (teacher if name in FEATURES else [teacher]))
    assert all(s.grad is not None and s.grad.abs().sum() > 0 for s in (student if name in FEATURES else [student]))


def test_dkd_with_the_teachers_own_weight_on_the_other_classes_is_kd() -> None:
    """Equation 7 of the DKD paper: KD = TCKD + (1 - p_t^T) NCKD."""
    student, teacher = random(1, 7), random(1, 7, seed=1)
    rest = 1 - F.softmax(teacher / 4, dim=1)[0, 3].item()
    dkd = loss_function("dkd")(student, teacher, torch.tensor([3]), 1.0, rest, 4.0)
    torch.testing.assert_close(dkd, loss_function("kd")(student, teacher, 4.0), rtol=1e-12, atol=0)


def test_dkd_is_finite_for_a_student_that_is_sure() -> None:
    student = torch.tensor([[1000.0, 0.0, -1000.0]], requires_grad=True)
    loss = loss_function("dkd")(student, torch.tensor([[0.0, 2.0, 1.0]]), torch.tensor([0]), 1.0, 8.0, 1.0)
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize("name", ["dist", "lskd"])
def test_scale_of_the_teachers_logits(name: str) -> None:
    """LSKD does not see it, KD does; DIST does not see a scale of probabilities, which that of logits is not."""
    student, teacher = random(5, 7), random(5, 7, seed=1)
    same = torch.isclose(call(name, student, teacher), call(name, student, 3 * teacher + 1), rtol=1e-6)
    assert bool(same) == (name == "lskd")


@pytest.mark.parametrize("name", ["at", "nst"])
@pytest.mark.parametrize("larger", ["student", "teacher"])
def test_larger_map_is_average_pooled(name: str, larger: str) -> None:
    large, small = random(3, 5, 8, 4), random(3, 6, 4, 2, seed=1)
    pooled = large.reshape(3, 5, 4, 2, 2, 2).mean(dim=(3, 5))
    order = 1 if larger == "student" else -1
    got = loss_function(name)(*[[large], [small]][::order])
    torch.testing.assert_close(got, loss_function(name)(*[[pooled], [small]][::order]), rtol=1e-12, atol=0)


def test_pooling_to_a_size_that_does_not_divide() -> None:
    large, small = random(2, 3, 7, 7), random(2, 3, 4, 4, seed=1)
    got = loss_function("at")([large], [small])
    expected = loss_function("at")([F.adaptive_avg_pool2d(large, 4)], [small])
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)


def test_nst_equals_the_kernel_written_out() -> None:
    student, teacher = random(2, 3, 4, 4), random(2, 5, 4, 4, seed=1)

    def mean_kernel(a: Tensor, b: Tensor) -> float:
        a, b = F.normalize(a.flatten(2), dim=2), F.normalize(b.flatten(2), dim=2)
        values = [torch.dot(x, y).item() ** 2 for n in range(len(a)) for x in a[n] for y in b[n]]
        return sum(values) / len(values)

    expected = mean_kernel(student, student) + mean_kernel(teacher, teacher) - 2 * mean_kernel(student, teacher)
    assert loss_function("nst")([student], [teacher]).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", FEATURES)
def test_features_in_channels_last_give_the_same(name: str) -> None:
    student, teacher = example(name, seed=1), example(name, seed=20)
    last = [s.contiguous(memory_format=torch.channels_last) for s in student]
    torch.testing.assert_close(call(name, last, teacher), call(name, student, teacher), rtol=1e-12, atol=0)


def test_rkd_gradient_is_moderate_where_samples_coincide() -> None:
    """A division by the distance of equal samples would make it infinite, or about 1e6 and more with an epsilon."""
    student = random(5, 7)
    student[1] = student[0]
    student.requires_grad_()
    call("rkd", student, random(5, 7, seed=1)).backward()
    assert student.grad.abs().max() < 100


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.0, 1.0)], ids=["distance", "angle"])
def test_rkd_does_not_see_scale_and_shift(weights: tuple[float, float]) -> None:
    student, teacher = random(5, 7), random(5, 7, seed=1)
    rkd = loss_function("rkd")
    torch.testing.assert_close(rkd(2 * student + 1, teacher, *weights), rkd(student, teacher, *weights))
    assert rkd(student * torch.arange(1, 8), teacher, *weights) != rkd(student, teacher, *weights)
