"""MEAL: its discriminators, what each mode trains in which direction, how teachers are chosen and combined."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.methods._discriminators import Alignment, discriminator_loss, make_discriminator
from kdharness_plugins.methods._similarities import SIMILARITIES
from kdharness_plugins.methods.meal import MEAL
from kdharness_plugins.methods.meal_v2 import MEALv2
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, ModelShape, Outputs, Pair, Step, StepInfo, View

CLASSES = 10
STUDENT = ((4, 8, 8), (6, 4, 4), (8, 2, 2))
TEACHER = ((5, 8, 8), (7, 4, 4), (9, 2, 2))
SHALLOW = ((6, 4, 4), (9, 3, 3))
INFO = StepInfo("train", torch.tensor(0), 10, torch.zeros(()))

Stages = tuple[tuple[int, int, int], ...]


def shape_of(stages: Stages) -> ModelShape:
    return ModelShape("net", stages, pre_activations=(), embedding=None)


def context_for(teachers: Sequence[Stages], models: Sequence[nn.Module] = (), seed: int = 3) -> BuildContext:
    given = {
        "num_classes": CLASSES,
        "student": shape_of(STUDENT),
        "teachers": tuple(shape_of(stages) for stages in teachers),
        "teacher_models": tuple(models),
        "make_generator": lambda name, on_device: torch.Generator().manual_seed(seed),
    }
    return BuildContext(**{field.name: given.get(field.name) for field in dataclasses.fields(BuildContext)})


def built(teachers: Sequence[Stages] = (TEACHER,), kind: type[MEAL] = MEAL, seed: int = 3, **parameters: Any) -> MEAL:
    method = kind(**parameters)
    context = context_for(teachers, seed=seed)
    assert method.skip(context) is None
    torch.manual_seed(0)
    method.build(context)
    return method


def outputs_of(stages: Stages, seed: int, samples: int = 6, student: bool = False) -> Outputs:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(samples, CLASSES, generator=generator).requires_grad_(student)
    maps = [torch.randn(samples, *shape, generator=generator).requires_grad_(student) for shape in stages]
    nothing: Any = None
    return Outputs(nothing, logits, {"stages": maps})


def batch_of(targets: Tensor) -> Batch:
    images = torch.zeros(len(targets), 1, 8, 8)
    return Batch(images, targets, INFO, views=(images,))


TARGETS = torch.arange(6) % CLASSES


class Watched(Sequence[Outputs]):
    """Teachers that note who is asked."""

    def __init__(self, teachers: Sequence[Outputs]) -> None:
        self.teachers = teachers
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.teachers)

    def __getitem__(self, number: Any) -> Any:
        self.asked += list(range(len(self)))[number] if isinstance(number, slice) else [number]
        return self.teachers[number]


# -- alignment --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, 16, 20, 100])
@pytest.mark.parametrize("maximum", [False, True])
def test_alignment_is_pooling_of_flattened_maps_and_the_same_over_channels(size: int, maximum: bool) -> None:
    maps = torch.randn(2, 3, 4, 4)
    pool = F.adaptive_max_pool1d if maximum else F.adaptive_avg_pool1d
    pooled = pool(maps.flatten(2), size)
    expected = pooled.amax(1) if maximum else pooled.mean(1)
    torch.testing.assert_close(Alignment(size, {16}, maximum)(maps), expected)


def test_average_pooling_commutes_with_the_mean_over_channels() -> None:
    flat = torch.randn(2, 3, 49)
    one_way = F.adaptive_avg_pool1d(flat, 10).mean(1)
    torch.testing.assert_close(one_way, F.adaptive_avg_pool1d(flat.mean(1, keepdim=True), 10).squeeze(1))


def test_stages_are_matched_from_the_deep_end_at_the_fewest_positions() -> None:
    method = built([TEACHER, SHALLOW])
    assert [a.size for a in method.alignments] == [16, 4]
    assert method.weights == [0.05, 0.1, 1.0]
    assert [a.size for a in built(pooled_sizes=(50, 40, 30, 20)).alignments] == [40, 30, 20]
    assert [a.size for a in built(pooled_sizes=(30, 20)).alignments] == [30, 20]
    assert [a.size for a in built(stage_weights=(0.1, 1.0)).alignments] == [4]


def test_a_stage_of_weight_zero_is_left_out_with_its_discriminator() -> None:
    method = built(stage_weights=(0.5, 0.7, 0.0, 1.0))
    assert [a.size for a in method.alignments] == [64, 16]
    assert method.weights == [0.5, 0.7, 1.0]
    assert len(method.discriminators) == 3
    light = built(stage_weights=(0.5, 0.7, 1e-12, 1.0))
    assert len(light.discriminators) == 4
    student, teacher = outputs_of(STUDENT, 1), outputs_of(TEACHER, 2)
    left_out, counted = (m.losses(batch_of(TARGETS), student, [teacher])["similarity"] for m in (method, light))
    torch.testing.assert_close(left_out, counted)


@pytest.mark.parametrize("teachers_drawn", ["first", "random"])
@pytest.mark.parametrize("teachers_used", [0, 1, 2, 3])
def test_what_is_matched_does_not_depend_on_who_teaches(teachers_used: int, teachers_drawn: str) -> None:
    method = built([TEACHER, SHALLOW, TEACHER], teachers_used=teachers_used, teachers_drawn=teachers_drawn)
    assert [a.size for a in method.alignments] == [16, 4]
    assert method.weights == [0.05, 0.1, 1.0]


# -- discriminators ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "shrink", "parameters"),
    [
        (10000, 2, 62_512_502),
        (5000, 2, 15_631_252),
        (1000, 2, 626_252),
        (500, 2, 156_877),
        (10, 2, 73),
        (1000, 8, 127_047),
    ],
)
def test_sizes_of_published_discriminators(size: int, shrink: int, parameters: int) -> None:
    with torch.device("meta"):
        discriminator = make_discriminator(size, shrink, output_relu=True)
    assert sum(p.numel() for p in discriminator.parameters()) == parameters
    assert isinstance(discriminator[-1], nn.ReLU)
    assert isinstance(make_discriminator(10, 2, output_relu=False)[-1], nn.Linear)


def test_discriminator_loss_is_the_mean_over_rows_and_outputs() -> None:
    student, teacher = torch.randn(3, 2), torch.randn(3, 2)
    ours = F.softplus(student) - torch.tensor([1.0, 0.0]) * student
    theirs = F.softplus(teacher) - torch.tensor([0.0, 1.0]) * teacher
    expected = (ours.sum() + theirs.sum()) / (4 * 3)
    torch.testing.assert_close(discriminator_loss(nn.Identity(), student, teacher), expected)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0, 1000.0])
def test_with_a_relu_on_the_output_the_loss_has_a_floor(scale: float) -> None:
    """However well it separates: outputs that are not negative cannot say no better than one half."""
    discriminator = nn.ReLU()
    student, teacher = scale * torch.tensor([[1.0, -1.0]]), scale * torch.tensor([[-1.0, 1.0]])
    loss = discriminator_loss(discriminator, student, teacher).item()
    assert loss >= math.log(2) / 2
    assert loss == pytest.approx(math.log(2) / 2, abs=max(0.6 * math.exp(-scale), 1e-7))
    assert discriminator_loss(nn.Identity(), student, teacher).item() < loss, "without the ReLU there is no floor"


def test_at_zero_output_the_loss_is_ln_2() -> None:
    for relu in (True, False):
        discriminator = make_discriminator(CLASSES, 2, relu)
        for parameter in discriminator[4].parameters():
            nn.init.zeros_(parameter)
        vectors = torch.randn(4, CLASSES), torch.randn(4, CLASSES)
        assert discriminator_loss(discriminator, *vectors).item() == pytest.approx(math.log(2))


def test_each_stage_has_the_adversarial_weight_that_is_given() -> None:
    weights = {"stage_weights": (0.0, 0.0, 0.5, 1.0), "adversarial_weights": (0.0, 3.0, 0.0, 0.25)}
    method = built(similarity="l2", adversarial_weight=2.0, **weights)
    assert method.depths == [-2, -1], "a stage is matched for either of its weights, and left out without any"
    student, teacher = outputs_of(STUDENT, 1), outputs_of(TEACHER, 2)
    losses = method.losses(batch_of(TARGETS), student, [teacher])
    ours, theirs = ([m.flatten(2).mean(1) for m in n.stages] for n in (student, teacher))
    middle, last = method.discriminators
    played = 3.0 * discriminator_loss(middle, ours[1], theirs[1])
    played += 0.25 * discriminator_loss(last, student.logits, teacher.logits)
    torch.testing.assert_close(losses["adversarial"], 2.0 * played)
    deep = F.mse_loss(ours[2], theirs[2])
    torch.testing.assert_close(losses["similarity"], 0.5 * deep + F.mse_loss(student.logits, teacher.logits))
    assert list(method.curves()) == ["d_loss_stage1", "d_loss_logits"]


def test_a_discriminator_may_see_probabilities() -> None:
    outputs = [outputs_of(TEACHER, seed) for seed in (2, 3)]
    student = outputs_of(STUDENT, 1)
    seen = {
        "mean_probability": torch.stack([o.logits.softmax(1) for o in outputs]).mean(0),
        "mean_logits": torch.stack([o.logits for o in outputs]).mean(0).softmax(1),
    }
    for choice, theirs in seen.items():
        method = built([TEACHER] * 2, teacher_choice=choice, intermediate=False, discriminator_input="probabilities")
        losses = method.losses(batch_of(TARGETS), student, outputs)
        expected = discriminator_loss(method.discriminators[0], student.logits.softmax(1), theirs)
        torch.testing.assert_close(losses["adversarial"], expected)


# -- similarity -------------------------------------------------------------------------------------------------------


def test_similarities() -> None:
    student, teacher = torch.randn(4, 7), torch.randn(4, 7)
    p, q = teacher.softmax(1), student.softmax(1)
    expected = {
        "ce": -(p * q.log()).sum() / 4,
        "l1": (student - teacher).abs().sum() / 28,
        "l2": (student - teacher).square().sum() / 28,
        "l1_soft": (q - p).abs().sum() / 28,
        "l2_soft": (q - p).square().sum() / 28,
        "kl": (p * (p / q).log()).sum() / 4,
    }
    assert set(expected) == set(SIMILARITIES)
    for name, value in expected.items():
        torch.testing.assert_close(SIMILARITIES[name](student, teacher), value)


def test_total_is_the_weighted_sum_over_stages_and_logits() -> None:
    method = built(similarity="l2", adv_mode="none", stage_weights=(2.0, 3.0, 4.0, 5.0), similarity_weight=0.5)
    student, teacher = outputs_of(STUDENT, 1), outputs_of(TEACHER, 2)
    pooled = [a.flatten(2).mean(1) - b.flatten(2).mean(1) for a, b in zip(student.stages, teacher.stages, strict=True)]
    squares = [v.square().mean() for v in (*pooled, student.logits - teacher.logits)]
    expected = 0.5 * sum(w * s for w, s in zip((2, 3, 4, 5), squares, strict=True))
    losses = method.losses(batch_of(TARGETS), student, [teacher])
    assert set(losses) == {"similarity"}
    torch.testing.assert_close(losses["similarity"], expected)


@pytest.mark.parametrize("adv_mode", ["none", "joint_same_sign", "grl", "alternate"])
def test_labels_count_only_where_they_are_asked_for(adv_mode: str) -> None:
    def total(targets: Tensor, **parameters: Any) -> Tensor:
        method = built(adv_mode=adv_mode, **parameters)
        losses = method.losses(batch_of(targets), outputs_of(STUDENT, 1), [outputs_of(TEACHER, 2)])
        assert ("ce" in losses) == bool(parameters)
        return torch.stack(list(losses.values())).sum()

    assert torch.equal(total(TARGETS), total(TARGETS.flip(0)))
    assert not torch.equal(total(TARGETS, hard_label_weight=0.3), total(TARGETS.flip(0), hard_label_weight=0.3))


def test_adversarial_and_hard_label_terms_have_their_weights() -> None:
    method = built(adversarial_weight=0.25, hard_label_weight=0.5, similarity="l2")
    student, teacher = outputs_of(STUDENT, 1), outputs_of(TEACHER, 2)
    losses = method.losses(batch_of(TARGETS), student, [teacher])
    pairs = [(s.flatten(2).mean(1), t.flatten(2).mean(1)) for s, t in zip(student.stages, teacher.stages, strict=True)]
    pairs.append((student.logits, teacher.logits))
    played = sum(discriminator_loss(d, s, t) for d, (s, t) in zip(method.discriminators, pairs, strict=True))
    torch.testing.assert_close(losses["adversarial"], 0.25 * played)
    torch.testing.assert_close(losses["ce"], 0.5 * F.cross_entropy(student.logits, TARGETS))
    assert method.terms == {"similarity": "distill", "adversarial": "player", "ce": "task"}


def test_maximum_pooling_takes_the_largest_of_all_channels() -> None:
    method = built(pooling="maximum", similarity="l1", adv_mode="none", stage_weights=(1.0, 0.0), pooled_sizes=(2,))
    student, teacher = outputs_of(STUDENT, 1), outputs_of(TEACHER, 2)
    vectors = [n.stages[-1].flatten(2).unflatten(2, (2, 2)).amax((1, 3)) for n in (student, teacher)]
    losses = method.losses(batch_of(TARGETS), student, [teacher])
    torch.testing.assert_close(losses["similarity"], (vectors[0] - vectors[1]).abs().mean())


# -- adversaries ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output_relu", [True, False])
@pytest.mark.parametrize(("adv_mode", "direction"), [("joint_same_sign", -1), ("grl", 1)])
def test_a_step_of_the_student_along_its_adversarial_gradient(adv_mode: str, direction: int, output_relu: bool) -> None:
    method = built(adv_mode=adv_mode, discriminator_output_relu=output_relu)
    student, teacher = outputs_of(STUDENT, 1, student=True), outputs_of(TEACHER, 2)
    before = method.losses(batch_of(TARGETS), student, [teacher])["adversarial"]
    inputs = [*student.stages, student.logits]
    gradients = torch.autograd.grad(before, inputs)
    assert all(g.any() for g in gradients[-1:])
    stepped = [(x - 0.01 * g / g.norm().clamp_min(1e-12)).detach() for x, g in zip(inputs, gradients, strict=True)]
    nothing: Any = None
    moved = Outputs(nothing, stepped[-1], {"stages": stepped[:-1]})
    after = method.losses(batch_of(TARGETS), moved, [teacher])["adversarial"]
    assert direction * (after - before).item() > 0


def test_discriminators_descend_in_every_mode() -> None:
    for adv_mode in ("joint_same_sign", "grl", "alternate"):
        method = built(adv_mode=adv_mode)
        student, teacher = outputs_of(STUDENT, 1, student=True), outputs_of(TEACHER, 2)
        before = method.losses(batch_of(TARGETS), student, [teacher])["adversarial"]
        before.backward()
        with torch.no_grad():
            for parameter in method.discriminators.parameters():
                parameter -= 0.05 * parameter.grad
        after = method.losses(batch_of(TARGETS), student, [teacher])["adversarial"]
        assert after.item() < before.item()


class Noted(torch.optim.SGD):
    """Notes at each step which of the `watched` tensors it changes, and which had a gradient before it."""

    def __init__(
        self, parameters: Sequence[Tensor], watched: dict[str, list[Tensor]], log: list[Any], name: str
    ) -> None:
        super().__init__(parameters, lr=0.05)
        self.watched, self.log, self.name = watched, log, name

    def step(self, closure: Any = None) -> Any:
        gradients = {n: [t.grad is not None for t in tensors] for n, tensors in self.watched.items()}
        before = {n: [t.detach().clone() for t in tensors] for n, tensors in self.watched.items()}
        super().step()
        changed = {
            n: any(not torch.equal(a, b) for a, b in zip(before[n], tensors, strict=True))
            for n, tensors in self.watched.items()
        }
        self.log.append((self.name, changed, gradients))


def test_alternate_updates_one_player_at_a_time() -> None:
    method = built(adv_mode="alternate", similarity_weight=0.0)
    student, teacher = outputs_of(STUDENT, 1, student=True), outputs_of(TEACHER, 2)
    parts = {
        "main": [student.logits, *student.stages],
        "discriminators": list(method.discriminators.parameters()),
    }
    log: list[Any] = []
    optimizers = {name: Noted(tensors, parts, log, name) for name, tensors in parts.items()}
    losses = method.losses(batch_of(TARGETS), student, [teacher])
    tags = {name: method.terms[name] for name in losses}
    frozen = [p.detach().clone() for p in parts["discriminators"]]
    method.update(Step(losses, tags, optimizers, parts, lambda: losses, INFO))
    assert [entry[0] for entry in log] == ["discriminators", "main"]
    assert log[0][1] == {"main": False, "discriminators": True}
    assert not any(log[0][2]["main"]), "the discriminators' turn gave the student a gradient"
    assert log[1][1] == {"main": True, "discriminators": False}
    assert any(not torch.equal(a, b) for a, b in zip(frozen, parts["discriminators"], strict=True))
    assert all(p.requires_grad for p in parts["discriminators"])


def test_alternate_student_ascends_against_the_new_discriminators() -> None:
    method = built(adv_mode="alternate", similarity_weight=0.0, intermediate=False, discriminator_output_relu=False)
    student, teacher = outputs_of(STUDENT, 1, student=True), outputs_of(TEACHER, 2)
    parts = {"main": [student.logits], "discriminators": list(method.discriminators.parameters())}
    optimizers = {name: torch.optim.SGD(tensors, lr=0.05) for name, tensors in parts.items()}
    start = student.logits.detach().clone()
    losses = method.losses(batch_of(TARGETS), student, [teacher])
    tags = {name: method.terms[name] for name in losses}
    method.update(Step(losses, tags, optimizers, parts, lambda: losses, INFO))
    discriminator = method.discriminators[0]
    now = discriminator_loss(discriminator, student.logits, teacher.logits)
    assert now.item() > discriminator_loss(discriminator, start, teacher.logits).item()


def test_without_its_term_alternate_is_a_plain_step() -> None:
    method = built(adv_mode="alternate")
    student, teacher = outputs_of(STUDENT, 1, student=True), outputs_of(TEACHER, 2)
    parts = {"main": [student.logits], "discriminators": list(method.discriminators.parameters())}
    before = [p.detach().clone() for p in parts["discriminators"]]
    optimizers = {name: torch.optim.SGD(tensors, lr=0.05) for name, tensors in parts.items()}
    losses = method.losses(batch_of(TARGETS), student, [teacher])
    del losses["adversarial"]
    method.update(Step(losses, {"similarity": "distill"}, optimizers, parts, lambda: losses, INFO))
    assert all(torch.equal(a, b) for a, b in zip(before, parts["discriminators"], strict=True))
    assert student.logits.grad is not None


def test_curves_are_the_epochs_mean_of_each_discriminator() -> None:
    method = built()
    student, teacher = outputs_of(STUDENT, 1), outputs_of(TEACHER, 2)
    total = sum(method.losses(batch_of(TARGETS), student, [teacher])["adversarial"] for _ in range(3)) / 3
    curves = dict(method.curves())
    assert list(curves) == ["d_loss_stage1", "d_loss_stage2", "d_loss_stage3", "d_loss_logits"]
    assert sum(curves.values()) == pytest.approx(total.item(), rel=1e-5)
    assert method.measurements() == curves
    assert built(adv_mode="none").curves() == {}


# -- teachers ---------------------------------------------------------------------------------------------------------


def test_one_teacher_per_batch_is_drawn_uniformly_and_only_it_is_run() -> None:
    method = built([TEACHER] * 3, adv_mode="none", intermediate=False)
    teachers = Watched([outputs_of(TEACHER, seed) for seed in range(3)])
    student = outputs_of(STUDENT, 9)
    batches = 3000
    for number in range(batches):
        method.losses(batch_of(TARGETS), student, teachers)
        assert len(teachers.asked) == number + 1
    counts = torch.bincount(torch.tensor(teachers.asked), minlength=3).double()
    chi_square = ((counts - batches / 3) ** 2 / (batches / 3)).sum().item()
    assert chi_square < 13.8, f"{counts.tolist()} has a probability below 0.001"


@pytest.mark.parametrize("choice", ["random", "mean_probability"])
def test_teachers_that_are_not_used_are_not_run(choice: str) -> None:
    method = built([TEACHER] * 3, teacher_choice=choice, teachers_used=2, intermediate=False)
    teachers = Watched([outputs_of(TEACHER, seed) for seed in range(3)])
    for _ in range(20):
        method.losses(batch_of(TARGETS), outputs_of(STUDENT, 9), teachers)
    assert set(teachers.asked) == {0, 1}


def test_teachers_drawn_for_a_seed_are_a_part_of_those_drawn_for_more() -> None:
    chosen = {
        (seed, used): built([TEACHER] * 5, seed=seed, teachers_used=used, teachers_drawn="random").teaching
        for seed in range(40)
        for used in range(1, 6)
    }
    assert all(len(set(teachers)) == used for (_, used), teachers in chosen.items())
    assert all(set(chosen[seed, used]) < set(chosen[seed, used + 1]) for seed in range(40) for used in range(1, 5))
    counts = torch.bincount(torch.tensor([chosen[seed, 2] for seed in range(40)]).flatten(), minlength=5)
    assert counts.min() >= 6, f"{counts.tolist()} of 16 each"
    assert chosen[0, 5] == [0, 1, 2, 3, 4]


def test_drawn_teachers_are_those_that_are_run_and_told() -> None:
    drawn = {"teachers_used": 2, "teachers_drawn": "random"}
    method = built([TEACHER] * 5, seed=4, intermediate=False, adv_mode="none", **drawn)
    teachers = Watched([outputs_of(TEACHER, seed) for seed in range(5)])
    for _ in range(30):
        method.losses(batch_of(TARGETS), outputs_of(STUDENT, 9), teachers)
    assert sorted(set(teachers.asked)) == method.teaching
    assert method.teaching != [0, 1]
    assert method.measurements() == {f"uses_teacher{number + 1}": 1.0 for number in method.teaching}
    assert built([TEACHER] * 5, teachers_used=2, adv_mode="none").measurements() == {}


def test_means_of_teachers() -> None:
    outputs = [outputs_of(TEACHER, seed) for seed in (2, 3)]
    student = outputs_of(STUDENT, 1)
    probability = torch.stack([o.logits.softmax(1) for o in outputs]).mean(0)
    mean = torch.stack([o.logits for o in outputs]).mean(0)
    expected = {
        "mean_probability": -(probability * student.logits.log_softmax(1)).sum(1).mean(),
        "mean_logits": -(mean.softmax(1) * student.logits.log_softmax(1)).sum(1).mean(),
    }
    for choice, value in expected.items():
        method = built([TEACHER] * 2, teacher_choice=choice, intermediate=False)
        losses = method.losses(batch_of(TARGETS), student, outputs)
        torch.testing.assert_close(losses["similarity"], value)
        adversarial = discriminator_loss(method.discriminators[0], student.logits, mean)
        torch.testing.assert_close(losses["adversarial"], adversarial)


@pytest.mark.parametrize("choice", ["random", "mean_probability", "mean_logits"])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_teachers_of_unlike_shapes(choice: str, similarity: str) -> None:
    method = built([TEACHER, SHALLOW], teacher_choice=choice, similarity=similarity)
    student = outputs_of(STUDENT, 1, student=True)
    losses = method.losses(batch_of(TARGETS), student, [outputs_of(TEACHER, 2), outputs_of(SHALLOW, 3)])
    torch.stack(list(losses.values())).sum().backward()
    assert student.stages[0].grad is None
    assert all(tensor.grad.isfinite().all() for tensor in (*student.stages[1:], student.logits))


def test_batchnorm_in_training_mode_is_for_private_teachers() -> None:
    teacher = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1), nn.Dropout()).eval()
    for mode, training in (("eval", False), ("train", True)):
        method = MEAL(teacher_batchnorm=mode)
        assert method.private_teacher == training
        method.build(context_for([TEACHER], [teacher]))
        assert teacher[1].training == training
        assert not teacher[2].training


# -- planning ---------------------------------------------------------------------------------------------------------


def test_what_it_cannot_do_is_said_at_plan_time() -> None:
    context = context_for([TEACHER, TEACHER])
    assert MEAL(stage_weights=()).skip(context) == "stage_weights is empty; its last number is the weight of the logits"
    assert MEAL(teachers_used=3).skip(context) == "teachers_used is 3, and the pair has 2"
    assert MEAL(adversarial_weights=(1.0, 1.0)).skip(context) == (
        "adversarial_weights has 2 numbers, and stage_weights 5; they go together"
    )
    none = "adversarial_weights leaves no discriminator; without any, adv_mode is 'none'"
    shallow_alone = {"adversarial_weights": (0.0, 1.0, 1.0, 1.0, 0.0)}
    assert MEAL(**shallow_alone).skip(context) is None
    assert MEAL(**shallow_alone, intermediate=False).skip(context) == none
    assert MEAL(**shallow_alone, intermediate=False, adv_mode="none").skip(context) is None


def test_reads_stages_only_when_it_matches_them() -> None:
    assert MEAL().reads.taps == ("stages",)
    assert MEALv2().reads.taps == ()
    assert MEAL().reads.teachers == "many"
    assert MEAL().reads.views == (View("recipe"),)


def test_own_views_are_two_draws_of_the_recipes_augmentation() -> None:
    views = MEAL(views="own").reads.declared_views
    assert [(view.name, view.student, view.teacher) for view in views] == [
        ("recipe", True, False),
        ("recipe", False, True),
    ]


def test_cutmix_is_asked_for_in_its_phase() -> None:
    assert dict(MEAL(cutmix=1.0).phases()[0].recipe) == {"cutmix": 1.0}
    assert dict(MEALv2(cutmix=0.0).phases()[0].recipe) == {"lr": 0.01, "weight_decay": 0.0, "cutmix": 0.0}
    assert MEAL.mixed_labels == "mix"


def test_players_have_learning_rates_of_their_own() -> None:
    phase = MEAL().phases()[0]
    assert {p.name: dict(p.optimizer) for p in phase.players} == {"main": {}, "discriminators": {"lr": 1e-3}}
    assert [p.name for p in MEAL(adv_mode="none").phases()[0].players] == ["main"]
    second = MEALv2().phases()[0]
    assert dict(second.recipe) == {"lr": 0.01, "weight_decay": 0.0}
    assert {p.name: dict(p.optimizer) for p in second.players} == {"main": {}, "discriminators": {}}


def test_second_version_starts_from_the_plain_student_of_its_seed() -> None:
    *teachers, start = MEALv2().requires(Pair(("a", "b"), "c"))
    assert [t.model for t in teachers] == ["a", "b"]
    assert (start.model, start.method, start.subset, start.role) == ("c", "vanilla", "train", "student")
    assert start.warm_start
    assert start.same_seed
    assert not any(r.warm_start for r in MEAL().requires(Pair(("a", "b"), "c")))


def test_declared_ablations_are_parameters() -> None:
    for kind in (MEAL, MEALv2):
        for changes in kind.ablations.values():
            kind(**changes)
            assert all(hasattr(kind, name) for name in changes)
