"""RONA against numbers and properties worked out by hand: bounds, noise, queries, accounting, and who sees what."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods import _privacy as privacy
from kdharness_plugins.methods._rona_losses import distill_losses, hint_losses
from kdharness_plugins.methods._sample_gradients import SampleLoss, clipped_mean, mean_norm, norms_of
from kdharness_plugins.methods.rona import Rona
from kdharness_plugins.models.rona_nets import RonaNet
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, EpochContext, ModelShape, Outputs, Pair, Step, StepInfo
from kdharness.cli.main import execute
from kdharness.data.prepare import DataStore
from kdharness.engine.cell_state import CellState
from kdharness.engine.member import Member
from kdharness.protocol.benchmark import load
from kdharness.registry.manager import Registry

CLASSES = 5
GUIDE, HINT = (4, 3, 3), (6, 3, 3)


def context(guide: tuple[int, ...] = GUIDE, hint: tuple[int, ...] = HINT, epochs: int = 104) -> BuildContext:
    student = ModelShape("thin", ((3, 6, 6), guide, (5, 1, 1)), (), 5)
    teacher = ModelShape("wide", (hint, (9, 2, 2)), (), 9)
    nothing: Any = None
    return BuildContext(
        num_classes=CLASSES,
        input_shape=(1, 6, 6),
        student=student,
        teachers=(teacher, teacher),
        student_model=nothing,
        teacher_models=(),
        targets=torch.zeros(0, dtype=torch.int64),
        subset_sizes={},
        epochs=epochs,
        batch_size=8,
        device=torch.device("cpu"),
        make_generator=lambda name, on_device: torch.Generator().manual_seed(7),
        new_model=nothing,
        make_secret_generator=lambda on_device: torch.Generator(),
    )


def built(**parameters: Any) -> Rona:
    torch.manual_seed(0)
    method = Rona(**{"noise": 0, **parameters})
    assert method.skip(context()) is None
    method.build(context())
    return method


def outputs(seed: int, maps: list[tuple[int, ...]], samples: int = 8, scale: float = 1.0) -> Outputs:
    generator = torch.Generator().manual_seed(seed)
    stages = [scale * torch.randn(samples, *shape, generator=generator) for shape in maps]
    nothing: Any = None
    return Outputs(nothing, 3 * scale * torch.randn(samples, CLASSES, generator=generator), {"stages": stages})


def student_outputs() -> Outputs:
    student = outputs(1, [(3, 6, 6), GUIDE, (5, 1, 1)])
    student.logits.requires_grad_()
    for stage in student._tap("stages"):
        stage.requires_grad_()
    return student


def teachers(public_scale: float = 1.0, sensitive_seed: int = 2) -> list[Outputs]:
    return [outputs(sensitive_seed, [HINT, (9, 2, 2)]), outputs(3, [HINT, (9, 2, 2)], scale=public_scale)]


def batch(phase: str, samples: int = 8) -> Batch:
    images = torch.zeros(samples, 1, 6, 6)
    step = StepInfo(phase, torch.tensor(0), 1, torch.tensor(0.0))
    return Batch(images, torch.arange(samples) % CLASSES, step, views=(images,))


# -- losses -----------------------------------------------------------------------------------------------------------


def test_normalisation_of_the_three_losses() -> None:
    method = built(mechanism="none")
    student, (sensitive, public) = student_outputs(), teachers()
    found = {p: method.losses(batch(p), student, [sensitive, public]) for p in ("hint", "distill", "self", "warm")}
    guided = method.adapter(student.stages[1])
    expected = (sensitive.stages[0] - guided).square().sum() / (2 * 8)
    torch.testing.assert_close(found["hint"]["hint"], expected)
    p, log_q = (sensitive.logits / 3).softmax(1), (student.logits / 3).log_softmax(1)
    torch.testing.assert_close(found["distill"]["distill"], -(p * log_q).sum() / 8)
    ce = nn.functional.cross_entropy(student.logits, batch("self").targets)
    torch.testing.assert_close(found["self"]["self"], ce)
    assert [list(v) for v in found.values()] == [["hint"], ["distill"], ["self"], ["self"]]


def published() -> dict[str, Tensor]:
    """The graph of the authors' script on random maps and logits: its losses and their gradients, written out once more
    in float64, with the small number that it adds where it clips.
    """
    with np.load(Path(__file__).parents[2] / "vectors" / "rona_losses.npz") as file:
        return {name: torch.from_numpy(array) for name, array in file.items()}


@pytest.mark.parametrize(("mechanism", "how"), [("none", "plain"), ("gate", "clipped"), ("loss_scalar", "clipped")])
def test_losses_bounds_and_gradients_are_the_scripts(mechanism: str, how: str) -> None:
    given = published()
    count, (maps, hints) = len(given["student"]), (given["guide"], given["hint"])
    method = Rona(mechanism=mechanism, sigma=0.0)
    method.build(context(tuple(maps.shape[1:]), tuple(hints.shape[1:])))
    with torch.no_grad():
        method.adapter.double()
        method.adapter.weight.copy_(given["weight"][:, :, None, None])
        method.adapter.bias.copy_(given["bias"])
    logits = given["student"].clone().requires_grad_()
    # Outputs would make float32 of them.
    student: Any = SimpleNamespace(logits=logits, stages=[maps, maps, maps])
    both: Any = [
        SimpleNamespace(logits=given[t], stages=[given[h]]) for t, h in (("teacher", "hint"), ("public", "public_hint"))
    ]
    # The script's 1e-6 is seen where a loss is clipped: relative to the losses, and as what is left of its gradient.
    exact = {"rtol": 1e-12, "atol": 1e-13} if mechanism == "none" else {"rtol": 1e-6, "atol": 1e-6}
    found = method.losses(batch("hint", count), student, both)["hint"]
    adapter = [method.adapter.weight, method.adapter.bias]
    weight, bias = torch.autograd.grad(found, adapter)
    torch.testing.assert_close(weight.flatten(1), given[f"hint_{how}_gradient_0"], **exact)
    torch.testing.assert_close(bias, given[f"hint_{how}_gradient_1"], **exact)
    distilled = method.losses(batch("distill", count), student, both)["distill"]
    torch.testing.assert_close(torch.autograd.grad(distilled, logits)[0], given[f"kd_{how}_gradient_0"], **exact)
    if mechanism != "gate":  # it leaves out the constant that a clip leaves
        torch.testing.assert_close(found, given[f"hint_{how}"], **exact)
        torch.testing.assert_close(distilled, given[f"kd_{how}"], **exact)


@pytest.mark.parametrize("guide", [(4, 6, 6), (4, 3, 3), (4, 2, 2)])
def test_maps_of_different_sizes_meet_at_the_smaller(guide: tuple[int, ...]) -> None:
    method = Rona(mechanism="none")
    method.build(context(guide))
    student = outputs(1, [(3, 6, 6), guide, (5, 1, 1)])
    assert method.losses(batch("hint"), student, teachers())["hint"].isfinite()


def test_adapter_starts_as_published() -> None:
    adapter = built().adapter
    assert (adapter.kernel_size, adapter.in_channels, adapter.out_channels) == ((1, 1), GUIDE[0], HINT[0])
    assert adapter.bias.eq(1).all()
    assert 0 < adapter.weight.abs().max() <= 0.2


def test_hint_gradient_stops_at_the_guide_and_the_adapter() -> None:
    method = built(mechanism="none")
    network = RonaNet(CLASSES, (1, 6, 6), 3, 4, (5, 5, 5), None)
    maps: list[Tensor] = []
    network.block2.register_forward_hook(lambda module, args, output: maps.append(output))
    logits = network(torch.randn(8, 1, 6, 6))
    nothing: Any = None
    student = Outputs(nothing, logits, {"stages": [maps[0], maps[0], maps[0]]})
    method.losses(batch("hint"), student, teachers())["hint"].backward()
    reached = {name.split(".")[0] for name, p in network.named_parameters() if p.grad is not None}
    assert reached == {"block1", "block2"}
    assert all(p.grad is not None for p in method.adapter.parameters())


# -- the published mechanism ------------------------------------------------------------------------------------------


def loss_at(weights: Tensor, mechanism: str, sigma: float) -> Tensor:
    """A distillation loss as a function of a student that is one linear layer."""
    method = built(mechanism=mechanism, sigma=sigma)
    method.double()
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(5)).double()
    nothing: Any = None
    student = type("Student", (), {"logits": inputs @ weights})()
    sensitive, public = (Outputs(nothing, t.logits, {}) for t in teachers())
    torch.manual_seed(11)
    loss = method.losses(batch("distill"), student, [sensitive, public])["distill"]
    assert 0 < int(method.pending.gated) < 8 or mechanism == "none"
    return loss


def numeric_gradient(weights: Tensor, bound: Tensor, sigma: float) -> Tensor:
    """Central differences of mean(min(l, B) + sigma B noise), B and the noise held fixed."""
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(5)).double()
    probabilities = (teachers()[0].logits.double() / 3).softmax(1)

    def value(w: Tensor) -> float:
        torch.manual_seed(11)
        losses = distill_losses(inputs @ w, probabilities, 3.0)
        noise = sigma * bound * torch.randn_like(losses)
        return float((torch.minimum(losses, bound) + noise).mean())

    gradient = torch.zeros_like(weights)
    for index in np.ndindex(*weights.shape):
        step = torch.zeros_like(weights)
        step[index] = 1e-5
        gradient[index] = (value(weights + step) - value(weights - step)) / 2e-5
    return gradient


@pytest.mark.parametrize("sigma", [0.0, 1.0, 10.0, 1000.0])
def test_noise_in_losses_is_inert_and_the_clip_is_a_gate(sigma: float) -> None:
    weights = torch.randn(4, CLASSES, generator=torch.Generator().manual_seed(6)).double().requires_grad_()
    gated = torch.autograd.grad(loss_at(weights, "gate", sigma), weights)[0]
    clipped = torch.autograd.grad(loss_at(weights, "loss_scalar", sigma), weights)[0]
    free = torch.autograd.grad(loss_at(weights, "none", sigma), weights)[0]
    assert clipped.equal(gated)
    assert not clipped.allclose(free)
    inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(5)).double()
    public = (teachers()[1].logits.double() / 3).softmax(1)
    bound = distill_losses(inputs @ weights, public, 3.0).mean().detach()
    tolerance = 1e-6 * max(1.0, sigma)
    torch.testing.assert_close(
        clipped, numeric_gradient(weights.detach(), bound, sigma), rtol=1e-4, atol=tolerance, check_dtype=False
    )


@pytest.mark.parametrize("phase", ["hint", "distill"])
def test_bound_is_the_public_teachers_mean_and_a_constant(phase: str) -> None:
    method = built(mechanism="gate")
    student, (sensitive, public) = student_outputs(), teachers()
    own = method.sample_losses(phase, student, method.said(phase, student, public))
    bound = method.bound_of(phase, own)
    assert isinstance(bound, Tensor)
    assert not bound.requires_grad
    expected = own.mean().item()
    assert bound.item() == pytest.approx(expected)
    losses = method.sample_losses(phase, student, method.said(phase, student, sensitive))
    kept = losses[losses <= expected]
    weight = 0.5 if phase == "hint" else 1.0
    found = method.losses(batch(phase), student, [sensitive, public])[phase]
    torch.testing.assert_close(found, weight * kept.sum() / 8)
    assert int(method.pending.gated) == 8 - len(kept)
    # No gradient flows by way of the bound: it is that of the kept samples alone.
    target = student._tap("stages")[1] if phase == "hint" else student.logits
    (gradient,) = torch.autograd.grad(found, target)
    (alone,) = torch.autograd.grad(weight * kept.sum() / 8, target)
    torch.testing.assert_close(gradient, alone)


def test_fixed_bound_needs_no_public_teacher() -> None:
    class Two(list):  # type: ignore[type-arg]
        def __getitem__(self, number: Any) -> Any:
            assert number == 0, "the public teacher was run for nothing"
            return super().__getitem__(number)

    for phase, bound in (("hint", 40.0), ("distill", 1.2)):
        method = built(mechanism="gate", bound="fixed", hint_bound=40.0, distill_bound=1.2)
        student, both = student_outputs(), Two(teachers())
        losses = method.sample_losses(phase, student, method.said(phase, student, both[0]))
        method.losses(batch(phase), student, both)
        assert int(method.pending.gated) == int((losses > bound).sum())


def test_loss_that_is_not_a_number_is_not_hidden_by_the_bound() -> None:
    losses = torch.tensor([1.0, float("nan"), 5.0])
    assert privacy.clip_losses(losses, 2.0).isnan().tolist() == [False, True, False]
    assert privacy.gate_losses(losses, 2.0).isnan().tolist() == [False, True, False]
    assert privacy.clip_losses(losses, 2.0)[2] == 2
    assert privacy.gate_losses(losses, 2.0)[2] == 0


# -- mechanisms that are private --------------------------------------------------------------------------------------


def test_released_vectors_have_the_stated_bound_and_noise() -> None:
    torch.manual_seed(0)
    vectors = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    torch.testing.assert_close(privacy.clip_norms(vectors, 1.0), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
    many = torch.zeros(20_000, 5)
    for nonnegative, sensitivity in ((True, math.sqrt(2)), (False, 2.0)):
        noise = privacy.release(many, 0.7, 3.0, nonnegative, generator())
        assert noise.std().item() == pytest.approx(3.0 * 0.7 * sensitivity, rel=0.01)
        assert noise.mean().item() == pytest.approx(0, abs=0.05)
    assert privacy.release(vectors, 1.0, 0.0, True, generator()).equal(privacy.clip_norms(vectors, 1.0))


def test_sensitivities_are_reached_and_not_exceeded() -> None:
    corners = torch.eye(2)
    assert privacy.row_norms(corners[:1] - corners[1:]).item() == pytest.approx(math.sqrt(2))
    torch.manual_seed(0)
    p, q = (privacy.clip_norms(torch.randn(1000, 4).softmax(1) * 3, 0.8) for _ in range(2))
    assert privacy.row_norms(p - q).max() <= math.sqrt(2) * 0.8
    h, k = (privacy.clip_norms(5 * torch.randn(1000, 2, 2, 2), 0.8) for _ in range(2))
    assert privacy.row_norms(h - k).max() <= 2 * 0.8 + 1e-6


def test_projection_gives_the_nearest_probabilities() -> None:
    vectors = torch.tensor([[0.2, 0.3, 0.5], [2.0, 0.0, -1.0], [0.6, 0.6, -3.0], [-5.0, -5.0, -5.0]])
    expected = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(privacy.project_to_simplex(vectors), expected)


def test_projection_survives_large_noise() -> None:
    vectors = torch.tensor([[1e8, 0.0, -1e8], [-1e8, 0.0, 1e8], [1e8, 1e8, 0.0], [-1e8, -1e8, -1e8]])
    expected = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(privacy.project_to_simplex(vectors), expected)
    noised = 1e7 * torch.randn(500, 7, generator=generator())
    torch.testing.assert_close(privacy.project_to_simplex(noised).sum(1), torch.ones(500))


@pytest.mark.parametrize("phase", ["hint", "distill"])
def test_output_mechanism_learns_from_the_released_vectors_alone(phase: str) -> None:
    """The loss is a function of the release: with the same noise, teachers that clip to the same vector give the
    same.
    """
    method = built(mechanism="output", sigma=0.5, bound="fixed", hint_bound=0.1, distill_bound=0.1)
    student, both = student_outputs(), teachers()
    said = method.said(phase, student, both[0])
    method.noise_source.manual_seed(4)
    released = privacy.release(said, 0.1, 0.5, phase == "distill", method.noise_source)
    if phase == "distill":
        released = privacy.project_to_simplex(released)
    method.noise_source.manual_seed(4)
    found = method.losses(batch(phase), student, both)[phase]
    expected = method.sample_losses(phase, student, released).mean() * (0.5 if phase == "hint" else 1.0)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    longer = [outputs(2, [HINT, (9, 2, 2)], scale=50.0), both[1]] if phase == "hint" else both
    method.noise_source.manual_seed(4)
    torch.testing.assert_close(method.losses(batch(phase), student, longer)[phase], found)


@pytest.mark.parametrize("mechanism", ["none", "gate", "loss_scalar", "output"])
@pytest.mark.parametrize("phase", ["hint", "distill"])
def test_noise_is_drawn_from_a_generator_of_its_own(mechanism: str, phase: str) -> None:
    method = built(mechanism=mechanism)
    default, own = torch.get_rng_state(), method.noise_source.get_state()
    method.losses(batch(phase), student_outputs(), teachers())
    assert torch.get_rng_state().equal(default)
    assert method.noise_source.get_state().equal(own) == (mechanism in ("none", "gate"))


class Mixed(nn.Module):
    """A network with batch normalisation, whose samples mix in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3)
        self.norm = nn.BatchNorm2d(3)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.drop(self.norm(self.conv(x)).relu()).mean((2, 3)))
        return logits


def test_gradients_per_sample_are_those_of_single_samples() -> None:
    torch.manual_seed(0)
    network = Mixed()
    network(torch.randn(6, 1, 6, 6))  # statistics other than the initial ones
    network.train()
    images, targets = torch.randn(5, 1, 6, 6), torch.randn(5, CLASSES).softmax(1)
    trained = [p for name, p in network.named_parameters() if name != "fc.bias"]
    one = SampleLoss([network], lambda x, t: distill_losses(network(x), t, 3.0), list(trained))
    statistics = {k: v.clone() for k, v in network.state_dict().items()}
    chunks = list(one.gradients(images, targets, chunk=2))
    assert [len(norms_of(c)) for c in chunks] == [2, 2, 1]
    assert network.training
    assert network.drop.training
    assert all(v.equal(statistics[k]) for k, v in network.state_dict().items())
    found = {name: torch.cat([c[name] for c in chunks]) for name in one.trained}
    assert len(found) == len(trained)
    network.eval()
    for k in range(5):
        loss = distill_losses(network(images[k : k + 1]), targets[k : k + 1], 3.0).sum()
        for name, gradient in zip(one.trained, torch.autograd.grad(loss, trained), strict=True):
            torch.testing.assert_close(found[name][k], gradient)


def test_clipped_mean_bounds_each_sample() -> None:
    gradients = {"a": torch.tensor([[3.0], [0.3], [0.0]]), "b": torch.tensor([[4.0], [0.4], [0.0]])}
    assert norms_of(gradients).tolist() == pytest.approx([5.0, 0.5, 0.0])
    assert mean_norm(iter([gradients])).item() == pytest.approx(5.5 / 3)
    mean = clipped_mean(iter([gradients, gradients]), 1.0)
    assert (mean["a"].item(), mean["b"].item()) == pytest.approx(((0.6 + 0.3) / 3, (0.8 + 0.4) / 3))


# -- queries ----------------------------------------------------------------------------------------------------------


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_queries_are_chosen_anew_and_only_for_the_teachers_phases() -> None:
    method = built(selection="margin", query_rate=0.25)
    calls = []

    def predict(positions: Tensor | None = None) -> Tensor:
        calls.append(1)
        return torch.randn(40, CLASSES, generator=torch.Generator().manual_seed(len(calls)))

    nothing: Any = None
    epochs = {
        p: EpochContext(p, 0, 8, nothing, torch.zeros(40, dtype=torch.int64), predict, nothing)
        for p in ("hint", "warm", "distill", "self")
    }
    assert method.select(epochs["warm"]) is None
    assert method.select(epochs["self"]) is None
    hints = [method.select(epochs["hint"]).tolist() for _ in range(2)]
    assert not calls
    assert len(hints[0]) == 10
    assert hints[0] != hints[1]
    queries = [method.select(epochs["distill"]).tolist() for _ in range(2)]
    assert len(calls) == 2
    assert queries[0] != queries[1]


def test_queries_keep_their_order_unless_it_is_shuffled() -> None:
    orders = {name: {p.name: p.order for p in built(query_order=name).phases()} for name in ("selection", "shuffled")}
    asking = dict.fromkeys(("hint", "distill"), "selection")
    assert orders["selection"] == {**dict.fromkeys(("warm", "self"), "shuffled"), **asking}
    assert set(orders["shuffled"].values()) == {"shuffled"}


# -- schedule ---------------------------------------------------------------------------------------------------------


def test_phases_are_those_of_the_readme() -> None:
    method = built(follow_recipe=False, distill_batch_size=512, self_batch_size=128)
    phases = method.phases()
    assert [(p.name, p.epochs) for p in phases] == [
        ("hint", 40), ("warm", 3), ("distill", 8), ("self", 8), ("distill", 8), ("self", 6), ("distill", 8),
        ("self", 4), ("distill", 8), ("self", 2), ("distill", 8), ("self", 1),
    ]  # fmt: skip
    assert [p.batch_size for p in phases[:4]] == [512, 128, 512, 128]
    assert all(p.subset == "train" and p.recipe["schedule"] == "constant" for p in phases)
    players = [p.players[0] for p in phases]
    assert [p.name for p in players[:4]] == ["hint", "self", "distill", "self"]
    assert all(p.lasting and p.optimizer["optimizer"] == "adam" for p in players)
    # floor(0.7 * 5) = 3: only the last round is slow.
    assert [p.optimizer["lr"] for p in players] == [1e-3] * 10 + [1e-4] * 2
    assert players[0].parts == ("student", "method.adapter")
    assert players[1].parts == players[2].parts == ("student",)


def lengths(epochs: int, **parameters: Any) -> list[tuple[str, int]]:
    method = Rona(**{"noise": 0, **parameters})
    method.build(context(epochs=epochs))
    return [(p.name, p.epochs) for p in method.phases()]


@pytest.mark.parametrize("parameters", [{}, {"hint_epochs": 0}, {"distill_epochs": 0}, {"iterations": 1}])
def test_lengths_sum_to_the_recipes(parameters: dict[str, int]) -> None:
    for epochs in range(1, 240):
        found = lengths(epochs, **parameters)
        assert sum(n for _, n in found) == epochs
        assert all(n >= 1 for _, n in found)


def test_lengths_are_in_proportion_by_largest_remainders() -> None:
    full = [40, 3, 8, 8, 8, 6, 8, 4, 8, 2, 8, 1]
    assert [n for _, n in lengths(104)] == full
    assert [n for _, n in lengths(208)] == [2 * n for n in full]
    # The last gets 1. Of 99 / 103 of the others, all but 38.45 and the last two 7.69 are rounded up.
    assert [n for _, n in lengths(100)] == [38, 3, 8, 8, 8, 6, 8, 4, 7, 2, 7, 1]


def test_a_short_recipe_loses_rounds_then_what_comes_before_them() -> None:
    both = ["distill", "self"]
    assert [n for n, _ in lengths(12)] == ["hint", "warm", *both * 5]
    assert [n for n, _ in lengths(11)] == ["hint", "warm", *both * 4]
    assert lengths(4) == [(name, 1) for name in ("hint", "warm", *both)]
    assert lengths(3) == [(name, 1) for name in ("hint", *both)]
    assert lengths(2) == [(name, 1) for name in both]
    assert lengths(1) == [("distill", 1)]
    assert lengths(1, distill_epochs=0) == [("self", 1)]


def test_phases_of_no_epochs_are_none() -> None:
    own = {"follow_recipe": False}
    assert "hint" not in [n for n, _ in lengths(9, hint_epochs=0, **own)]
    assert {n for n, _ in lengths(9, self_epochs=0, **own)} == {"hint", "warm", "distill"}
    nothing = Rona(hint_epochs=0, warm_epochs=0, distill_epochs=0, self_epochs=0)
    assert "has no phase" in (nothing.skip(context()) or "")


@pytest.mark.parametrize(
    "setting",
    [
        "sigma=-1", "sigma=inf", "delta=0", "delta=1", "query_rate=9", "query_rate=0", "iterations=-1", "iterations=0",
        "temperature=0", "lr=0", "hint_bound=0", "distill_bound=-1", "hint_epochs=-1", "self_batch_size=0",
    ],
)  # fmt: skip
def test_impossible_parameters_are_mistakes(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["run", "digits", "--dry-run", "--methods", "rona", "--set", f"rona.{setting}"]
    assert execute(arguments) == 2
    name = setting.split("=", maxsplit=1)[0]
    message = capsys.readouterr().err.strip()
    assert f"'{name}'" in message
    assert len(message.splitlines()) == 1


def test_parameters_are_listed_by_their_plain_types(registry: Registry) -> None:
    found = {p.name: p.type_name for p in registry.get("method", "rona").spec.parameters}
    assert (found["sigma"], found["iterations"], found["self_batch_size"]) == ("float", "int", "int | None")


def test_needs_a_public_twin_of_one_teacher() -> None:
    sensitive, public = Rona().requires(Pair(("wide",), "thin"))
    assert (sensitive.model, sensitive.subset) == ("wide", "teacher")
    assert (public.model, public.subset) == ("wide", "public")
    assert (Rona.needs_scenario, Rona.regime) == ("split80", "private_data")
    two = context()
    object.__setattr__(two, "teachers", two.teachers * 2)
    assert "the pair has 2" in (Rona().skip(two) or "")
    assert "'wide' has stages 0 to 1" in (Rona(teacher_hint_stage=2).skip(context()) or "")
    assert "'thin' has stages 0 to 2" in (Rona(guide_stage=3).skip(context()) or "")


def test_stages_that_are_no_maps_are_not_matched() -> None:
    assert Rona().skip(context(guide=(12,))) == "matches maps [C, H, W], which stage 1 of 'thin' does not give"
    assert Rona().skip(context(hint=(9, 16))) == "matches maps [C, H, W], which stage 0 of 'wide' does not give"
    assert Rona(guide_stage=0).skip(context(guide=(12,))) is None


# -- accounting -------------------------------------------------------------------------------------------------------

# sigma, releases, delta, epsilon by the moments accountant, exact epsilon (None: too large to matter)
TABLE = [
    (10.0, 80, 1e-5, 4.69, 3.85),  # one release per epoch
    (10.0, 3200, 1e-5, 43.1, 39.4),  # one per batch; 40.1 is the bound Phi(mu/2 - epsilon/mu) <= delta
    (10.0, 3200 * 512, 1e-5, 8808, None),  # one per sample, or sensitivity B sqrt(512) per batch
    (10.0, 262, 1e-6, 9.82, 8.54),  # the most that 9.83 allows by moments
    (10.0, 331, 1e-6, 11.22, 9.81),  # and exactly
    (1.0, 82, 1e-5, 84.5, 78.8),  # the script's sigma
]


@pytest.mark.parametrize(("sigma", "releases", "delta", "moments", "exact"), TABLE)
def test_accounting_table(sigma: float, releases: int, delta: float, moments: float, exact: float | None) -> None:
    assert privacy.moments_epsilon(sigma, releases, delta) == pytest.approx(moments, rel=2e-3)
    found = privacy.gaussian_epsilon(sigma, releases, delta)
    assert found > 500 if exact is None else found == pytest.approx(exact, rel=2e-3)
    closed_form = releases / (2 * sigma**2) + math.sqrt(2 * releases * math.log(1 / delta)) / sigma
    assert privacy.moments_epsilon(sigma, releases, delta) == pytest.approx(closed_form, rel=1e-3)


def test_limits_of_the_claimed_svhn_budget() -> None:
    assert privacy.moments_epsilon(10.0, 262, 1e-6) < 9.83 < privacy.moments_epsilon(10.0, 264, 1e-6)
    assert privacy.gaussian_epsilon(10.0, 331, 1e-6) < 9.83 < privacy.gaussian_epsilon(10.0, 332, 1e-6)


def test_sampling_of_queries_is_not_counted() -> None:
    """With Poisson sampling of 512 out of 40,000 the budget would seem to be 0.35; public queries give no such gain."""
    from opacus.accountants.analysis.rdp import compute_rdp

    orders = np.arange(2, 512)
    renyi = compute_rdp(q=512 / 40_000, noise_multiplier=10.0, steps=3200, orders=orders)
    assert np.min(renyi + math.log(1e5) / (orders - 1)) == pytest.approx(0.35, abs=0.02)
    assert privacy.gaussian_epsilon(10.0, 3200, 1e-5) > 100 * 0.35


def test_accounting_at_the_ends() -> None:
    assert privacy.gaussian_epsilon(10.0, 0, 1e-5) == 0
    assert privacy.gaussian_epsilon(1e9, 1, 1e-5) == 0
    assert math.isfinite(privacy.gaussian_epsilon(0.01, 10**6, 1e-5))


def queried(samples: int = 100, batches: int = 10, **parameters: Any) -> dict[str, float]:
    method = built(**parameters)
    method.samples += samples
    method.batches += batches
    method.epochs += 2
    return dict(method.measurements())


def test_only_real_mechanisms_state_an_epsilon() -> None:
    for mechanism in ("none", "gate", "loss_scalar"):
        found = queried(mechanism=mechanism)
        assert found["epsilon_infinite"] == 1
        assert not {name for name in found if name.startswith("epsilon_per")}
        assert not {"epsilon", "epsilon_moments", "delta", "releases"} & set(found)
        assert (found["samples_queried"], found["batches_queried"], found["epochs_queried"]) == (100, 10, 2)
    output, gradient = queried(mechanism="output"), queried(mechanism="gradient")
    assert output["epsilon"] == pytest.approx(privacy.gaussian_epsilon(10.0, 100, 1e-5))
    assert gradient["epsilon"] == pytest.approx(privacy.gaussian_epsilon(10.0, 10, 1e-5))
    assert output["epsilon"] > gradient["epsilon"] > 0
    assert output["epsilon_moments"] > output["epsilon"]
    assert queried(mechanism="output", sigma=0.0)["epsilon_infinite"] == 1
    assert "epsilon_per_batch" not in queried(mechanism="output", sigma=0.0)
    asked_nothing = queried(0, 0, mechanism="loss_scalar")
    assert asked_nothing["epsilon_infinite"] == 0
    assert not {"epsilon_per_sample", "gated_share"} & set(asked_nothing)
    assert (asked_nothing["epsilon"], asked_nothing["mu"]) == (0, 0)
    assert gradient["mu"] == pytest.approx(math.sqrt(10) / 10)
    assert gradient["noise_public"] == 1
    assert "noise_public" not in queried(mechanism="output", sigma=0.0)
    assert queried(mechanism="gradient", noise="secret")["noise_public"] == 0
    silent = queried(0, 0, mechanism="gradient")
    assert (silent["epsilon"], silent["releases"], silent["epsilon_infinite"]) == (0, 0, 0)


@pytest.mark.parametrize(("mechanism", "own"), [("output", "sample"), ("gradient", "batch")])
def test_budgets_under_the_three_ways_to_count(mechanism: str, own: str) -> None:
    found = queried(mechanism=mechanism)
    counts = {"sample": 100, "batch": 10, "epoch": 2}
    for unit, count in counts.items():
        assert found[f"epsilon_per_{unit}"] == privacy.gaussian_epsilon(10.0, count, 1e-5)
    assert found["releases"] == counts[own]
    assert found["epsilon"] == found[f"epsilon_per_{own}"]
    assert (found["delta"], found["sigma"]) == (1e-5, 10.0)


def test_dropped_terms_count_no_query() -> None:
    method = built(mechanism="gate", bound="fixed", distill_bound=1e-6)
    student = student_outputs()
    losses = method.losses(batch("distill"), student, teachers())
    parameter = student.logits
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    for kept in (losses, {}):
        method.losses(batch("distill"), student, teachers())
        tags = dict.fromkeys(kept, "distill")
        method.update(Step(kept, tags, {"distill": optimizer}, {"distill": [parameter]}, dict, batch("distill").step))
        nothing: Any = None
        method.after_epoch(nothing)
    assert (int(method.samples), int(method.batches), int(method.epochs)) == (8, 1, 1)
    assert method.measurements()["gated_share"] == 1


# -- end to end -------------------------------------------------------------------------------------------------------

SHORT = (
    "rona.hint_epochs=1", "rona.warm_epochs=1", "rona.iterations=2", "rona.distill_epochs=1", "rona.self_epochs=1",
    "rona.follow_recipe=false", "rona.noise=0",
)  # fmt: skip


def rona_cells(lab: Any, *changes: str, **selection: Any) -> Any:
    given = {"methods": ("rona",), "scenarios": ("split80",), "settings": (*SHORT, *changes), "epochs": 1}
    return lab.plan(**{**given, **selection})


def student_bits(lab: Any, *changes: str, **selection: Any) -> tuple[Any, bytes]:
    """The student's record and weights under these settings; teachers are trained once per folder."""
    plan = rona_cells(lab, *changes, **selection)
    for planned in plan.cells:
        if not lab.folder.cell(planned.cell.key).model.exists():
            record = lab.train([planned.cell])[planned.cell.key]
            assert record.status == "ok", record.error_message
    cell = plan.cells[-1].cell
    return lab.folder.read_record(cell.key), lab.folder.cell(cell.key).model.read_bytes()


def test_students_do_not_depend_on_sigma_under_the_published_mechanism(lab: Any) -> None:
    found = {sigma: student_bits(lab, f"rona.sigma={sigma}") for sigma in (0, 1, 10, 1000)}
    gate = student_bits(lab, "rona.mechanism=gate")
    free = student_bits(lab, "rona.mechanism=none")
    output = student_bits(lab, "rona.mechanism=output", "rona.sigma=1")
    assert len({bits for _, bits in found.values()}) == 1
    assert gate[1] == found[10][1]
    assert len({free[1], output[1], gate[1]}) == 3
    values = found[10][0].values
    assert values["x_rona_epsilon_infinite"] == 1
    assert 0 < values["x_rona_gated_share"] < 1
    assert (values["x_rona_samples_queried"], values["x_rona_epochs_queried"]) == (3 * 400, 3)
    assert output[0].values["x_rona_epsilon"] == pytest.approx(privacy.gaussian_epsilon(1.0, 1200, 1e-5))


DROPPING = """
from torch import nn
from kdharness.api import ModelSpec, hookimpl

class Dropping(nn.Module):
    def __init__(self, num_classes, input_shape):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(input_shape[0], 8, 3, padding=1), nn.ReLU(), nn.Dropout(0.3))
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
        self.classifier = nn.Linear(8, num_classes)

    def forward(self, x):
        return self.classifier(self.second(self.first(x)).mean((2, 3)))

@hookimpl
def kdharness_models():
    return [ModelSpec("dropping", Dropping, stages=("first", "second"), classifier="classifier")]
"""


def test_noise_does_not_disturb_a_student_with_dropout(make_lab: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "dropping.py").write_text(DROPPING)
    lab = make_lab(plugin_files=(tmp_path / "dropping.py",))
    pair = {"pairs": ("conv32:dropping",)}
    _, noised = student_bits(lab, "rona.sigma=10", **pair)
    _, gated = student_bits(lab, "rona.mechanism=gate", **pair)
    assert noised == gated


def test_what_is_spent_after_the_best_epoch_counts(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first look is the best, so that its weights are deployed; the account is that of the whole training."""
    protocol = load("digits")
    rule = protocol.evaluation.model_copy(update={"validation": 0.2, "every": 1})
    keep = CellState.keep_best
    monkeypatch.setattr(CellState, "keep_best", lambda self, accuracy: keep(self, -float(self.clock.epoch)))
    chosen = {"benchmark": protocol.model_copy(update={"evaluation": rule})}
    record, _ = student_bits(lab, "rona.mechanism=gradient", "rona.query_rate=0.1", **chosen)
    assert record.values["selection"] == "validation"
    assert record.values["val_top1"] == -1
    assert record.values["x_rona_epochs_queried"] == 3
    assert record.values["x_rona_releases"] == record.values["x_rona_batches_queried"] == 3 * 2
    assert record.values["x_rona_epsilon"] == pytest.approx(privacy.gaussian_epsilon(10.0, 6, 1e-5))


def test_gated_share_counts_no_term_that_is_left_out(lab: Any) -> None:
    for term in ("hint", "distill"):
        record, _ = student_bits(lab, f"rona.without={term}")
        assert 0 <= record.values["x_rona_gated_share"] <= 1
        assert record.values["x_rona_epochs_queried"] == (2 if term == "hint" else 1)


def test_gradient_mechanism_end_to_end(lab: Any) -> None:
    settings = ("rona.mechanism=gradient", "rona.query_rate=0.1")
    record, loud = student_bits(lab, *settings, "rona.sigma=0.5")
    _, quiet = student_bits(lab, *settings, "rona.sigma=0.1")
    assert loud != quiet
    assert record.values["x_rona_batches_queried"] == 3 * 2
    assert record.values["x_rona_epsilon"] == pytest.approx(privacy.gaussian_epsilon(0.5, 6, 1e-5))


def test_secret_noise_is_another_in_each_training(lab: Any) -> None:
    settings = ("rona.mechanism=gradient", "rona.query_rate=0.1", "rona.noise=secret")
    record, first = student_bits(lab, *settings)
    assert record.cell.secret
    curves = lab.folder.cell(record.cell.key).history.read_text()
    assert ",self," in curves
    assert not {"hint", "distill"} & set(curves.replace(",", " ").split())
    again = lab.train([record.cell])[record.cell.key]
    assert lab.folder.cell(record.cell.key).model.read_bytes() != first
    assert (record.values["x_rona_releases"], again.values["x_rona_releases"]) == (6, 12)
    assert again.values["x_rona_epsilon"] == pytest.approx(privacy.gaussian_epsilon(10.0, 12, 1e-5))
    assert again.values["x_rona_noise_public"] == 0
    inert = [
        rona_cells(lab, f"rona.mechanism={m}", "rona.noise=secret").cells[-1].cell for m in ("gate", "loss_scalar")
    ]
    assert not any(cell.secret for cell in inert)
    assert not rona_cells(lab, *settings, "rona.sigma=0").cells[-1].cell.secret


def test_no_private_sample_reaches_the_student(make_lab: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Private images and labels become garbage after the teachers are trained: not a bit of the student changes."""
    intact = make_lab("intact")
    _, bits = student_bits(intact)
    spoiled = make_lab("spoiled")
    cells = [planned.cell for planned in rona_cells(intact).cells]
    spoiled.take(intact, cells[-1:])
    honest = DataStore.of
    spoilt: list[int] = []

    def spoil(self: Any, cell: Any) -> Any:
        data = honest(self, cell)
        private = data.subsets["private"]
        data.train.images[private] = 255 - data.train.images[private]
        data.targets[private] = (data.targets[private] + 1) % 10
        spoilt.append(len(private))
        return data

    monkeypatch.setattr(DataStore, "of", spoil)
    record = spoiled.train([cells[-1]])[cells[-1].key]
    assert record.status == "ok", record.error_message
    assert spoilt == [200]
    assert spoiled.folder.cell(cells[-1].key).model.read_bytes() == bits


def test_contexts_show_no_private_row(lab: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    student_bits(lab)
    seen: list[Any] = []
    build, context_of = Rona.build, Member.epoch_context

    def watched_build(self: Rona, context: BuildContext) -> None:
        seen.append(("build", len(context.targets), set(context.subset_sizes)))
        build(self, context)

    def watched(self: Member) -> EpochContext:
        found = context_of(self)
        seen.append((found.phase, len(found.targets), len(found.predict())))
        return found

    monkeypatch.setattr(Rona, "build", watched_build)
    monkeypatch.setattr(Member, "epoch_context", watched)
    lab.train([rona_cells(lab).cells[-1].cell])
    assert seen[0] == ("build", 800, {"train", "public", "teacher"})
    assert {rest for _, *rest in ((s[0], s[1:]) for s in seen[1:]) for rest in rest} == {(800, 800)}
    assert {s[0] for s in seen[1:]} == {"hint", "warm", "distill", "self"}


def test_public_teacher_is_no_part_of_what_the_student_is_measured_against(lab: Any) -> None:
    record, _ = student_bits(lab)
    cells = {cell.key: cell for cell in (planned.cell for planned in rona_cells(lab).cells)}
    sensitive, public = (cells[s.cell] for s in record.cell.teachers)
    assert (sensitive.document["subset"], public.document["subset"]) == ("teacher", "public")
    assert record.cell.teacher == "conv32"
    assert record.values["teacher_top1"] == lab.folder.read_record(sensitive.key).values["top1"]
    assert record.values["x_teacher_parameters"] == 94_186
    assert record.values["x_parameter_ratio"] == pytest.approx(94_186 / 24_058)
    assert record.values["x_mac_ratio"] > 3
    assert record.values["x_latency_ratio"] > 0
    assert {"x_mia_advantage", "x_mia_advantage_low", "x_teacher_mia_advantage_high"} <= set(record.values)


def test_hint_losses_are_sums() -> None:
    assert hint_losses(torch.zeros(2, 3, 2, 2), torch.ones(2, 3, 2, 2)).tolist() == [12, 12]
