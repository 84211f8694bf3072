"""Methods that compare feature maps and train parts of their own: ab, fsp, ft, kdsvd, ofd, reviewkd."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.methods import kdharness_methods
from kdharness_plugins.methods._guided import feature_parts
from kdharness_plugins.methods.ab import ab_loss
from kdharness_plugins.methods.fsp import fsp_loss
from kdharness_plugins.methods.ft import ft_loss
from kdharness_plugins.methods.kdsvd import kdsvd_loss
from kdharness_plugins.methods.ofd import ofd_loss, ofd_margin
from kdharness_plugins.methods.reviewkd import hcl_loss
from pairs_of_models import EPOCHS, context_of, losses_of, outputs_of, staged
from scipy.stats import truncnorm
from torch import Tensor, nn

from kdharness.api.staged import Placement

SPECS = {spec.name: spec for spec in kdharness_methods()}
VECTOR = Path(__file__).parents[2] / "vectors" / "map_modules.npz"
# Method: teacher, student, and the phase in which it distils.
PAIRS = {
    "ab": ("conv16", "conv8", "init"),
    "fsp": ("resnet14", "resnet8", "init"),
    "ft": ("conv16", "conv8", "train"),
    "kdsvd": ("resnet14", "resnet8", "train"),
    "ofd": ("conv16", "conv8", "train"),
    "reviewkd": ("conv16", "conv8", "train"),
}

torch.set_num_threads(1)


def built(name: str, classes: int = 4, **parameters: Any) -> tuple[Any, Any, Any]:
    """The method, student and teacher."""
    teacher, student = staged(PAIRS[name][0], classes, seed=1), staged(PAIRS[name][1], classes, seed=2)
    method, context = SPECS[name].factory(**parameters), context_of(student, teacher)
    assert method.skip(context) is None
    torch.manual_seed(3)
    method.build(context)
    return method, student, teacher


def images(samples: int = 5) -> Tensor:
    return torch.rand(samples, 3, 8, 8, generator=torch.Generator().manual_seed(4))


def maps(*shapes: tuple[int, ...], seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


# -- the peers' modules ------------------------------------------------------------------------------------------------


@pytest.fixture
def known() -> dict[str, Tensor]:
    """Made by running RepDistiller's AB and FT and mdistiller's OFD and ReviewKD in float64."""
    with np.load(VECTOR) as archive:
        arrays = {name: torch.from_numpy(archive[name]) for name in archive.files}
    for name in arrays:
        if name.startswith("student"):
            arrays[name].requires_grad_()
    return arrays


def listed(arrays: Mapping[str, Tensor], stem: str) -> list[Tensor]:
    return [arrays[name] for k in range(len(arrays)) if (name := f"{stem}.{k}") in arrays]


def built_for(name: str, arrays: Mapping[str, Tensor]) -> Any:
    """The method for maps of these shapes, in float64, with the parameters of the peer's modules."""

    def side(of: str) -> SimpleNamespace:
        shapes = [tuple(t.shape[1:]) for t in listed(arrays, of)]
        return SimpleNamespace(stages=shapes, pre_activations=shapes, embedding=arrays[f"{of}_embedding"].shape[1])

    norms = []
    for gamma, beta in zip(listed(arrays, "ofd.gamma"), listed(arrays, "ofd.beta"), strict=True):
        norm = nn.BatchNorm2d(len(gamma)).double()
        norm.weight.data, norm.bias.data = gamma, beta
        norms.append(norm)
    method: Any = SPECS[name].factory()
    method.build(
        SimpleNamespace(
            student=side("student"),
            teacher=side("teacher"),
            student_model=SimpleNamespace(sections=lambda: [[]], network=nn.Identity()),
            teacher_models=[SimpleNamespace(norms=norms, num_stages=len(norms))],
        )
    )
    with torch.no_grad():
        for parameter, value in zip(method.double().parameters(), listed(arrays, f"{name}.parameter"), strict=True):
            parameter.copy_(value)
    return method


def ab_term(method: Any, students: list[Tensor], teachers: list[Tensor], embeddings: list[Tensor]) -> Tensor:
    return ab_loss([r(s) for r, s in zip(method.connectors, students, strict=True)], teachers)


def ofd_term(method: Any, students: list[Tensor], teachers: list[Tensor], embeddings: list[Tensor]) -> Tensor:
    connected = [r(s) for r, s in zip(method.connectors, students, strict=True)]
    return 0.001 * ofd_loss(connected, teachers, method.margins.split(method.channels))


def ft_term(method: Any, students: list[Tensor], teachers: list[Tensor], embeddings: list[Tensor]) -> Tensor:
    return 200 * ft_loss(method.translator(students[-1]), method.paraphraser.encoder(teachers[-1]))


def reviewkd_term(method: Any, students: list[Tensor], teachers: list[Tensor], embeddings: list[Tensor]) -> Tensor:
    targets = [*teachers, embeddings[1]]
    reviewed = method.reviewed(list(zip([*students, embeddings[0]], targets, strict=True)))
    return 5 * hcl_loss(reviewed, targets)


Term = Callable[[Any, list[Tensor], list[Tensor], list[Tensor]], Tensor]
TERMS: dict[str, Term] = {"ab": ab_term, "ofd": ofd_term, "ft": ft_term, "reviewkd": reviewkd_term}


@pytest.mark.parametrize("name", TERMS)
def test_modules_and_loss_are_those_of_the_peers(name: str, known: dict[str, Tensor]) -> None:
    students, teachers = listed(known, "student"), listed(known, "teacher")
    embeddings = [known[f"{side}_embedding"][..., None, None] for side in ("student", "teacher")]
    loss = TERMS[name](built_for(name, known), students, teachers, embeddings)
    # mdistiller rounds OFD's margins to float32.
    torch.testing.assert_close(loss.detach(), known[f"{name}.loss"], rtol=1e-8 if name == "ofd" else 1e-11, atol=0)
    inputs = {"ft": students[-1:], "reviewkd": [*students, known["student_embedding"]]}.get(name, students)
    for found, expected in zip(torch.autograd.grad(loss, inputs), listed(known, f"{name}.grad"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-7 if name == "ofd" else 1e-9, atol=1e-10)


def test_what_the_paraphraser_restores_is_that_of_the_peer(known: dict[str, Tensor]) -> None:
    deepest = listed(known, "teacher")[-1]
    restored = built_for("ft", known).paraphraser(deepest)
    torch.testing.assert_close(F.mse_loss(restored, deepest).detach(), known["ft.reconstruction"], rtol=1e-12, atol=0)


def test_margins_are_those_of_the_peer(known: dict[str, Tensor]) -> None:
    found = built_for("ofd", known).margins
    torch.testing.assert_close(found.float(), torch.cat(listed(known, "ofd.margin")).float())


# -- terms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAIRS)
def test_terms_are_weighted_and_labels_are_read_by_their_own(name: str) -> None:
    method, student, teacher = built(name, weight=7.0, ce_weight=0.3)
    once, twice = SPECS[name].factory(weight=7.0), SPECS[name].factory(weight=14.0)
    phase = PAIRS[name][2]
    values = []
    for weight in (once.weight, twice.weight):
        method.weight = weight
        values.append(losses_of(method, student, teacher, images(), phase)[name].item())
    assert values[1] == pytest.approx(2 * values[0], rel=1e-5)
    assert values[0] > 0
    losses = losses_of(method, student, teacher, images(), "train")
    logits = outputs_of(method, student, teacher, images())[0].logits
    assert losses["ce"].item() == pytest.approx(0.3 * F.cross_entropy(logits, torch.arange(5) % 4).item(), rel=1e-5)


def test_fsp_compares_stem_and_stages() -> None:
    method, student, teacher = built("fsp", weight=3.0)
    s, t = outputs_of(method, student, teacher, images())
    expected = 0.0
    for lower, upper in ((0, 1), (1, 2), (2, 3)):
        flows = []
        for outputs in (s, t):
            given = [m.detach().double().numpy() for m in (outputs.stem, *outputs.stages)]
            size = given[upper].shape[-1]
            ratio = given[lower].shape[-1] // size
            small = given[lower].reshape(5, -1, size, ratio, size, ratio).mean((3, 5))
            flows.append(np.einsum("nuhw,nlhw->nul", given[upper], small) / size**2)
        expected += float(((flows[0] - flows[1]) ** 2).mean())
    assert losses_of(method, student, teacher, images(), "init")["fsp"].item() == pytest.approx(3 * expected, rel=1e-4)


def test_kdsvd_is_the_relation_of_singular_vectors() -> None:
    """By NumPy's decomposition; the signs of the teacher's vectors, which nothing fixes, by that of torch."""
    shapes = ((2, 5, 4, 4), (2, 6, 2, 2), (2, 7, 2, 1))
    student, teacher = maps(*shapes, seed=1), maps(*shapes, seed=2)
    expected = 0.0
    for n in range(2):
        ours, theirs = [], []
        for s, t in zip(student, teacher, strict=True):
            leading = torch.linalg.svd(t[n].flatten(1).T, full_matrices=False)[2][0].numpy()
            candidates = np.linalg.svd(s[n].flatten(1).T.numpy(), full_matrices=False)[2][:4]
            cosines = candidates @ leading
            best = int(np.abs(cosines).argmax())
            ours.append(candidates[best] * np.sign(cosines[best]))
            theirs.append(leading)
        for k in (1, 2):
            one, other = (np.exp(-((v[k][:, None] - v[k - 1][None]) ** 2) / 8) for v in (ours, theirs))
            expected += float(((one - other) ** 2).sum())
    assert kdsvd_loss(student, teacher).item() == pytest.approx(expected / 2, rel=1e-9)


@pytest.mark.parametrize(("gamma", "beta"), [(0.7, 0.2), (-1.5, -0.4), (2.0, 5.0), (0.3, -3.0)])
def test_a_margin_is_the_mean_of_a_normal_variable_below_zero(gamma: float, beta: float) -> None:
    expected = truncnorm.mean(-math.inf, -beta / abs(gamma), loc=beta, scale=abs(gamma))
    found = ofd_margin(torch.tensor([gamma], dtype=torch.float64), torch.tensor([beta], dtype=torch.float64))
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_a_margin_where_nothing_is_below_zero_or_nothing_varies() -> None:
    gamma, beta = torch.tensor([0.5, 0.0, 0.0, 0.0]), torch.tensor([3.0, -2.0, 2.0, 0.0])
    torch.testing.assert_close(ofd_margin(gamma, beta), torch.tensor([-1.5, -2.0, 0.0, 0.0]))


def test_reviewkd_warms_up() -> None:
    method, student, teacher = built("reviewkd", warmup_epochs=20)
    shares = [
        losses_of(method, student, teacher, images(), "train", progress)["reviewkd"].item()
        for progress in (0.0, 5 / EPOCHS, 20 / EPOCHS, 1.0)
    ]
    assert shares[0] == 0
    assert shares[1] == pytest.approx(shares[3] / 4, rel=1e-5)
    assert shares[2] == pytest.approx(shares[3], rel=1e-5)


@pytest.mark.parametrize(("student", "width"), [("resnet20", 64), ("mobilenet_v2", 512)])
def test_reviewkd_is_as_wide_as_the_students_embedding_up_to_512(student: str, width: int) -> None:
    method = SPECS["reviewkd"].factory()
    shape = (3, 32, 32)
    with torch.device("meta"):
        method.build(context_of(staged(student, 4, shape, device="meta"), staged("vgg8", 4, shape, device="meta")))
    assert {fusion.enter[0].out_channels for fusion in method.fusions} == {width}


# -- phases ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ab", "fsp"])
def test_features_are_prepared_for_30_of_240_epochs_and_then_trained_on_labels_alone(name: str) -> None:
    method, student, teacher = built(name)
    phases = method.phases()
    assert [(phase.name, phase.fraction * 240) for phase in phases] == [("init", 30), ("train", 240)]
    assert phases[0].recipe["schedule"] == "constant"
    assert [set(losses_of(method, student, teacher, images(), phase.name)) for phase in phases] == [{name}, {"ce"}]
    assert phases[1].players[0].parts == ("student",)


def test_fsp_beside_the_cross_entropy_is_one_phase() -> None:
    method, student, teacher = built("fsp", when="beside")
    assert [phase.name for phase in method.phases()] == ["train"]
    assert set(losses_of(method, student, teacher, images(), "train")) == {"ce", "fsp"}


def test_the_paraphraser_is_trained_first_and_then_left_alone() -> None:
    method, student, teacher = built("ft")
    first, second = method.phases()
    assert [phase.players[0].parts for phase in (first, second)] == [
        ("method.paraphraser",),
        ("student", "method.translator"),
    ]
    assert (first.fraction * 240, first.players[0].optimizer["lr"], second.fraction) == (30, 0.01, 1)
    losses_of(method, student, teacher, images(), "paraphraser")["reconstruction"].backward()
    assert all(p.grad is not None and p.grad.any() for p in method.paraphraser.parameters())
    assert all(p.grad is None for p in [*method.translator.parameters(), *student.parameters()])
    method.zero_grad(set_to_none=True)
    losses_of(method, student, teacher, images(), "train")["ft"].backward()
    assert all(p.grad is None for p in method.paraphraser.parameters())
    assert all(p.grad is not None for p in method.translator.parameters())


@pytest.mark.parametrize(
    ("name", "left_out", "held"),
    [
        ("resnet20", {"fc"}, {"conv1", "bn1", "layer3"}),
        ("wrn_16_2", {"bn", "fc"}, {"conv1", "layer3"}),
        ("vgg8", {"fc"}, {"stage1", "stage5"}),
        ("mobilenet_v2", {"conv", "bn", "fc"}, {"stem", "stage4"}),
        ("shuffle_v2", {"conv", "bn", "fc"}, {"stem", "stage3"}),
        ("resnet50", {"fc"}, {"conv1", "bn1", "layer4"}),
    ],
)
def test_features_are_all_that_runs_up_to_the_deepest_stage(name: str, left_out: set[str], held: set[str]) -> None:
    """RepDistiller's `get_feat_modules`; the stem's convolution too, where the tap is the ReLU behind it."""
    model = staged(name, 4, (3, 32, 32), device="meta")
    parts = {part.removeprefix("student.") for part in feature_parts(model)}
    with_parameters = {path for path, child in model.network.named_children() if any(True for _ in child.parameters())}
    assert with_parameters - parts == left_out
    assert held <= parts


# -- what all promise --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAIRS)
def test_gradient_reaches_the_student_and_every_part_and_no_teacher(name: str) -> None:
    method, student, teacher = built(name)
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    losses_of(method, student, teacher, images(), PAIRS[name][2])[name].backward()
    parts = method.translator if name == "ft" else method
    assert all(p.grad is not None and p.grad.isfinite().all() for p in parts.parameters())
    assert any(p.grad is not None and p.grad.any() for p in student.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    # In train mode, as some public versions have it, a teacher's statistics would follow the batch.
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize(("classes", "samples", "precision"), [(2, 2, "fp32"), (4, 5, "bf16")])
def test_two_classes_a_batch_of_two_and_reduced_precision(
    name: str, classes: int, samples: int, precision: str
) -> None:
    method, student, teacher = built(name, classes)
    for model in (student, teacher):
        model.place(Placement(precision))
    for phase in method.phases():
        losses = losses_of(method, student, teacher, images(samples), phase.name)
        assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())


@pytest.mark.parametrize("name", PAIRS)
def test_the_order_of_the_batch_does_not_matter(name: str) -> None:
    method, student, teacher = built(name)
    phase, order = PAIRS[name][2], torch.tensor([3, 0, 4, 1, 2])
    found = [losses_of(method, student, teacher, x, phase)[name].item() for x in (images(), images()[order])]
    assert found[1] == pytest.approx(found[0], rel=1e-4)


EQUAL = ((3, 4, 4, 4), (3, 5, 2, 2))


@pytest.mark.parametrize("loss", [fsp_loss, hcl_loss, kdsvd_loss])
def test_equal_maps_cost_nothing(loss: Callable[..., Tensor]) -> None:
    teacher = maps(*EQUAL, seed=1)
    assert loss([m.clone() for m in teacher], teacher).abs() < 1e-12
    assert loss(maps(*EQUAL, seed=9), teacher) > 1e-4


def test_equal_factors_cost_nothing() -> None:
    (factor,) = maps((3, 4, 4, 4))
    assert ft_loss(factor, factor) == 0
    assert ft_loss(factor.flip(2), factor) > 1e-4


def test_beyond_the_margin_on_the_right_side_a_boundary_costs_nothing() -> None:
    teacher = maps(*EQUAL, seed=1)
    assert ab_loss([1.01 * m.sign() for m in teacher], teacher) == 0
    # Each neuron of the deepest stage misses its margin by one, of the other one by half of that weight.
    zeros = [torch.zeros_like(m) for m in teacher]
    expected = 3 / 1000 * (zeros[1][0].numel() + zeros[0][0].numel() / 2)
    assert ab_loss(zeros, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_below_the_margin_a_negative_response_costs_nothing() -> None:
    teacher = maps(*EQUAL, seed=1)
    margins = [torch.full((m.shape[1],), -0.5, dtype=torch.float64) for m in teacher]
    right = [torch.where(m > 0, m, m.maximum(torch.tensor(-0.5)) - 2) for m in teacher]
    assert ofd_loss(right, teacher, margins) == 0
    # 1 too high everywhere, of positive responses too: one for each element, halved for the shallow stage.
    high = [m.maximum(torch.tensor(-0.5)) + 1 for m in teacher]
    expected = high[1][0].numel() + high[0][0].numel() / 2
    assert ofd_loss(high, teacher, margins).item() == pytest.approx(expected, rel=1e-12)


# -- defects of public versions ----------------------------------------------------------------------------------------


def test_kdsvd_decomposes_channels_whatever_the_order_of_positions() -> None:
    """mdistiller's matrices mix channels with rows, so that the same permutation of positions changes its loss."""
    student, teacher = maps(*EQUAL, seed=1), maps(*EQUAL, seed=2)

    def moved(m: Tensor) -> Tensor:
        order = torch.randperm(m.shape[2] * m.shape[3], generator=torch.Generator().manual_seed(0))
        return m.flatten(2)[..., order].reshape(m.shape)

    student, teacher = [m.exp() for m in student], [m.exp() for m in teacher]
    value = kdsvd_loss([moved(m) for m in student], [moved(m) for m in teacher])
    torch.testing.assert_close(value, kdsvd_loss(student, teacher), rtol=1e-9, atol=0)


def test_kdsvd_learns_from_maps_with_dead_and_equal_channels() -> None:
    """A decomposition's own gradient divides by the differences of singular values, which are 0 there."""
    student = [m.relu() for m in maps(*EQUAL, seed=1)]
    for m in student:
        m[:, 1:3] = 0
    student[0][1] = 0
    student[0][2] = 1
    for m in student:
        m.requires_grad_()
    loss = kdsvd_loss(student, [m.relu() for m in maps(*EQUAL, seed=2)])
    gradients = torch.autograd.grad(loss, student)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert all(gradient.any() for gradient in gradients)


def test_ofd_matches_margins_from_the_deep_end_as_stages() -> None:
    """mdistiller counts margins from the shallow end: other stages' than those compared where a teacher is deeper."""
    student, teacher = staged("conv8"), staged("resnet18")
    for k, norm in enumerate(teacher.norms):
        nn.init.constant_(norm.weight, 0.1)
        nn.init.constant_(norm.bias, -1.0 - k)
    method: Any = SPECS["ofd"].factory()
    method.build(context_of(student, teacher))
    assert method.channels == [128, 256, 512]
    found = [margin.mean().item() for margin in method.margins.split(method.channels)]
    assert found == pytest.approx([-2, -3, -4], rel=1e-6)
    assert losses_of(method, student, teacher, images(), "train")["ofd"].isfinite()


@pytest.mark.parametrize(
    ("name", "teacher", "student", "reason"),
    [
        ("fsp", "resnet8x4", "resnet8", "'resnet8' has 16, 16, 32, 64 from the stem on, 'resnet8x4' 32, 64, 128, 256"),
        ("fsp", "resnet18", "resnet8", "compares channels one by one"),
        ("kdsvd", "conv16", "conv8", "there are 8 in a stage of 'conv8', 16 in 'conv16'"),
        ("ofd", "shuffle_v2", "conv8", "of which model 'shuffle_v2' declares none"),
    ],
)
def test_why_a_pair_is_not_served(name: str, teacher: str, student: str, reason: str) -> None:
    method = SPECS[name].factory()
    said = method.skip(context_of(staged(student), staged(teacher)))
    assert said is not None
    assert reason in said
