"""Deep mutual learning: its loss, whose turn it is, and networks that a method makes besides its student."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.methods.dml import DML, mutual_loss
from torch import Tensor

from kdharness.api import Batch, BuildContext, ModelShape, StagedModel, Step, StepInfo
from kdharness.errors import UserError
from kdharness.registry.manager import Registry
from kdharness.testing import Lab

SHAPE = (1, 8, 8)
RATE = 0.1


def network(registry: Registry, name: str, seed: int) -> StagedModel:
    torch.manual_seed(seed)
    spec = registry.get("model", name).spec
    return StagedModel(spec.factory(4, SHAPE), spec, SHAPE)


def made(registry: Registry, **parameters: Any) -> tuple[DML, StagedModel]:
    """A method whose peers have the seeds 1, 2, ...; and a student of seed 0."""
    shape = ModelShape("conv4", (), (), None)
    nothing: Any = None
    method = DML(**parameters)
    method.build(
        BuildContext(
            num_classes=4,
            input_shape=SHAPE,
            student=shape,
            teachers=(),
            student_model=nothing,
            teacher_models=(),
            targets=torch.zeros(0, dtype=torch.int64),
            subset_sizes={},
            epochs=1,
            batch_size=6,
            device=torch.device("cpu"),
            make_generator=nothing,
            new_model=lambda name, role: network(registry, name, int(role.removeprefix("peer"))),
        )
    )
    return method, network(registry, "conv4", 0)


def a_batch() -> Batch:
    images = torch.randn(6, *SHAPE, generator=torch.Generator().manual_seed(5))
    return Batch(images, torch.arange(6) % 4, StepInfo("train", torch.tensor(0), 1, torch.tensor(0.5)), views=(images,))


def step_once(method: DML, student: StagedModel, batch: Batch) -> None:
    """One update of plain SGD for each player."""
    players = {"main": list(student.parameters())}
    players |= {f"peer{k + 1}": list(peer.parameters()) for k, peer in enumerate(method.peer)}

    def terms() -> dict[str, Tensor]:
        return method.losses(batch, student.run(batch.images, ()), None)

    optimizers = {name: torch.optim.SGD(parameters, lr=RATE) for name, parameters in players.items()}
    method.update(Step(terms(), method.terms, optimizers, players, terms, batch.step))


def by_hand(learner: StagedModel, others: list[StagedModel], batch: Batch) -> None:
    """One step of a network against what the others predict now."""
    z = learner.run(batch.images, ()).logits
    loss = F.cross_entropy(z, batch.targets)
    for other in others:
        p = other.run(batch.images, ()).logits.detach().softmax(1)
        loss = loss + (p * (p.log() - z.log_softmax(1))).sum(1).mean() / len(others)
    gradients = torch.autograd.grad(loss, list(learner.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(learner.parameters(), gradients, strict=True):
            parameter -= RATE * gradient


def assert_same(one: StagedModel, other: StagedModel) -> None:
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_loss_is_the_mean_divergence_from_the_others() -> None:
    z, *others = torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0))
    p = [other.softmax(1) for other in others]
    expected = sum((q * (q.log() - z.log_softmax(1))).sum(1).mean() for q in p) / 2
    torch.testing.assert_close(mutual_loss(z, others), expected)
    mean = (p[0] + p[1]) / 2
    of_mean = (mean * (mean.log() - z.log_softmax(1))).sum(1).mean()
    torch.testing.assert_close(mutual_loss(z, others, of_mean=True), of_mean)
    assert float(of_mean) < float(expected)  # the divergence is convex in the target


def test_with_two_networks_both_forms_are_one_and_temperature_keeps_the_scale() -> None:
    z, other = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(mutual_loss(z, [other]), mutual_loss(z, [other], of_mean=True))
    softened = 9 * F.kl_div((z / 3).log_softmax(1), (other / 3).softmax(1), reduction="batchmean")
    torch.testing.assert_close(mutual_loss(z, [other], temperature=3.0), softened)


def test_no_gradient_flows_into_the_others() -> None:
    z, other = (torch.randn(5, 4).requires_grad_() for _ in range(2))
    into_own, into_other = torch.autograd.grad(mutual_loss(z, [other]), (z, other), allow_unused=True)
    assert into_own.abs().sum() > 0
    assert into_other is None


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("of_others", ["mean", "sum"])
def test_loss_and_gradient_of_two_and_three_networks(count: int, of_others: str) -> None:
    """vectors/dml.npz was made with numpy in extended precision, with gradients (p_k - p_l) / N by hand."""
    vectors = np.load(Path(__file__).parents[2] / "vectors" / "dml.npz")
    logits = [torch.from_numpy(z).requires_grad_() for z in vectors[f"{count}_logits"]]
    for k, own in enumerate(logits):
        loss = mutual_loss(own, [*logits[:k], *logits[k + 1 :]], of_others=of_others)  # type: ignore[arg-type]
        assert float(loss.detach()) == pytest.approx(vectors[f"{count}_{of_others}"][k], rel=1e-13)
        (gradient,) = torch.autograd.grad(loss, own)
        np.testing.assert_allclose(gradient.numpy(), vectors[f"{count}_{of_others}_gradient"][k], rtol=0, atol=1e-15)


def test_the_sum_pulls_as_many_times_as_there_are_others(registry: Registry) -> None:
    batch = a_batch()
    found = []
    for of_others in ("mean", "sum"):
        method, student = made(registry, peers=3, of_others=of_others)
        found.append(method.losses(batch, student.run(batch.images, ()), None))
    for name in ("kl", "peer_kl"):
        torch.testing.assert_close(found[1][name], 3 * found[0][name])
    torch.testing.assert_close(found[1]["ce"], found[0]["ce"])


@pytest.mark.parametrize("peers", [1, 2])
@pytest.mark.parametrize("updates", ["in_turn", "together"])
def test_updates_follow_the_algorithm(registry: Registry, updates: str, peers: int) -> None:
    batch = a_batch()
    method, student = made(registry, updates=updates, peers=peers)
    step_once(method, student, batch)
    expected = [network(registry, "conv4", seed) for seed in range(peers + 1)]
    before = [network(registry, "conv4", seed) for seed in range(peers + 1)]
    for k, learner in enumerate(expected):
        seen = expected if updates == "in_turn" else before
        by_hand(learner, [*seen[:k], *seen[k + 1 :]], batch)
    for found, wanted in zip([student, *method.peer], expected, strict=True):
        assert_same(found, wanted)


def test_together_and_without_its_divergence_the_student_is_the_plain_student(lab: Lab) -> None:
    plan = lab.plan(methods=("vanilla",), scenarios=("few100",))
    cells = [p.cell for p in plan.cells if p.cell.method == "vanilla" and p.cell.role == "student"]
    settings = ("dml.updates=together", "dml.without=kl")
    plan = lab.plan(methods=("dml",), scenarios=("few100",), settings=settings)
    cells += [p.cell for p in plan.cells if p.cell.method == "dml"]
    records = lab.train(cells)
    assert {r.status for r in records.values()} == {"ok"}
    plain, alone = (lab.bits(cell.key)["model.safetensors"] for cell in cells)
    assert plain == alone


def test_every_network_and_their_mean_are_reported(lab: Lab) -> None:
    cell = lab.plan(methods=("dml",), scenarios=("few100",), settings=("dml.peers=2",)).cells[-1].cell
    record = lab.train([cell])[cell.key]
    found = {(row.predictor, row.metric): row.value for row in record.metrics}
    names = ("student", "peer1", "peer2", "ensemble")
    assert {predictor for predictor, _ in found} == set(names)
    assert record.values["top1"] == found["student", "top1"]
    assert len({found[name, "nll"] for name in names}) == 4
    assert found["ensemble", "macs"] == 3 * found["student", "macs"]
    assert record.values["student_parameters"] == found["peer1", "parameters"]
    # By convexity the mean's likelihood is at least the members' mean.
    assert found["ensemble", "nll"] <= math.fsum(found[name, "nll"] for name in names[:3]) / 3


def test_the_model_of_a_peer_enters_the_key(lab: Lab) -> None:
    def cell(*settings: str) -> Any:
        return lab.plan(methods=("dml",), scenarios=("few100",), settings=settings).cells[-1].cell

    assert "networks" not in cell().document
    (network,) = cell("dml.peer_model=conv32").document["networks"]
    assert network["name"] == "conv32"
    assert network["plugin"]["revision"] >= 1
    record = lab.train([cell("dml.peer_model=conv32")]).popitem()[1]
    costs = {row.predictor: row.value for row in record.metrics if row.metric == "parameters"}
    assert costs["peer1"] > 3 * costs["student"]


def test_an_unknown_model_of_a_peer_is_named(lab: Lab) -> None:
    with pytest.raises(UserError, match=r"unknown model 'conv23'.*did you mean 'conv32'"):
        lab.plan(methods=("dml",), settings=("dml.peer_model=conv23",))


def test_a_peer_is_needed(lab: Lab) -> None:
    with pytest.raises(UserError, match=r"parameter 'peers': '0' is not a valid int: .*greater than or equal to 1"):
        lab.plan(methods=("dml",), scenarios=("few100",), settings=("dml.peers=0",))


STOWAWAY = '''
import torch.nn.functional as F
from kdharness.api import Method, MethodSpec, Reads, hookimpl

class Stowaway(Method):
    """Makes a network that no key knows of."""
    name = "stowaway"
    reads = Reads(teachers="none")

    def build(self, context):
        self.other = context.peer("other", "conv64")

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Stowaway)]
'''


def test_a_network_that_the_key_does_not_know_is_refused(make_lab: Any, tmp_path: Path) -> None:
    (tmp_path / "stowaway.py").write_text(STOWAWAY)
    lab = make_lab(plugin_files=(tmp_path / "stowaway.py",))
    cell = lab.plan(methods=("stowaway",), scenarios=("few100",)).cells[-1].cell
    record = lab.train([cell])[cell.key]
    assert (record.status, record.error_type) == ("failed", "MethodError")
    assert "a network of 'conv64', which its networks() does not name" in record.error_message


def test_terms_have_their_weights_and_temperature(registry: Registry) -> None:
    """The student's terms and the peers' are sums of their own; the weight is for divergences alone."""
    batch = a_batch()
    method, student = made(registry, peers=2, weight=0.25, temperature=3.0)
    networks = [student, *method.peer]
    z = [member.run(batch.images, ()).logits.detach().double() for member in networks]
    found = method.losses(batch, student.run(batch.images, ()), None)
    ce = [F.cross_entropy(one, batch.targets) for one in z]
    p = [(one / 3).softmax(1) for one in z]
    divergences = [[(q * (q / own).log()).sum() / 6 for q in p] for own in p]
    kl = [0.25 * 9 * sum(row) / 2 for row in divergences]  # to itself it is zero
    expected = {"ce": ce[0], "kl": kl[0], "peer_ce": ce[1] + ce[2], "peer_kl": kl[1] + kl[2]}
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(float(value), rel=1e-4), name
