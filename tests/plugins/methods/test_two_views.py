"""Methods that show each image in two views: terms against formulas written out, weights, masks, views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods.crld import CRLD, crld_loss
from kdharness_plugins.methods.mlkd import MLKD, mlkd_levels, mlkd_loss
from numpy.typing import NDArray
from torch import Tensor

from kdharness.api import Batch, MethodSpec, Outputs, StepInfo
from kdharness.errors import UserError
from kdharness.testing import Lab, MethodCase, parametrize_with_checks

Array = NDArray[np.float64]
SAMPLES, CLASSES = 6, 5
INFO = StepInfo("train", torch.tensor(0), 1, torch.zeros(()))
THRESHOLDS = {"temperature": 4.0, "weak_threshold": 0.9, "strong_threshold": 0.2}


def logits(seed: int, samples: int = SAMPLES, classes: int = CLASSES) -> Tensor:
    return 2 * torch.randn(samples, classes, generator=torch.Generator().manual_seed(seed))


def outputs_of(weak: Tensor, strong: Tensor) -> Outputs:
    nothing: Any = None
    first, second = Outputs(nothing, weak, {}), Outputs(nothing, strong, {})
    return first.beside([None, lambda: second])


def batch_of(samples: int = SAMPLES, classes: int = CLASSES) -> Batch:
    images = torch.zeros(samples, 1, 2, 2)
    return Batch(images, torch.arange(samples) % classes, INFO, views=(images, images))


def softmax(z: Tensor, temperature: float) -> Array:
    scaled = z.detach().double().numpy() / temperature
    e = np.exp(scaled - scaled.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def cross_entropy(z: Tensor) -> float:
    return float(np.mean([-np.log(p[k % CLASSES]) for k, p in enumerate(softmax(z, 1))]))


def divergences(s: Tensor, t: Tensor, temperature: float) -> Array:
    p, q = softmax(t, temperature), softmax(s, temperature)
    return np.asarray(temperature**2 * (p * np.log(p / q)).sum(1))


# -- mlkd --------------------------------------------------------------------------------------------------------------


def levels(s: Tensor, t: Tensor, temperatures: tuple[float, ...]) -> dict[str, float]:
    """Pair by pair, as the sentences of the paper read."""
    found = dict.fromkeys(("instance", "batch", "class"), 0.0)
    for temperature in temperatures:
        p, q = softmax(t, temperature), softmax(s, temperature)
        n, c = p.shape
        found["instance"] += divergences(s, t, temperature).mean()
        found["batch"] += sum((q[i] @ q[j] - p[i] @ p[j]) ** 2 for i in range(n) for j in range(n)) / n
        found["class"] += sum((q[:, i] @ q[:, j] - p[:, i] @ p[:, j]) ** 2 for i in range(c) for j in range(c)) / c
    return found


@pytest.mark.parametrize("two_views", [True, False])
def test_mlkd_sums_three_levels_over_temperatures_and_views(two_views: bool) -> None:
    weak, strong, t_weak, t_strong = (logits(seed) for seed in range(4))
    method = MLKD(ce_weight=0.3, weight=0.7, temperatures=(2.0, 3.5), two_views=two_views)
    views = [(weak, t_weak), (strong, t_strong)] if two_views else [(weak, t_weak)]
    nothing: Any = None
    student, teacher = (
        outputs_of(*pair) if two_views else Outputs(nothing, pair[0], {}).beside([None])
        for pair in ((weak, strong), (t_weak, t_strong))
    )
    found = method.losses(batch_of(), student, teacher)
    assert found["ce"].item() == pytest.approx(0.3 * sum(cross_entropy(s) for s, _ in views), rel=1e-5)
    for name in ("instance", "batch", "class"):
        expected = 0.7 * sum(levels(s, t, (2.0, 3.5))[name] for s, t in views)
        assert found[name].item() == pytest.approx(expected, rel=1e-4), name
    assert len(method.reads.views) == len(views)


def test_every_sample_and_class_counts_whole_whatever_the_teacher_is_sure_of() -> None:
    """The public masks multiply a scalar: they halve the weak view's terms and mask nothing."""
    s, t = logits(0), logits(1)
    sure = t.clone()
    sure[0] *= 50
    for teacher in (t, sure):
        found = {name: term.item() for name, term in mlkd_levels(s, teacher, (4.0,)).items()}
        assert found == pytest.approx(levels(s, teacher, (4.0,)), rel=1e-4)


def test_the_strong_view_has_all_levels_of_its_own() -> None:
    """The public code drops its batch and class terms, and takes the weak view's logits at T = 2 and 6."""
    weak, t_weak, t_strong = logits(0), logits(1), logits(2)
    strong = logits(3).requires_grad_()
    found = MLKD().losses(batch_of(), outputs_of(weak, strong), outputs_of(t_weak, t_strong))
    for name in ("instance", "batch", "class"):
        (slope,) = torch.autograd.grad(found[name], [strong], retain_graph=True)
        expected = mlkd_levels(strong, t_strong, (2.0, 3.0, 4.0, 5.0, 6.0))[name]
        (wanted,) = torch.autograd.grad(0.9 * expected, [strong])
        torch.testing.assert_close(slope, wanted)


# -- crld --------------------------------------------------------------------------------------------------------------


def test_crld_is_masked_by_what_the_teacher_is_sure_of_and_divided_by_all() -> None:
    weak, strong = logits(0), logits(1)
    t_weak, t_strong = (logits(seed) * torch.tensor([9.0, 1, 9, 0.1, 1, 0.1]).unsqueeze(1) for seed in (2, 3))
    method = CRLD(
        ce_weight=0.5, within_weight=3.0, cross_weight=7.0, temperature=2.0, weak_threshold=0.8, strong_threshold=0.6
    )
    found = method.losses(batch_of(), outputs_of(weak, strong), outputs_of(t_weak, t_strong))
    within, across = 0.0, 0.0
    for k in range(SAMPLES):
        if softmax(t_weak, 1)[k].max() >= 0.8:
            within += divergences(weak, t_weak, 2)[k] + divergences(strong, t_strong, 2)[k]
        if softmax(t_strong, 1)[k].max() >= 0.6:
            across += divergences(strong, t_weak, 2)[k] + divergences(weak, t_strong, 2)[k]
    assert within > 0
    assert across > 0
    assert found["crld"].item() == pytest.approx((3 * within + 7 * across) / SAMPLES, rel=1e-4)
    assert found["ce"].item() == pytest.approx(0.5 * (cross_entropy(weak) + cross_entropy(strong)), rel=1e-5)


def test_an_unsure_teacher_teaches_nothing_and_gets_no_gradient() -> None:
    student = [logits(seed).requires_grad_() for seed in (0, 1)]
    teacher = [torch.zeros(SAMPLES, CLASSES, requires_grad=True) for _ in range(2)]
    of = {"temperature": 4.0, "within_weight": 1.0, "cross_weight": 1.0}
    assert crld_loss(*student, *teacher, **of, weak_threshold=0.3, strong_threshold=0.3) == 0
    loss = crld_loss(*student, *teacher, **of, weak_threshold=0.2, strong_threshold=0.3)
    loss.backward()
    assert loss > 0
    assert all(own.grad is not None and own.grad.any() for own in student)
    assert all(its.grad is None for its in teacher)


def test_weights_of_pairs_are_what_public_configurations_say() -> None:
    """Of their fourteen pairs, those that differ from 2."""
    found = {pair: parameters["within_weight"] for pair, parameters in CRLD.published.items()}
    assert found == {
        "resnet110:resnet20": 1,
        "resnet110:resnet32": 1,
        "wrn_40_2:resnet8x4": 1,
        "resnet32x4:shuffle_v2": 0.5,
        "resnet56:resnet20": 0.5,
        "wrn_40_2:wrn_40_1": 0.5,
    }
    assert all(set(parameters) == {"within_weight"} for parameters in CRLD.published.values())


# -- both --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [MLKD(), CRLD()], ids=["mlkd", "crld"])
def test_a_student_that_says_the_same_has_only_labels_to_learn_and_order_is_nothing(method: Any) -> None:
    weak, strong, t_weak, t_strong = (logits(seed) for seed in range(4))
    found = method.losses(batch_of(), outputs_of(weak, weak), outputs_of(weak, weak))
    assert all(term.item() == pytest.approx(0, abs=1e-5) for name, term in found.items() if name != "ce")
    order = torch.tensor([4, 2, 0, 1, 5, 3])
    batch = batch_of()
    one = method.losses(batch, outputs_of(weak, strong), outputs_of(t_weak, t_strong))
    images = batch.images
    moved = Batch(images, batch.targets[order], INFO, views=(images, images))
    other = method.losses(moved, outputs_of(weak[order], strong[order]), outputs_of(t_weak[order], t_strong[order]))
    for name, term in one.items():
        torch.testing.assert_close(term, other[name])


@pytest.mark.parametrize("method", [MLKD(), CRLD()], ids=["mlkd", "crld"])
@pytest.mark.parametrize("classes", [2, CLASSES])
def test_a_batch_of_two_and_sure_logits_in_bf16_are_finite(method: Any, classes: int) -> None:
    weak, strong, *taught = ((200 * logits(seed, 2, classes)).bfloat16().requires_grad_() for seed in range(4))
    found = method.losses(batch_of(2, classes), outputs_of(weak, strong), outputs_of(*taught))
    torch.stack(list(found.values())).sum().backward()
    assert all(term.isfinite() for term in found.values())
    assert all(own.grad is not None and own.grad.isfinite().all() and own.grad.any() for own in (weak, strong))
    assert all(its.grad is None for its in taught)
    assert mlkd_loss(weak, taught[0], (2.0,)).isfinite()


@pytest.mark.parametrize("name", ["mlkd", "crld"])
def test_a_view_that_is_not_installed_is_told_when_the_plan_is_made(name: str, lab: Lab) -> None:
    with pytest.raises(UserError, match=f"'{name}' .*'fixmach'; did you mean 'fixmatch'"):
        lab.plan(methods=(name,), scenarios=("few100",), settings=(f"{name}.view=fixmach",))


CASES = [MethodCase(MethodSpec.of(MLKD, revision=1), {"two_views": False}, "conv16:conv8")]


@parametrize_with_checks(CASES)
def test_one_view(check: Callable[[], None]) -> None:
    check()
