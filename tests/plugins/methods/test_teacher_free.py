"""Methods without a teacher, or with one of the student's own making: smoothed labels, one's past, one's average."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.methods._rampup import rampup
from kdharness_plugins.methods.cskd import CSKD, cskd_loss
from kdharness_plugins.methods.dlb import DLB
from kdharness_plugins.methods.kd import kd_loss
from kdharness_plugins.methods.label_smoothing import LabelSmoothing, label_smoothing_loss
from kdharness_plugins.methods.mean_teacher import MeanTeacher
from kdharness_plugins.methods.one import ONE, Gate
from kdharness_plugins.methods.pskd import PSKD, pskd_loss
from kdharness_plugins.methods.tfkd import TfKD, tfkd_loss, tfkd_teacher
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, Method, MethodSpec, Outputs, Pair, StepInfo
from kdharness.device.door import open_device
from kdharness.testing import Lab, MethodCase, parametrize_with_checks
from kdharness.testing.bench import Bench

CLASSES = 4
EPOCHS = 5


class Network(nn.Module):
    """A linear network that is run as a StagedModel is. runs: whether each run was in train mode."""

    def __init__(self, seed: int = 0, classes: int = CLASSES) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.linear = nn.Linear(3, classes)
        self.runs: list[bool] = []

    def run(self, images: Tensor) -> Outputs:
        self.runs.append(self.training)
        model: Any = self
        return Outputs(model, self.linear(images.flatten(1)), {})


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def labels(samples: int, classes: int = CLASSES, seed: int = 0) -> Tensor:
    return torch.randint(classes, (samples,), generator=torch.Generator().manual_seed(seed))


def batch_of(samples: int, seed: int = 0, epoch: int = 0, classes: int = CLASSES) -> Batch:
    """Two views of random images, their partners and places."""
    views = (random(samples, 3, 1, 1, seed=seed), random(samples, 3, 1, 1, seed=seed + 100))
    info = StepInfo("train", torch.tensor(epoch), EPOCHS, torch.tensor(epoch / EPOCHS))
    targets, partners = labels(samples, classes, seed), random(samples, 3, 1, 1, seed=seed + 200)
    return Batch(views[0], targets, info, views, indices=torch.arange(samples), partners=partners)


def built(method: Any, network: Network, samples: int = 6) -> Any:
    """The method, made for a subset of that many samples; its peers have weights of their own."""
    given = {
        "num_classes": network.linear.out_features,
        "student_model": network,
        "student": Network,
        "targets": labels(samples, network.linear.out_features),
        "new_model": lambda name, role: Network(seed=9, classes=network.linear.out_features),
    }
    Network.name = "linear"  # type: ignore[attr-defined]
    method.build(BuildContext(**{field.name: given.get(field.name) for field in dataclasses.fields(BuildContext)}))
    return method.train()


def make(name: str) -> Any:
    made: dict[str, Callable[[], Method[Any]]] = {
        "label_smoothing": LabelSmoothing,
        "tfkd": TfKD,
        "tfkd_self": lambda: TfKD(kind="self"),
        "pskd": PSKD,
        "cskd": CSKD,
        "dlb": DLB,
        "mean_teacher": MeanTeacher,
    }
    return made[name]()


NAMES = ("label_smoothing", "tfkd", "tfkd_self", "pskd", "cskd", "dlb", "mean_teacher")


def step(method: Any, network: Network, batch: Batch) -> dict[str, Tensor]:
    """One step without the update: the terms."""
    student = network.run(batch.images)
    teacher = Network(seed=3, classes=network.linear.out_features).run(batch.images)
    reads = method.reads.teachers
    losses = dict(method.losses(batch, student, None if reads == "none" else teacher))
    with torch.no_grad():
        method.after_step(batch, student, None)
    return losses


def permuted(batch: Batch, order: Tensor) -> Batch:
    assert batch.indices is not None
    assert batch.partners is not None
    views = tuple(view[order] for view in batch.views)
    return dataclasses.replace(
        batch,
        images=views[0],
        views=views,
        targets=batch.targets[order],
        indices=batch.indices[order],
        partners=batch.partners[order],
    )


# -- what all promise --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_a_batch_does_not_matter(name: str) -> None:
    found = []
    for order in (torch.arange(6), torch.tensor([3, 0, 5, 1, 4, 2])):
        network = Network()
        method = built(make(name), network)
        step(method, network, permuted(batch_of(6), order))
        found.append(step(method, network, permuted(batch_of(6, epoch=1), order)))
    for term, value in found[0].items():
        torch.testing.assert_close(value, found[1][term])


@pytest.mark.parametrize("classes", [2, CLASSES])
@pytest.mark.parametrize("samples", [2, 6])
@pytest.mark.parametrize("name", NAMES)
def test_every_term_teaches_the_student_alone(name: str, samples: int, classes: int) -> None:
    network = Network(classes=classes)
    method = built(make(name), network, samples)
    step(method, network, batch_of(samples, classes=classes))
    losses = step(method, network, batch_of(samples, seed=1, epoch=1, classes=classes))
    assert set(losses) == set(method.terms)
    for term, loss in losses.items():
        (gradient,) = torch.autograd.grad(loss, [network.linear.weight], retain_graph=True)
        assert gradient.isfinite().all(), term
        assert gradient.abs().sum() > 0, term
    torch.stack(list(losses.values())).sum().backward()
    assert all(parameter.grad is None for parameter in method.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_sure_logits_in_bf16_give_finite_losses_and_gradients(name: str) -> None:
    network = Network()
    network.linear.weight.data.mul_(200)
    network.run = lambda images: Outputs(network, network.linear(images.flatten(1)).bfloat16(), {})  # type: ignore
    method = built(make(name), network)
    step(method, network, batch_of(6))
    losses = step(method, network, batch_of(6, seed=1, epoch=1))
    torch.stack(list(losses.values())).sum().backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert network.linear.weight.grad is not None
    assert network.linear.weight.grad.isfinite().all()


# -- smoothed labels ---------------------------------------------------------------------------------------------------


def test_smoothing_is_shared_among_all_classes() -> None:
    network, batch = Network(), batch_of(6)
    losses = step(LabelSmoothing(smoothing=0.3), network, batch)
    logits = network.run(batch.images).logits
    expected = F.cross_entropy(logits, batch.targets, label_smoothing=0.3)
    torch.testing.assert_close(losses["ce"] + losses["label_smoothing"], expected)
    torch.testing.assert_close(label_smoothing_loss(logits, batch.targets, 0.3), expected)
    torch.testing.assert_close(losses["ce"], 0.7 * F.cross_entropy(logits, batch.targets))
    assert label_smoothing_loss(torch.zeros(2, CLASSES), torch.tensor([0, 1]), 0.5).item() == pytest.approx(
        math.log(CLASSES)
    )


def test_the_recipes_own_smoothing_and_loss_are_not_added(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    answers = []
    for settings in ((), ("student.label_smoothing=0.4",), ("student.loss=bce",), ("label_smoothing.smoothing=0.4",)):
        plan = lab.plan(methods=("label_smoothing",), scenarios=("few100",), settings=settings)
        ((key, record),) = lab.train_plan(plan).items()
        assert record.status.value == "ok"
        with np.load(lab.folder.cell(key).predictions) as predictions:
            answers.append(predictions["logits"])
    assert np.array_equal(answers[0], answers[1])
    assert np.array_equal(answers[0], answers[2])
    assert not np.array_equal(answers[0], answers[3])


# -- tfkd --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("temperature", "right"), [(1.0, 0.99), (20.0, 1 / (1 + 99 * (0.01 / 99 / 0.99) ** 0.05)), (1e6, 0.01)]
)
def test_the_virtual_teacher_is_right_with_its_probability_and_softened_as_one(
    temperature: float, right: float
) -> None:
    """The authors' code softens the probabilities themselves: 0.0105 at 20, where it is 0.0157."""
    said = tfkd_teacher(torch.tensor([7, 0]), 100, 0.99, temperature)
    assert said.sum(dim=1).tolist() == pytest.approx([1, 1])
    assert [said[0, 7].item(), said[1, 0].item()] == pytest.approx([right, right], rel=1e-4)
    assert said[0, 1:7].tolist() == pytest.approx([(1 - said[0, 7].item()) / 99] * 6)


def test_the_divergence_is_summed_over_classes() -> None:
    """That of a student who knows nothing is log C less the teacher's entropy: it grows with C."""
    for classes in (2, 10, 1000):
        p = np.array([0.9] + [0.1 / (classes - 1)] * (classes - 1))
        expected = math.log(classes) + float((p * np.log(p)).sum())
        found = tfkd_loss(torch.zeros(3, classes, dtype=torch.float64), torch.tensor([0, 1, 1]), 0.9)
        assert found.item() == pytest.approx(expected)


def test_it_is_zero_where_the_student_says_what_the_virtual_teacher_says() -> None:
    targets = labels(5)
    same = tfkd_teacher(targets, CLASSES, 0.8, 3.0).log().requires_grad_()
    loss = tfkd_loss(same, targets, 0.8, 3.0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-12)
    assert same.grad is not None
    assert same.grad.abs().max() < 1e-12


@pytest.mark.parametrize(
    ("parameters", "alpha", "temperature"),
    [({}, 0.1, 20), ({"alpha": 0.5, "temperature": 2.0}, 0.5, 2), ({"alpha": 0.0}, 0, 20)],
)
def test_the_virtual_teacher_has_a_share(parameters: dict[str, float], alpha: float, temperature: float) -> None:
    network, batch = Network(), batch_of(6)
    losses = step(TfKD(**parameters), network, batch)
    logits = network.run(batch.images).logits
    torch.testing.assert_close(losses["ce"], (1 - alpha) * F.cross_entropy(logits, batch.targets))
    torch.testing.assert_close(losses["tfkd"], alpha * tfkd_loss(logits, batch.targets, 0.99, temperature))


def test_the_teacher_of_its_own_kind_is_matched_as_by_kd() -> None:
    network, batch = Network(), batch_of(6)
    losses = step(TfKD(kind="self"), network, batch)
    logits, taught = network.run(batch.images).logits, Network(seed=3).run(batch.images).logits
    torch.testing.assert_close(losses["ce"], 0.05 * F.cross_entropy(logits, batch.targets))
    torch.testing.assert_close(losses["tfkd"], 0.95 * kd_loss(logits, taught, 6.0))


def test_that_teacher_is_the_vanilla_cell_of_the_student_and_seed(make_lab: Callable[..., Lab]) -> None:
    pair = Pair(("conv16",), "conv8")
    assert TfKD().requires(pair) == []
    assert [r.model for r in TfKD(kind="self").requires(pair)] == ["conv8"]
    lab = make_lab()
    chosen = {"scenarios": ("few100",), "settings": ("tfkd.kind=self",)}
    plan = lab.plan(methods=("vanilla", "tfkd"), **chosen)
    cells = {p.cell.method: p.cell for p in plan.cells if p.cell.role == "student"}
    assert cells["vanilla"].key in cells["tfkd"].requires
    assert {record.status.value for record in lab.train_plan(plan).values()} == {"ok"}


def test_the_student_does_not_start_where_its_teacher_did() -> None:
    network = Network()
    before = network.linear.weight.detach().clone()
    built(TfKD(), network)
    assert torch.equal(network.linear.weight, before)
    built(TfKD(kind="self"), network)
    assert torch.equal(network.linear.weight, Network(seed=9).linear.weight)


# -- pskd --------------------------------------------------------------------------------------------------------------


def test_in_the_first_epoch_the_target_is_the_label() -> None:
    network = Network()
    method = built(PSKD(), network)
    batch = dataclasses.replace(batch_of(6), targets=labels(6))
    losses = step(method, network, batch)
    expected = F.cross_entropy(network.run(batch.images).logits, batch.targets)
    torch.testing.assert_close(losses["ce"] + losses["pskd"], expected)
    torch.testing.assert_close(losses["pskd"], 0.8 / EPOCHS * expected)


@pytest.mark.parametrize("epoch", [1, EPOCHS - 1])
def test_later_it_holds_what_was_said_of_the_image_the_epoch_before(epoch: int) -> None:
    network = Network()
    method = built(PSKD(alpha=0.5), network, samples=9)
    places = torch.tensor([7, 2, 4])
    first = dataclasses.replace(batch_of(3), indices=places)
    said = network.run(first.images).logits.softmax(dim=1).detach()
    step(method, network, first)
    network.linear.weight.data.mul_(-2)
    again = dataclasses.replace(batch_of(3, seed=5, epoch=epoch), indices=places.flip(0), targets=first.targets.flip(0))
    losses = step(method, network, again)
    share = 0.5 * (epoch + 1) / EPOCHS
    logits = network.run(again.images).logits
    target = (1 - share) * F.one_hot(again.targets, CLASSES) + share * said.flip(0)
    torch.testing.assert_close(losses["ce"] + losses["pskd"], F.cross_entropy(logits, target))
    torch.testing.assert_close(pskd_loss(logits, said.flip(0), again.targets, share), F.cross_entropy(logits, target))
    untouched = [place for place in range(9) if place not in places]
    assert torch.equal(method.previous[untouched], F.one_hot(labels(9), CLASSES).float()[untouched])


# -- cskd --------------------------------------------------------------------------------------------------------------


def test_the_partner_is_run_in_train_mode_and_gets_no_gradient() -> None:
    network, batch = Network(), batch_of(6)
    losses = CSKD(weight=2.0, temperature=3.0).losses(batch, student := network.run(batch.images), None)
    assert network.runs == [True, True]
    partner = network.run(batch.partners).logits  # type: ignore[arg-type]
    expected = 2 * cskd_loss(student.logits, partner.detach(), 3.0)
    torch.testing.assert_close(losses["cskd"], expected)
    with_respect_to = [network.linear.weight]
    (found,) = torch.autograd.grad(losses["cskd"], with_respect_to, retain_graph=True)
    (wanted,) = torch.autograd.grad(expected, with_respect_to, retain_graph=True)
    torch.testing.assert_close(found, wanted)
    same = dataclasses.replace(batch, partners=batch.images)
    assert CSKD().losses(same, network.run(batch.images), None)["cskd"].item() == pytest.approx(0, abs=1e-6)


# -- dlb ---------------------------------------------------------------------------------------------------------------


def by_hand(weight: float, temperature: float, batches: list[Batch], rate: float) -> Tensor:
    """The paper's algorithm, written out: each step of plain descent looks at its own batch and at the last one's."""
    network = Network()
    last: tuple[Tensor, Tensor, Tensor] | None = None
    for batch in batches:
        said = network.run(batch.images).logits
        loss = F.cross_entropy(said, batch.targets)
        if last is not None:
            images, targets, then = last
            now = network.run(images).logits
            ours, theirs = len(batch.targets), len(targets)
            of_last = F.cross_entropy(now, targets)
            loss = (ours * loss + theirs * of_last) / (ours + theirs)
            p, q = (then / temperature).softmax(1), (now / temperature).softmax(1)
            loss = loss + weight * temperature**2 * (p * (p.log() - q.log())).sum(1).mean()
        last = batch.views[1], batch.targets, said.detach()
        for parameter, slope in zip(
            network.parameters(), torch.autograd.grad(loss, list(network.parameters())), strict=True
        ):
            parameter.data -= rate * slope
    return network.linear.weight.detach()


def test_each_step_looks_back_at_the_last_batch() -> None:
    """Four steps, the second batch smaller, as an epoch's last one is."""
    batches = [batch_of(samples, seed) for seed, samples in enumerate((6, 3, 6, 6))]
    network = Network()
    method = built(DLB(weight=0.7, temperature=2.0), network)
    for number, batch in enumerate(batches):
        losses = method.losses(batch, student := network.run(batch.images), None)
        assert (losses["dlb"].item() == 0) == (number == 0)
        total = torch.stack(list(losses.values())).sum()
        for parameter, slope in zip(
            network.parameters(), torch.autograd.grad(total, list(network.parameters())), strict=True
        ):
            parameter.data -= 0.1 * slope
        with torch.no_grad():
            method.after_step(batch, student, None)
    torch.testing.assert_close(network.linear.weight.detach(), by_hand(0.7, 2.0, batches, 0.1))


def test_the_last_batch_is_part_of_the_state() -> None:
    network = Network()
    method, other = built(DLB(), network), built(DLB(), network)
    step(method, network, batch_of(6))
    other.load_state_dict(method.state_dict())
    losses, restored = (step(one, network, batch_of(6, seed=1)) for one in (method, other))
    assert losses["dlb"] > 0
    assert all(torch.equal(losses[term], restored[term]) for term in losses)


# -- mean teacher ------------------------------------------------------------------------------------------------------


def test_the_teacher_is_the_average_of_the_students_weights() -> None:
    """The mean of all weights so far as long as that is the shorter memory, then by its decay."""
    network = Network()
    method = built(MeanTeacher(ema_decay=0.7), network)
    assert torch.equal(method.averaged.linear.weight, network.linear.weight)
    seen = [network.linear.weight.detach().clone()]
    for number in range(3):
        network.linear.weight.data += number + 1
        seen.append(network.linear.weight.detach().clone())
        with torch.no_grad():
            method.after_step(batch_of(6), network.run(batch_of(6).images), None)
        if number < 2:
            torch.testing.assert_close(method.averaged.linear.weight, torch.stack(seen).mean(0))
    expected = 0.7 * torch.stack(seen[:3]).mean(0) + 0.3 * seen[3]
    torch.testing.assert_close(method.averaged.linear.weight.detach(), expected)


@pytest.mark.parametrize(("epoch", "share"), [(0, math.exp(-5)), (2, math.exp(-5 * 0.36)), (5, 1.0), (50, 1.0)])
def test_consistency_is_with_the_teacher_on_another_view(epoch: int, share: float) -> None:
    network, batch = Network(), batch_of(6, epoch=epoch)
    method = built(MeanTeacher(weight=10.0), network)
    method.averaged.linear.weight.data.mul_(3)
    losses = method.losses(batch, student := network.run(batch.images), None)
    said, taught = student.logits.softmax(1), method.averaged.run(batch.views[1]).logits.softmax(1)
    torch.testing.assert_close(losses["mean_teacher"], 10 * share * (said - taught).square().mean())
    torch.testing.assert_close(losses["ce"], F.cross_entropy(student.logits, batch.targets))
    assert method.averaged.runs == [True, True]
    assert rampup(torch.tensor(0), 0) == 1


def test_the_teacher_is_what_is_ranked_and_the_student_stands_beside_it(lab: Lab) -> None:
    plan = lab.plan(methods=("mean_teacher",), scenarios=("few100",), epochs=6)
    (record,) = lab.train_plan(plan).values()
    assert record.status.value == "ok"
    top1 = {row.predictor: row.value for row in record.metrics if (row.split, row.metric) == ("test", "top1")}
    assert set(top1) == {"mean_teacher", "student"}
    assert record.values["top1"] == top1["mean_teacher"] != top1["student"]


CASES = [
    MethodCase(MethodSpec.of(TfKD, revision=1), {"kind": "self"}, "conv16:conv8"),
    MethodCase(MethodSpec.of(DLB, revision=1), {}, "conv16:conv8", 3),
]


@parametrize_with_checks(CASES)
def test_other_ways_through_the_engine(check: Callable[[], None]) -> None:
    check()


# -- one ---------------------------------------------------------------------------------------------------------------


def bench_of(**parameters: Any) -> Bench:
    return Bench(MethodCase(MethodSpec.of(ONE, revision=1), parameters, "conv16:conv8"), open_device("cpu"))


def test_the_gated_ensemble_teaches_every_branch() -> None:
    bench = bench_of(branches=4, weight=2.0, temperature=2.0, rampup_epochs=8)
    method, student = bench.method, bench.member.student
    outputs = student.run(bench.images, taps=("stages",))
    info = StepInfo("train", torch.tensor(2), EPOCHS, torch.tensor(0.4))
    batch = Batch(bench.images, bench.samples.targets, info, views=(bench.images,))
    found = method.train().losses(batch, outputs, None)

    shared = outputs.stages[-2]
    scores = method.gate.linear(shared.mean((2, 3))).detach().numpy()
    scores = np.maximum((scores - scores.mean(0)) / np.sqrt(scores.var(0) + 1e-5), 0)
    shares = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    branches = [outputs.logits, *(other.tail(len(outputs.stages) - 2, shared) for other in method.others)]
    members = np.stack([logits.detach().numpy() for logits in branches])
    ensemble = torch.from_numpy(np.einsum("nm,mnc->nc", shares, members))
    labels_of = [F.cross_entropy(logits, batch.targets) for logits in (*branches, ensemble)]
    p = (ensemble / 2).softmax(1)
    taught = sum(4 * (p * (p.log() - (logits / 2).log_softmax(1))).sum(1).mean() for logits in branches)
    assert len(branches) == 4
    torch.testing.assert_close(found["ce"], labels_of[0])
    torch.testing.assert_close(found["branch_ce"], torch.stack(labels_of[1:]).sum())
    torch.testing.assert_close(found["one"], 2 * math.exp(-5 * 0.75**2) * taught)


def test_branches_share_all_but_the_last_stage_and_nothing_that_is_unused_trains() -> None:
    bench = bench_of()
    first = [{name: p.detach().clone() for name, p in other.named_parameters()} for other in bench.method.others]
    assert not all(torch.equal(first[0][name], first[1][name]) for name in first[0])
    for _ in bench.steps():
        pass
    for other, before in zip(bench.method.others, first, strict=True):
        moved = {name for name, p in other.named_parameters() if not torch.equal(p, before[name])}
        trained = {name for name, p in other.named_parameters() if p.requires_grad}
        last = other.spec.stages[-1]
        assert moved == trained
        assert all(name.removeprefix("network.").startswith((last, other.spec.classifier)) for name in moved)
    assert all(p.grad is not None for p in bench.method.gate.parameters())


def test_the_divergence_moves_no_target() -> None:
    """Of the gate, which makes the ensemble alone, it moves nothing."""
    bench = bench_of(rampup_epochs=0)
    for _ in bench.phases():
        bench.step()
        break
    gate = list(bench.method.gate.parameters())
    slopes = torch.autograd.grad(bench.returned["one"], gate, allow_unused=True, retain_graph=True)
    assert slopes == (None,) * len(gate)


def test_one_sample_is_gated_evenly() -> None:
    gate = Gate(3, 4).train()
    assert gate(random(1, 3, 2, 2)).tolist() == [[0.25] * 4]


def test_the_student_is_ranked_and_the_ensemble_stands_beside_it(lab: Lab) -> None:
    plan = lab.plan(methods=("one",), scenarios=("few100",), epochs=3)
    (record,) = lab.train_plan(plan).values()
    assert record.status.value == "ok"
    top1 = {row.predictor: row.value for row in record.metrics if (row.split, row.metric) == ("test", "top1")}
    assert set(top1) == {"student", "ensemble"}
    assert record.values["top1"] == top1["student"]
    plain = lab.plan(methods=("vanilla",), scenarios=("few100",))
    (other,) = lab.train_plan(plain).values()
    for cost in ("student_parameters", "student_macs"):
        assert record.values[cost] == other.values[cost]


def test_transformers_are_skipped_with_a_line(lab: Lab) -> None:
    plan = lab.plan(methods=("one",), scenarios=("few100",), pairs=("conv16:vit_micro_p2",))
    (reason,) = [p.skip for p in plan.cells if p.cell.method == "one"]
    assert reason == "needs stages with maps [C, H, W], and those of 'vit_micro_p2' are tokens"
