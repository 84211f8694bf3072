"""RONA's mechanisms: how much noise really arrives, where, and from which bound."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from kdharness_plugins.methods import _privacy as privacy
from kdharness_plugins.methods.rona import Rona
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, ModelSpec, Outputs, StagedModel, Step, StepInfo
from kdharness.api.shapes import shape_of

SHAPE, CLASSES, SAMPLES = (1, 6, 6), 5, 6
SEED = 7
HINT = (8, 3, 3)


class Thin(nn.Module):
    """Three stages without batch normalisation; the classifier is large, so that a spread can be read off."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(input_shape[0], 4, 3, padding=1), nn.Tanh())
        self.two = nn.Sequential(nn.Conv2d(4, 6, 2, stride=2), nn.Tanh())
        self.three = nn.Sequential(nn.Conv2d(6, 400, 3), nn.Tanh())
        self.fc = nn.Linear(400, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.three(self.two(self.one(x))).flatten(1))
        return logits


SPEC = ModelSpec("thin", Thin, stages=("one", "two", "three"), classifier="fc")


class World:
    """A student, a method built for it, one batch, and what two teachers say about it."""

    def __init__(self, **parameters: Any) -> None:
        torch.manual_seed(0)
        self.student = StagedModel(Thin(CLASSES, SHAPE), SPEC, SHAPE)
        self.method = Rona(mechanism="gradient", noise=0, **parameters)
        nothing: Any = None
        wide = type("Wide", (), {"name": "wide", "stages": (HINT, (9, 1, 1)), "embedding": 9})()
        self.method.build(
            BuildContext(
                num_classes=CLASSES,
                input_shape=SHAPE,
                student=shape_of(self.student),
                teachers=(wide, wide),
                student_model=self.student,
                teacher_models=(),
                targets=torch.zeros(0, dtype=torch.int64),
                subset_sizes={},
                epochs=1,
                batch_size=SAMPLES,
                device=torch.device("cpu"),
                make_generator=lambda name, on_device: torch.Generator().manual_seed(SEED),
                new_model=nothing,
            )
        )
        generator = torch.Generator().manual_seed(1)
        self.images = torch.randn(SAMPLES, *SHAPE, generator=generator)
        self.teachers = [
            Outputs(
                nothing,
                scale * torch.randn(SAMPLES, CLASSES, generator=generator),
                {"stages": [scale * torch.randn(SAMPLES, *HINT, generator=generator)]},
            )
            for scale in (3.0, 1.0)
        ]

    def batch(self, phase: str) -> Batch:
        targets = torch.arange(SAMPLES) % CLASSES
        return Batch(self.images, targets, StepInfo(phase, torch.tensor(0), 1, torch.tensor(0.0)), views=(self.images,))

    def parameters(self, phase: str) -> list[nn.Parameter]:
        own = list(self.method.adapter.parameters()) if phase == "hint" else []
        return [*self.student.parameters(), *own]

    def step(self, phase: str) -> dict[str, Tensor | None]:
        """One update whose optimiser moves nothing; the gradients that it was given."""
        parameters = self.parameters(phase)
        optimizer = torch.optim.SGD(parameters, lr=0.0)
        batch = self.batch(phase)
        losses = self.method.losses(batch, self.student.run(self.images, ("stages",)), self.teachers)
        tags = dict.fromkeys(losses, "distill")
        self.method.update(Step(losses, tags, {phase: optimizer}, {phase: parameters}, dict, batch.step))
        names = [name for name, _ in self.student.network.named_parameters()] + ["adapter.weight", "adapter.bias"]
        return dict(zip(names, (p.grad for p in parameters), strict=False))


def sample_gradients(world: World, phase: str, said: Outputs) -> list[list[Tensor]]:
    """By sample, the gradient of its own loss with respect to every parameter that the phase reaches."""
    found = []
    for k in range(SAMPLES):
        outputs = world.student.run(world.images[k : k + 1], ("stages",))
        if phase == "distill":
            p = (said.logits[k : k + 1] / 3).softmax(1)
            loss = -(p * (outputs.logits / 3).log_softmax(1)).sum()
        else:
            mapped = world.method.adapter(outputs.stages[1])
            loss = 0.5 * (said.stages[0][k : k + 1] - mapped).square().sum()
        gradients = torch.autograd.grad(loss, world.parameters(phase), allow_unused=True)
        found.append([g for g in gradients if g is not None])
    return found


def norm(gradient: list[Tensor]) -> float:
    return math.sqrt(sum(float(g.square().sum()) for g in gradient))


@pytest.mark.parametrize("phase", ["hint", "distill"])
def test_the_gradient_is_the_mean_of_clipped_gradients_plus_noise(phase: str) -> None:
    """Noise of deviation 2 sigma B on the mean: one record can change every sample's gradient."""
    sigma = 0.3
    world = World(sigma=sigma)
    found = [g for g in world.step(phase).values() if g is not None]
    sensitive, public = (sample_gradients(world, phase, said) for said in world.teachers)
    bound = sum(norm(g) for g in public) / SAMPLES
    assert sum(norm(g) > bound for g in sensitive) > 0, "choose teachers of which some are clipped"
    factors = [min(1.0, bound / norm(g)) for g in sensitive]
    generator = torch.Generator().manual_seed(SEED)
    assert len(found) == len(sensitive[0])
    for number, gradient in enumerate(found):
        mean = torch.stack([f * g[number] for f, g in zip(factors, sensitive, strict=True)]).mean(0)
        noise = torch.randn(gradient.shape, generator=generator)
        torch.testing.assert_close(gradient, mean + 2 * sigma * bound * noise, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("sigma", "bound"), [(3.0, 0.7), (0.5, 20.0)])
def test_noise_on_a_gradient_of_zero_has_the_stated_spread(sigma: float, bound: float) -> None:
    """Whatever the batch's size: it is no 2 sigma B / n."""
    world = World(sigma=sigma, bound="fixed", distill_bound=bound)
    same = world.student.run(world.images, ("stages",)).logits.detach()
    nothing: Any = None
    world.teachers = [Outputs(nothing, same, {"stages": []})] * 2  # the student agrees: its gradient is zero
    gradient = world.step("distill")["fc.weight"]
    assert gradient is not None
    assert gradient.std().item() == pytest.approx(2 * sigma * bound, rel=0.05)
    assert gradient.mean().item() == pytest.approx(0, abs=0.15 * sigma * bound)


def test_what_the_phase_does_not_reach_gets_no_noise() -> None:
    gradients = World(sigma=1.0).step("hint")
    untouched = {name for name, gradient in gradients.items() if gradient is None}
    assert untouched == {"three.0.weight", "three.0.bias", "fc.weight", "fc.bias"}


def test_every_step_draws_noise_anew() -> None:
    world = World(sigma=1.0)
    first, second = (world.step("distill")["fc.weight"] for _ in range(2))
    assert first is not None
    assert second is not None
    assert not torch.allclose(first, second)


@pytest.mark.parametrize("phase", ["hint", "distill"])
def test_a_fixed_bound_is_that_of_its_phase(phase: str) -> None:
    bound = {"hint": 0.4, "distill": 0.02}[phase]
    world = World(sigma=0.0, bound="fixed", hint_bound=0.4, distill_bound=0.02)
    found = [g for g in world.step(phase).values() if g is not None]
    sensitive = sample_gradients(world, phase, world.teachers[0])
    assert all(norm(g) > bound for g in sensitive)
    for number, gradient in enumerate(found):
        mean = torch.stack([g[number] * bound / norm(g) for g in sensitive]).mean(0)
        torch.testing.assert_close(gradient, mean, rtol=1e-4, atol=1e-6)


# -- noise in losses, and in what a teacher says -----------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["hint", "distill"])
def test_noise_in_losses_has_its_size_though_no_gradient_sees_it(phase: str) -> None:
    world = World(sigma=4.0)
    world.method.mechanism = "loss_scalar"
    student = world.student.run(world.images, ("stages",))
    found = world.method.losses(world.batch(phase), student, world.teachers)[phase]

    def each(said: Outputs) -> Tensor:
        if phase == "distill":
            return -((said.logits / 3).softmax(1) * (student.logits / 3).log_softmax(1)).sum(1)
        return (said.stages[0] - world.method.adapter(student.stages[1])).square().sum((1, 2, 3))

    bound = each(world.teachers[1]).mean()
    noise = torch.randn(SAMPLES, generator=torch.Generator().manual_seed(SEED))
    expected = (each(world.teachers[0]).clamp(max=bound) + 4.0 * bound * noise).mean()
    torch.testing.assert_close(found, expected * (0.5 if phase == "hint" else 1.0))
    assert world.method.pending is not None
    assert int(world.method.pending.gated) == int((each(world.teachers[0]) > bound).sum())


@pytest.mark.parametrize("phase", ["hint", "distill"])
def test_the_bound_of_outputs_is_the_public_teachers_mean_norm(phase: str) -> None:
    """Probabilities are not negative: sqrt(2) B apart at most, where maps may be 2 B apart."""
    world = World(sigma=0.5)
    world.method.mechanism = "output"
    student = world.student.run(world.images, ("stages",))
    found = world.method.losses(world.batch(phase), student, world.teachers)[phase]
    said = [(t.logits / 3).softmax(1) if phase == "distill" else t.stages[0] for t in world.teachers]
    bound = said[1].flatten(1).norm(dim=1).mean()
    apart = math.sqrt(2) if phase == "distill" else 2.0
    lengths = said[0].flatten(1).norm(dim=1).reshape(-1, *[1] * (said[0].dim() - 1))
    noise = torch.randn(said[0].shape, generator=torch.Generator().manual_seed(SEED))
    released = said[0] * (bound / lengths).clamp(max=1) + 0.5 * apart * bound * noise
    if phase == "distill":
        released = privacy.project_to_simplex(released)
        expected = -(released * (student.logits / 3).log_softmax(1)).sum(1).mean()
    else:
        expected = 0.5 * (released - world.method.adapter(student.stages[1])).square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(found, expected)


# -- what is counted ---------------------------------------------------------------------------------------------------


def test_queries_are_counted_by_sample_batch_and_epoch() -> None:
    world = World(sigma=0.1)
    nothing: Any = None
    for phase, steps in (("hint", 2), ("distill", 3), ("self", 2)):
        for _ in range(steps):
            world.step(phase)
        world.method.after_epoch(nothing)
    found = dict(world.method.measurements())
    counted = [found[f"{unit}_queried"] for unit in ("samples", "batches", "epochs")]
    assert counted == [5 * SAMPLES, 5, 2], "self-learning asks no teacher"
    assert found["releases"] == 5


def test_what_was_asked_is_part_of_the_state() -> None:
    """Counters are buffers, or a resumed cell would state a smaller budget."""
    world = World(sigma=0.1)
    world.step("distill")
    counters = {name: int(value) for name, value in world.method.state_dict().items() if value.dtype == torch.int64}
    assert counters == {"samples": SAMPLES, "batches": 1, "epochs": 0, "gated": 0, "asked": 1, "times": 1}
