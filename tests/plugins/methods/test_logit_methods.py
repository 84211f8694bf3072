"""Methods of logits: what `losses` returns, by each paper's formula in NumPy, and what holds whatever the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods import kdharness_methods
from kdharness_plugins.methods._logits import LogitMethod
from kdharness_plugins.methods.abkd import abkd_loss
from kdharness_plugins.methods.ctkd import ctkd_loss, reversal
from kdharness_plugins.methods.kd import kd_loss
from kdharness_plugins.methods.lskd import lskd_loss
from kdharness_plugins.methods.nkd import nkd_loss
from kdharness_plugins.methods.normkd import normkd_loss
from kdharness_plugins.methods.rld import rld_loss
from kdharness_plugins.methods.soft_logits import ba_loss
from kdharness_plugins.methods.ttm import ttm_loss
from kdharness_plugins.methods.wsld import wsld_loss
from kdharness_plugins.methods.wttm import wttm_loss
from numpy.typing import NDArray
from torch import Tensor

from kdharness.api import Batch, Method, Outputs, StepInfo

Array = NDArray[np.float64]
SPECS = {spec.name: spec for spec in kdharness_methods()}
CLASSES, SAMPLES, EPOCHS = 7, 6, 40
TARGETS = [3, 0, 6, 3, 1, 5]

torch.set_num_threads(1)


def draw(samples: int = SAMPLES, classes: int = CLASSES, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    return 2 * torch.randn(samples, classes, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def outputs(logits: Tensor) -> Outputs:
    nothing: Any = None
    return Outputs(nothing, logits, {})


def batch_of(samples: int = SAMPLES, classes: int = CLASSES, epoch: int = 5) -> Batch:
    images = torch.zeros(samples, 1, 8, 8)
    step = StepInfo("train", torch.tensor(epoch), EPOCHS, torch.tensor(epoch / EPOCHS))
    return Batch(images, torch.tensor(TARGETS * 2)[:samples] % classes, step, views=(images,))


def built(name: str, **parameters: Any) -> Method:
    method = SPECS[name].factory(**parameters)
    nothing: Any = None
    method.build(nothing)
    return method.double()


# -- the formulas, one sample at a time --------------------------------------------------------------------------------


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max())
    return e / e.sum()


def kl(p: Array, q: Array) -> float:
    return float((p * np.log(p / q)).sum())


def others(z: Array, y: int) -> Array:
    return np.delete(z, y)


def ttm(s: Array, t: Array, y: int) -> float:
    q = softmax(t) ** 0.3
    return 5 * kl(q / q.sum(), softmax(s))


def wttm(s: Array, t: Array, y: int) -> float:
    q = softmax(t) ** 0.3
    return 5 * q.sum() * kl(q / q.sum(), softmax(s))


def nkd(s: Array, t: Array, y: int) -> float:
    own = -softmax(t)[y] * np.log(softmax(s)[y])
    return float(3 * (own - 1.5 * 4 * (softmax(others(t, y) / 2) * np.log(softmax(others(s, y) / 2))).sum()))


def wsld(s: Array, t: Array, y: int) -> float:
    share = 1 - np.exp(-np.log(softmax(s)[y]) / (np.log(softmax(t)[y]) - 1e-7))
    return float(-3 * 4 * share * (softmax(t / 2) * np.log(softmax(s / 2))).sum())


def normkd(s: Array, t: Array, y: int) -> float:
    of_student, of_teacher = 1.5 * s.std(ddof=1), 1.5 * t.std(ddof=1)
    return float(3 * of_teacher**2 * kl(softmax(t / of_teacher), softmax(s / of_student)))


def rld(s: Array, t: Array, y: int) -> float:
    top, own = softmax(t / 1.5).max(), softmax(s / 1.5)[y]
    confidence = kl(np.array([top, 1 - top]), np.array([own, 1 - own]))
    below = [k for k in range(CLASSES) if t[k] < t[y]]
    correlation = kl(softmax(t[below] / 3), softmax(s[below] / 3)) if below else 0.0
    return 0.5 * (2 * 2.25 * confidence + 5 * 9 * correlation)


def abkd(s: Array, t: Array, y: int) -> float:
    p, q = softmax(t / 2), softmax(s / 2)
    total = p**0.6 * q**0.7 - 0.6 / 1.3 * p**1.3 - 0.7 / 1.3 * q**1.3
    return float(-3 * total.sum() / (0.6 * 0.7))


def soft_logits(s: Array, t: Array, y: int) -> float:
    return float(3 * ((s - t) ** 2).mean())


def ctkd(s: Array, t: Array, y: int) -> float:
    temperature = 2 + 5 / (1 + np.exp(-1))
    return float(3 * temperature**2 * kl(softmax(t / temperature), softmax(s / temperature)))


Formula = Callable[[Array, Array, int], float]
CASES: dict[str, tuple[Mapping[str, Any], Formula]] = {
    "ttm": ({"weight": 5, "gamma": 0.3}, ttm),
    "wttm": ({"weight": 5, "gamma": 0.3}, wttm),
    "nkd": ({"weight": 3, "gamma": 1.5, "temperature": 2}, nkd),
    "wsld": ({"weight": 3, "temperature": 2}, wsld),
    "normkd": ({"weight": 3, "scale": 1.5}, normkd),
    "rld": ({"alpha": 2, "beta": 5, "temperature": 3, "alpha_temperature": 1.5, "warmup_epochs": 10}, rld),
    "abkd": ({"weight": 3, "alpha": 0.6, "beta": 0.7, "temperature": 2}, abkd),
    "soft_logits": ({"weight": 3}, soft_logits),
    "ctkd": ({"weight": 3, "start": 2, "span": 5}, ctkd),
}


@pytest.mark.parametrize("name", CASES)
def test_the_term_is_the_papers(name: str) -> None:
    parameters, formula = CASES[name]
    student, teacher, batch = draw(seed=1), draw(seed=2), batch_of()
    losses = built(name, ce_weight=0.3, **parameters).losses(batch, outputs(student), outputs(teacher))
    rows = zip(student.numpy(), teacher.numpy(), TARGETS, strict=True)
    expected = [(formula(s, t, y), -0.3 * np.log(softmax(s)[y])) for s, t, y in rows]
    assert set(losses) == {"ce", name}
    assert losses[name].item() == pytest.approx(np.mean([term for term, _ in expected]), rel=5e-6)
    assert losses["ce"].item() == pytest.approx(np.mean([ce for _, ce in expected]), rel=5e-6)


# -- what must hold ----------------------------------------------------------------------------------------------------

# Student, teacher and label; numbers as published or near.
LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "ba": lambda s, t, y: ba_loss(s, t),
    "ttm": lambda s, t, y: ttm_loss(s, t, 0.3),
    "wttm": lambda s, t, y: wttm_loss(s, t, 0.3),
    "nkd": lambda s, t, y: nkd_loss(s, t, y, 1.5, 2.0),
    "wsld": lambda s, t, y: wsld_loss(s, t, y, 2.0),
    "normkd": lambda s, t, y: normkd_loss(s, t, 2.0),
    "rld": lambda s, t, y: rld_loss(s, t, y, 1.0, 8.0, 4.0, 1.0),
    "abkd": lambda s, t, y: abkd_loss(s, t, 0.8, 0.3, 4.0),
    "ctkd": lambda s, t, y: ctkd_loss(s, t, torch.ones(1, dtype=s.dtype), 1.0, 20.0, 0.5),
}
targets = batch_of().targets


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_of_the_batch_does_not_matter_and_no_teacher_has_gradient(name: str) -> None:
    student, teacher = draw(seed=1).requires_grad_(), draw(seed=2).requires_grad_()
    loss = LOSSES[name](student, teacher, targets)
    turned = LOSSES[name](student.roll(2, 0), teacher.roll(2, 0), targets.roll(2, 0))
    torch.testing.assert_close(turned, loss)
    loss.backward()
    assert teacher.grad is None
    assert student.grad is not None
    assert (student.grad.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("name", ["ba", "normkd", "abkd", "ctkd"])
def test_a_student_that_equals_its_teacher_loses_nothing(name: str) -> None:
    logits = draw().requires_grad_()
    loss = LOSSES[name](logits, logits.detach(), targets)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-12


def test_an_exponent_of_one_makes_both_teacher_matchings_plain_kd() -> None:
    student, teacher = draw(seed=1), draw(seed=2)
    expected = kd_loss(student, teacher, 1.0)
    torch.testing.assert_close(ttm_loss(student, teacher, 1.0), expected)
    torch.testing.assert_close(wttm_loss(student, teacher, 1.0), expected)


@pytest.mark.parametrize("name", ["nkd", "wsld"])
def test_a_cross_entropy_is_at_its_smallest_and_not_at_zero_at_the_teacher(name: str) -> None:
    """wsld's weight has no gradient, so that it does not move the smallest place."""
    logits = draw().requires_grad_()
    # The label's own term of nkd pulls on, towards a sure student.
    loss = LOSSES[name] if name == "wsld" else lambda s, t, y: nkd_loss(s, t, y, 1.0, 2.0) - nkd_loss(s, t, y, 0.0, 2.0)
    found = loss(logits, logits.detach(), targets)
    (gradient,) = torch.autograd.grad(found, logits)
    assert found.item() > 0.5
    assert gradient.abs().max() < 1e-12


def test_the_label_is_not_among_nkds_other_classes() -> None:
    """Public code of another method that copies this term masks nothing."""
    student, teacher = draw(seed=1).requires_grad_(), draw(seed=2)
    rest = nkd_loss(student, teacher, targets, 1.0, 2.0) - nkd_loss(student, teacher, targets, 0.0, 2.0)
    (gradient,) = torch.autograd.grad(rest, student)
    assert gradient.gather(1, targets.unsqueeze(1)).abs().max() < 1e-15
    assert gradient.abs().sum() > 0


def test_normkd_is_lskd_up_to_the_teachers_squared_temperature() -> None:
    student, teacher = draw(seed=1), draw(seed=2)
    weights = (2.0 * teacher.std(dim=1)) ** 2
    each = torch.stack([lskd_loss(s[None], t[None], 2.0) for s, t in zip(student, teacher, strict=True)])
    torch.testing.assert_close(normkd_loss(student, teacher, 2.0), (weights * each).mean(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["ttm", "wttm", "nkd", "wsld", "rld", "abkd", "ctkd"])
def test_losses_are_summed_over_classes(name: str) -> None:
    """A class that nobody believes in adds nothing to a sum; a mean over classes would shrink."""
    student, teacher = draw(seed=1), draw(seed=2)
    more = [torch.cat([z, torch.full((SAMPLES, 1), -2000.0, dtype=z.dtype)], dim=1) for z in (student, teacher)]
    torch.testing.assert_close(LOSSES[name](more[0], more[1], targets), LOSSES[name](student, teacher, targets))


def test_a_teacher_that_puts_the_label_last_leaves_nothing_to_correlate() -> None:
    teacher = torch.tensor([[-5.0, 1.0, 2.0], [3.0, 1.0, 2.0]], dtype=torch.float64)
    student = draw(2, 3).requires_grad_()
    label = torch.tensor([0, 1])
    loss = rld_loss(student, teacher, label, 0.0, 1.0, 4.0, 1.0)
    loss.backward()
    # Of the second sample no class is below the label either: both terms of the mean are 0.
    assert loss.item() == 0
    assert student.grad is not None
    assert student.grad.abs().max() == 0


def test_rld_tells_a_student_nothing_of_what_a_wrong_teacher_prefers() -> None:
    teacher = torch.tensor([[1.0, 4.0, 0.0, -1.0]], dtype=torch.float64)
    label = torch.tensor([0])
    other = torch.tensor([[1.0, 4.0, 0.0, -1.0]], dtype=torch.float64).index_fill(1, torch.tensor([1]), 9.0)
    student = draw(1, 4)
    found = [rld_loss(student, t, label, 0.0, 1.0, 4.0, 1.0) for t in (teacher, other)]
    assert found[0].item() == pytest.approx(found[1].item(), rel=1e-12) != 0


@pytest.mark.parametrize(
    ("limit", "near"),
    [((0.7, 0.0), (0.7, 1e-5)), ((0.0, 0.7), (1e-5, 0.7)), ((0.6, -0.6), (0.6, -0.59999)), ((0.0, 0.0), (1e-4, 1e-4))],
)
def test_the_alpha_beta_divergence_has_no_jumps(limit: tuple[float, float], near: tuple[float, float]) -> None:
    """Public code has another power in its special cases, so that it jumps there."""
    student, teacher = draw(seed=1), draw(seed=2)
    there, beside = (abkd_loss(student, teacher, *numbers, 4.0).item() for numbers in (limit, near))
    assert there == pytest.approx(beside, rel=1e-3)


def test_kl_is_in_the_family() -> None:
    student, teacher = draw(seed=1), draw(seed=2)
    torch.testing.assert_close(abkd_loss(student, teacher, 1.0, 0.0, 4.0) * 16, kd_loss(student, teacher, 4.0))
    torch.testing.assert_close(abkd_loss(student, teacher, 0.0, 1.0, 4.0) * 16, kd_loss(teacher, student, 4.0))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("size", [1.0, 60.0])
def test_two_samples_of_two_classes_and_sure_networks_are_finite(name: str, dtype: torch.dtype, size: float) -> None:
    for classes in (2, 5):
        student = (size * draw(2, classes, 1)).to(dtype).requires_grad_()
        loss = LOSSES[name](student, (size * draw(2, classes, 2)).to(dtype), torch.tensor([1, 0]))
        loss.backward()
        assert loss.isfinite()
        assert student.grad is not None
        assert student.grad.isfinite().all()


# -- ctkd --------------------------------------------------------------------------------------------------------------


def test_the_temperature_climbs_while_the_student_descends() -> None:
    method, student, teacher = built("ctkd").float(), draw(seed=1).float().requires_grad_(), draw(seed=2).float()
    method.losses(batch_of(epoch=30), outputs(student), outputs(teacher))["ctkd"].backward()
    theta = method.theta.detach().clone().requires_grad_()
    plain = 0.9 * kd_loss(student.detach(), teacher, 1 + 20 * theta.sigmoid().squeeze(0))
    (gradient,) = torch.autograd.grad(plain, theta)
    torch.testing.assert_close(method.theta.grad, -gradient, rtol=1e-4, atol=0)
    assert gradient.abs().item() > 1e-3


def test_the_reversal_rises_by_a_cosine_over_its_epochs() -> None:
    def at(epoch: int, epochs: int = 10) -> float:
        return float(reversal(StepInfo("train", torch.tensor(epoch), 240, torch.tensor(0.0)), epochs))

    assert at(0) == pytest.approx((1 - math.cos(math.pi / 10)) / 2)
    assert at(4) == pytest.approx(0.5)
    assert at(9) == at(239) == pytest.approx(1)
    assert at(0, epochs=0) == 1


def test_the_first_temperature_is_the_published_one() -> None:
    method = built("ctkd")
    assert method.curves() == method.measurements() == {"temperature": pytest.approx(15.6212, abs=1e-4)}


# -- two classes, labels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 3])
def test_normalised_logits_of_two_classes_tell_nothing(classes: int) -> None:
    class Context:
        num_classes = classes

    context: Any = Context()
    reason = SPECS["normkd"].factory().skip(context)
    assert (reason is not None and "tell nothing" in reason) == (classes == 2)
    student = draw(3, classes).requires_grad_()
    (gradient,) = torch.autograd.grad(normkd_loss(student, draw(3, classes, 2), 2.0), student)
    assert (gradient.abs().max().item() < 1e-9) == (classes == 2)


@pytest.mark.parametrize("name", [*CASES, "kd", "dkd", "lskd"])
def test_what_reads_the_label_says_so(name: str) -> None:
    """By the numbers, not by the declaration: the term changes with the label."""
    method = built(name)
    assert isinstance(method, LogitMethod)
    batch = batch_of()
    other = Batch(batch.images, (batch.targets + 1) % CLASSES, batch.step, views=batch.views)
    term = next(term for term, tag in method.terms.items() if tag == "distill")
    found = [method.losses(b, outputs(draw(seed=1)), outputs(draw(seed=2)))[term].item() for b in (batch, other)]
    assert method.mixed_labels == ("mix" if found[0] == found[1] else "larger")
