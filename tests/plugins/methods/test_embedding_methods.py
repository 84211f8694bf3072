"""Methods that compare pooled embeddings: each term against its paper's formula in NumPy, and what holds for all."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods import kdharness_methods
from kdharness_plugins.methods.itrd import itrd_correlation_loss, itrd_mutual_loss
from kdharness_plugins.methods.kdpp import kdpp_loss
from kdharness_plugins.methods.pefd import pefd_loss
from kdharness_plugins.methods.rsd import rsd_loss
from kdharness_plugins.methods.srd import srd_loss, srd_projected_loss
from kdharness_plugins.methods.srrl import srrl_loss
from kdharness_plugins.methods.vkd import vkd_loss
from kdharness_plugins.models import kdharness_models
from numpy.typing import NDArray
from torch import Tensor

from kdharness.api import Batch, BuildContext, Method, Outputs, StagedModel, StepInfo
from kdharness.api.shapes import shape_of

Array = NDArray[np.float64]

METHODS = {spec.name: spec for spec in kdharness_methods()}
MODELS = {spec.name: spec for spec in kdharness_models()}
NAMES = ("srrl", "rsd", "pefd", "srd", "vkd", "kdpp", "itrd")
CLASSES, SAMPLES, EPOCHS, PROGRESS = 5, 6, 40, 0.125
SHAPE = (1, 8, 8)

torch.set_num_threads(1)


def network(name: str, seed: int, classes: int = CLASSES) -> StagedModel:
    torch.manual_seed(seed)
    return StagedModel(MODELS[name].factory(classes, SHAPE), MODELS[name], SHAPE)


class Pair:
    """A method built for two networks, and their outputs on a batch."""

    def __init__(
        self, name: str, models: tuple[str, str] = ("conv4", "conv8"), samples: int = SAMPLES, classes: int = CLASSES,
        **parameters: Any,
    ) -> None:  # fmt: skip
        self.networks = network(models[0], 1, classes), network(models[1], 2, classes).eval().requires_grad_(False)
        given = {
            "num_classes": classes,
            "student": shape_of(self.networks[0]),
            "teachers": (shape_of(self.networks[1]),),
            "student_model": self.networks[0],
            "teacher_models": (self.networks[1],),
        }
        context = BuildContext(**{f.name: given.get(f.name) for f in dataclasses.fields(BuildContext)})
        self.method: Method = METHODS[name].factory(**parameters)
        assert self.method.skip(context) is None
        torch.manual_seed(3)
        self.method.build(context)
        generator = torch.Generator().manual_seed(4)
        images = torch.rand(samples, *SHAPE, generator=generator)
        targets = torch.randint(classes, (samples,), generator=generator)
        info = StepInfo("train", torch.tensor(5), EPOCHS, torch.tensor(PROGRESS))
        self.batch = Batch(images, targets, info, views=(images,))
        taps = self.method.reads.taps
        self.student, self.teacher = (one.run(images, taps) for one in self.networks)

    def losses(self) -> dict[str, Tensor]:
        return dict(self.method.losses(self.batch, self.student, self.teacher))


def array(tensor: Tensor) -> Array:
    return tensor.detach().double().numpy()


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def kd(p: Pair, temperature: float) -> float:
    t, s = (softmax(array(o.logits) / temperature) for o in (p.teacher, p.student))
    return float(temperature**2 * (t * np.log(t / s)).sum() / SAMPLES)


def embeddings(p: Pair) -> tuple[Array, Array]:
    return array(p.student.embedding), array(p.teacher.embedding)


def linear(layer: Any, x: Array) -> Array:
    return x @ array(layer.weight).T + (0 if layer.bias is None else array(layer.bias))


def normed(x: Array, eps: float) -> Array:
    return (x - x.mean(0)) / np.sqrt(x.var(0) + eps)


def unit(x: Array) -> Array:
    return x / np.sqrt((x**2).sum(1, keepdims=True))


# -- the formulas ------------------------------------------------------------------------------------------------------


def srrl(p: Pair) -> float:
    e_s, e_t = embeddings(p)
    a = np.maximum(normed(linear(p.method.adapter[0], e_s), 1e-5), 0)
    fc = p.teacher.model.classifier
    return float(2 * ((a - e_t) ** 2).mean() + 3 * ((linear(fc, a) - array(p.teacher.logits)) ** 2).mean())


def rsd(p: Pair) -> float:
    e_s, e_t = embeddings(p)
    first, _, gelu, last = p.method.projector
    hidden = normed(linear(first, e_s), 1e-5)
    h = linear(last, array(gelu(torch.from_numpy(hidden))))
    h, t = ((x - x.mean(0)) / (x.std(0) + 1e-5) for x in (h, e_t))
    total = 0.0
    for i in range(t.shape[1]):
        for j in range(h.shape[1]):
            r = (t[:, i] * h[:, j]).sum() / SAMPLES
            total += (r - 1) ** 2 if i == j else 0.3 * r**2
    return 2 * total


def pefd(p: Pair) -> float:
    e_s, e_t = embeddings(p)
    h = np.mean([np.maximum(linear(layer, e_s), 0) for layer in p.method.projections], axis=0)
    assert len(p.method.projections) == 3
    return float(7 * np.mean([1 - a @ b for a, b in zip(unit(h), unit(e_t), strict=True)]))


def srd(p: Pair) -> float:
    e_s, e_t = embeddings(p)
    gap = normed(linear(p.method.projector, e_s), 1e-3) - normed(e_t, 1e-3)
    return float(3 * np.log((gap**4).sum()))


def vkd(p: Pair) -> float:
    e_s, e_t = (array(o.maps(-1)).mean((2, 3)) for o in (p.student, p.teacher))
    q = array(p.method.projector.weight)
    np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), atol=1e-6)
    t = (e_t - e_t.mean(1, keepdims=True)) / np.sqrt(e_t.var(1, keepdims=True) + 1e-5)
    gap = np.abs(e_s @ q.T - t)
    return float(3 * np.where(gap < 1, gap**2 / 2, gap - 0.5).mean())


def nd(p: Pair) -> float:
    e_s, e_t = embeddings(p)
    e_s = array(p.method.adapter(p.student.embedding))
    total = 0.0
    for s, t, y in zip(e_s, e_t, p.batch.targets, strict=True):
        centre = e_t[array(p.batch.targets) == int(y)].mean(0)
        total += 1 - s @ centre / np.sqrt(centre @ centre) / max(np.sqrt(s @ s), np.sqrt(t @ t))
    return 3 * total / SAMPLES


def correlation(p: Pair) -> float:
    e_s, e_t = embeddings(p)
    u = linear(p.method.projector, e_s)
    total = 0.0
    for d in range(u.shape[1]):
        if e_t[:, d].std() > 0:
            a, b = ((x - x.mean()) / x.std(ddof=1) for x in (u[:, d], e_t[:, d]))
            total += abs((a * b).mean() - 1) ** (2 * 1.2)
        else:
            total += 1
    return float(3 * np.log2(total))


def mutual(p: Pair) -> float:
    e_s, e_t = embeddings(p)
    s, t = unit(linear(p.method.projector, e_s)), unit(e_t)
    one, both = s @ s.T, (s @ s.T) * (t @ t.T)
    return float(4 * (((one / np.trace(one)) ** 2).sum() - ((both / np.trace(both)) ** 2).sum()))


Formulas = Mapping[str, Callable[[Any], float]]
SHARE = PROGRESS * EPOCHS / 10
# Method: parameters of which no two are alike, and the terms beside CE.
CASES: dict[str, tuple[dict[str, Any], Formulas]] = {
    "srrl": ({"feature_weight": 2.0, "logit_weight": 3.0}, {"srrl": srrl}),
    "rsd": ({"weight": 2.0, "kappa": 0.3}, {"rsd": rsd}),
    "pefd": ({"weight": 7.0}, {"pefd": pefd}),
    "srd": (
        {"weight": 3.0, "kd_weight": 0.5, "temperature": 2.0, "eps": 1e-3},
        {"srd": srd, "kd": lambda p: 0.5 * kd(p, 2.0)},
    ),
    "vkd": (
        {"weight": 3.0, "kd_weight": 0.5, "temperature": 2.0},
        {"vkd": vkd, "kd": lambda p: 0.5 * kd(p, 2.0)},
    ),
    "kdpp": (
        {"weight": 3.0, "kd_weight": 0.5, "temperature": 2.0, "warmup_epochs": 10},
        {"nd": nd, "kd": lambda p: SHARE * 0.5 * kd(p, 2.0)},
    ),
    "itrd": (
        {"correlation_weight": 3.0, "mutual_weight": 4.0, "alpha": 1.2},
        {"correlation": correlation, "mutual": mutual},
    ),
}


@pytest.mark.parametrize("name", NAMES)
def test_each_term_is_the_papers(name: str) -> None:
    parameters, formulas = CASES[name]
    # Of equal widths, KD++ has no dropout.
    pair = Pair(name, ("conv8", "conv8") if name == "kdpp" else ("conv4", "conv8"), ce_weight=0.3, **parameters)
    losses = pair.losses()
    assert set(losses) == {"ce", *formulas} == set(pair.method.terms)
    picked = softmax(array(pair.student.logits))[range(SAMPLES), pair.batch.targets]
    assert losses["ce"].item() == pytest.approx(-0.3 * np.log(picked).mean(), rel=1e-5)
    for term, formula in formulas.items():
        assert losses[term].item() == pytest.approx(formula(pair), rel=1e-4), term


@pytest.mark.parametrize(("samples", "classes"), [(SAMPLES, CLASSES), (2, 2)], ids=["usual", "two"])
@pytest.mark.parametrize("models", [("conv4", "conv8"), ("conv8", "conv8"), ("conv8", "conv4")], ids=":".join)
@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_the_student_and_every_part(
    name: str, models: tuple[str, str], samples: int, classes: int
) -> None:
    """And not the teacher: a projector that is made and not used would be found here."""
    pair = Pair(name, models, samples, classes)
    torch.stack(list(pair.losses().values())).sum().backward()
    parts = dict(pair.method.named_parameters()) | dict(pair.networks[0].named_parameters())
    for path, parameter in parts.items():
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
    assert all(parameter.grad is None for parameter in pair.networks[1].parameters())
    assert not pair.networks[1].training


@pytest.mark.parametrize("name", NAMES)
def test_each_term_alone_teaches_the_student(name: str) -> None:
    for term in METHODS[name].factory.terms:
        pair = Pair(name)
        pair.losses()[term].backward()
        # Its first layer: what moves an embedding moves that.
        weight = next(pair.networks[0].parameters())
        assert weight.grad is not None, term
        assert weight.grad.abs().sum() > 0, term


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_batch_does_not_matter(name: str) -> None:
    pair, order = Pair(name, ("conv8", "conv8") if name == "kdpp" else ("conv4", "conv8")), torch.randperm(SAMPLES)
    pair.networks[0].eval()  # the rows are put into another order, and not another batch's statistics
    losses = []
    for rows in (torch.arange(SAMPLES), order):
        taps = pair.method.reads.taps
        student, teacher = (one.run(pair.batch.images[rows], taps) for one in pair.networks)
        batch = dataclasses.replace(pair.batch, images=pair.batch.images[rows], targets=pair.batch.targets[rows])
        losses.append(pair.method.losses(batch, student, teacher))
    for term, value in losses[0].items():
        torch.testing.assert_close(losses[1][term], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_inputs_and_a_constant_dimension_give_finite_terms(name: str) -> None:
    """A dimension that no sample of the batch moves has no deviation to divide by: ReLUs make such."""
    pair = Pair(name)
    for network_ in pair.networks:
        with torch.no_grad():
            network_.network.stage3.norm.weight[0] = 0
            network_.network.stage3.norm.bias[0] = -1
    student, teacher = (one.run(pair.batch.images.bfloat16().float(), pair.method.reads.taps) for one in pair.networks)
    losses = pair.method.losses(pair.batch, student, teacher)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    assert total.isfinite()
    assert all(p.grad.isfinite().all() for p in (*pair.method.parameters(), *pair.networks[0].parameters()))


# -- known values ------------------------------------------------------------------------------------------------------


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_terms_of_an_equal_student() -> None:
    """Zero, or what the formula says: a correlation is (N - 1) / N at most, and the logarithms stay finite."""
    e, z = random(6, 4), random(6, 3, seed=1)
    assert srrl_loss(e, e, z, z, 1.0, 1.0) == 0
    assert vkd_loss(torch.nn.functional.layer_norm(e, (4,)), e).item() == pytest.approx(0, abs=1e-12)
    assert pefd_loss([e.abs(), e.abs()], e.abs()).item() == pytest.approx(0, abs=1e-12)
    assert itrd_correlation_loss(e, e, 1.5).item() == pytest.approx(np.log2(4 * (1 / 6) ** 3))
    assert itrd_mutual_loss(torch.eye(3), torch.eye(3)).item() == pytest.approx(0, abs=1e-7)
    centres = torch.eye(4, dtype=torch.float64)[[0, 2]]
    assert kdpp_loss(3 * centres, 2 * centres, 5 * centres, torch.tensor([0, 1])).item() == pytest.approx(0)
    assert kdpp_loss(1 * centres, 2 * centres, 5 * centres, torch.tensor([0, 1])).item() == pytest.approx(0.5)
    decorrelated = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    assert rsd_loss(decorrelated, decorrelated, 0.5).item() == pytest.approx(0, abs=1e-9)
    equal = e.clone().requires_grad_()
    for loss in (srd_loss(equal, e), srd_projected_loss(equal, e, 1e-4)):
        (gradient,) = torch.autograd.grad(loss, equal)
        assert loss.item() == pytest.approx(np.log(torch.finfo(torch.float64).tiny))
        assert not gradient.any()


def test_a_student_does_not_grow_beyond_its_teachers_norm() -> None:
    """KD++: below the teacher's norm the loss falls with the student's, above it that does not matter."""
    direction = torch.nn.functional.normalize(random(1, 4), dim=1)
    centre, teacher, target = direction + 0.1, 2 * direction.flip(1), torch.zeros(1, dtype=torch.int64)
    losses = [kdpp_loss(length * direction, teacher, centre, target).item() for length in (0.5, 1.0, 2.0, 4.0, 8.0)]
    assert losses[0] > losses[1] > losses[2]
    assert losses[2:] == pytest.approx([losses[2]] * 3)


@pytest.mark.parametrize("loss", [rsd_loss, itrd_correlation_loss])
def test_standardised_embeddings_have_no_scale_or_shift(loss: Callable[..., Tensor]) -> None:
    student, teacher = random(6, 4), random(6, 4, seed=1)
    torch.testing.assert_close(loss(3 * student + 2, teacher, 0.5), loss(student, teacher, 0.5), rtol=1e-3, atol=0)


def test_class_means_are_of_all_images_so_far() -> None:
    pair = Pair("kdpp")
    with torch.no_grad():
        for _ in range(2):
            pair.method.after_step(pair.batch, pair.student, pair.teacher)
    embedding, targets = pair.teacher.embedding, pair.batch.targets
    for number, row in enumerate(pair.method.sums):
        torch.testing.assert_close(row, 2 * embedding[targets == number].sum(dim=0))
    assert "sums" in pair.method.state_dict()


def test_kdpp_with_other_widths_adapts_the_student() -> None:
    assert not list(Pair("kdpp", ("conv8", "conv8")).method.adapter.parameters())
    kinds = [type(part).__name__ for part in Pair("kdpp").method.adapter]
    assert kinds == ["BatchNorm1d", "Dropout", "Linear"]


def test_itrd_compares_similarities_of_what_has_the_teachers_width() -> None:
    """As its code: the student's own embedding where widths are equal, the projected one where they differ."""
    for models, projects in ((("conv4", "conv8"), True), (("conv8", "conv8"), False)):
        pair = Pair("itrd", models, mutual_weight=1.0)
        compared = pair.method.projector(pair.student.embedding) if projects else pair.student.embedding
        torch.testing.assert_close(pair.losses()["mutual"], itrd_mutual_loss(compared, pair.teacher.embedding))


def test_vkd_stays_orthogonal_while_it_is_trained() -> None:
    pair = Pair("vkd")
    optimizer = torch.optim.SGD(pair.method.parameters(), lr=1.0)
    before = pair.method.projector.weight.detach().clone()
    for _ in range(3):
        optimizer.zero_grad()
        pair.losses()["vkd"].backward(retain_graph=True)
        optimizer.step()
    weight = pair.method.projector.weight.detach()
    assert (weight - before).abs().max() > 1e-3
    torch.testing.assert_close(weight.T @ weight, torch.eye(weight.shape[1]), atol=1e-5, rtol=0)


def test_a_step_with_a_matrix_exponential_is_not_said_to_be_capturable() -> None:
    """It reads the matrix's norm back to the host: a CUDA graph of it cannot be captured."""
    pair = Pair("vkd", ("conv8", "conv8"))
    with torch.profiler.profile() as seen:
        pair.losses()
    assert "aten::linalg_matrix_exp" in {event.key for event in seen.key_averages()}
    assert not pair.method.capturable


def test_outputs_are_those_of_the_classifier_that_srrl_reuses() -> None:
    pair = Pair("srrl")
    outputs: Outputs = pair.teacher
    torch.testing.assert_close(outputs.model.classifier(outputs.embedding), outputs.logits)


def test_kdpp_has_the_weights_that_its_authors_commands_name() -> None:
    """Of KD and of ND, of the first command the defaults."""
    commands = {
        "resnet56:resnet20": (1.0, 2.0),
        "resnet32x4:resnet8x4": (3.5, 2.0),
        "wrn_40_2:wrn_40_1": (1.0, 1.5),
        "resnet50:mobilenet_v2": (3.0, 0.5),
        "resnet32x4:shuffle_v1": (2.5, 1.5),
        "resnet32x4:shuffle_v2": (4.0, 0.5),
    }
    factory = METHODS["kdpp"].factory
    for pair, weights in commands.items():
        method = factory(**factory.published.get(pair, {}))
        assert (method.kd_weight, method.weight) == weights
        assert set(pair.split(":")) <= set(MODELS)
    assert set(factory.published) < set(commands)
