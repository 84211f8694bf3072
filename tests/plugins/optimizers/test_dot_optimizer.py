"""DOT: its optimiser beside one written by hand, and its method as the harness trains it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kdharness_plugins.methods.kd import kd_loss
from kdharness_plugins.optimizers.dot import DistillationOriented
from torch import Tensor, nn

from kdharness.testing import Lab

LR, MU, DELTA, DECAY = 0.05, 0.9, 0.075, 0.01


def by_hand(weights: list[Tensor], gradients: Callable[[list[Tensor]], tuple[list[Tensor], list[Tensor]]]) -> None:
    """Twenty steps of the paper's rule."""
    task = [torch.zeros_like(w) for w in weights]
    distill = [torch.zeros_like(w) for w in weights]
    for _ in range(20):
        for number, (g, h) in enumerate(zip(*gradients(weights), strict=True)):
            task[number] = (MU - DELTA) * task[number] + g + DECAY * weights[number]
            distill[number] = (MU + DELTA) * distill[number] + h
            weights[number] = weights[number] - LR * (task[number] + distill[number])


def losses(weights: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Two losses that both reach both weights."""
    a, b = weights
    return (a @ b - 1).square().sum(), (a.sum() * b.sum() - 2).square() / 3


def gradients(weights: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    leaves = [w.detach().requires_grad_() for w in weights]
    first, second = losses(leaves)
    return list(torch.autograd.grad(first, leaves)), list(torch.autograd.grad(second, leaves))


def made() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 3), (3, 2))
    return [0.3 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def test_twenty_steps_are_those_of_the_paper() -> None:
    expected = made()
    by_hand(expected, gradients)
    parameters = [nn.Parameter(w) for w in made()]
    optimizer = DistillationOriented(parameters, LR, MU, DECAY, DELTA)
    for _ in range(20):
        task, distill = gradients([p.detach() for p in parameters])
        optimizer.step(
            gradients={
                "task": dict(zip(parameters, task, strict=True)),
                "distill": dict(zip(parameters, distill, strict=True)),
            }
        )
    torch.testing.assert_close([p.detach() for p in parameters], expected)


@pytest.mark.parametrize("name", ["task", "distill", ""])
def test_what_one_loss_alone_reaches_moves_as_by_sgd(name: str) -> None:
    """With the plain momentum, decayed; so does a step without gradients by name."""
    one, other = (nn.Parameter(w) for w in (made()[0], made()[0]))
    optimizer = DistillationOriented([one], LR, MU, DECAY, DELTA)
    plain = torch.optim.SGD([other], lr=LR, momentum=MU, weight_decay=DECAY)
    for number in range(5):
        gradient = torch.full_like(one, number - 1.5)
        one.grad = other.grad = gradient
        optimizer.step(gradients={name: {one: gradient}}) if name else optimizer.step()
        plain.step()
    torch.testing.assert_close(one.detach(), other.detach())


def test_no_momentum_leaves_what_can_be_one() -> None:
    with pytest.raises(ValueError, match="out of"):
        DistillationOriented([nn.Parameter(torch.ones(1))], LR, 0.95, 0.0, 0.075)


def test_the_method_moves_the_student_as_by_hand(make_lab: Callable[..., Lab]) -> None:
    """One cell of twenty steps; the student is run anew by hand on what it saw."""
    from kdharness.data.batches import EpochBatches
    from kdharness.engine.builder import build
    from kdharness.engine.lockstep import SharedBatch
    from kdharness.engine.member import Member

    lab = make_lab()
    settings = ("recipe.weight_decay=0.01", "recipe.lr=0.05", "recipe.schedule=constant", "recipe.batch_size=20")
    cell = lab.plan(methods=("dot",), scenarios=("few100",), settings=settings, epochs=4).cells[-1].cell
    world = lab._world
    data = world.data.of(cell)
    teachers = world.teachers.untrained(cell, data)
    member = Member(cell, 0, world, data, teachers, build(cell, world, data, teachers))
    network = member.student
    names = [name for name, _ in network.named_parameters()]
    weights = [p.detach().clone() for p in network.parameters()]
    buffers = {name: b.clone() for name, b in network.named_buffers()}
    task, distill = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    for _ in range(4):
        request = member.request()
        batches = EpochBatches(request, data.train, data.subsets[request.subset], data.targets)
        for number in range(len(batches)):
            samples = batches.samples(number)
            shared = SharedBatch(samples, [member], member.device.clock())
            images, targets = samples.views[0], samples.targets
            leaves = [w.clone().requires_grad_() for w in weights]
            given = {**dict(zip(names, leaves, strict=True)), **buffers}
            logits = torch.func.functional_call(network, given, (images,))
            said = teachers[0].model.run(images).logits
            first = torch.autograd.grad(0.1 * nn.functional.cross_entropy(logits, targets), leaves, retain_graph=True)
            second = torch.autograd.grad(0.9 * kd_loss(logits, said, 4.0), leaves)
            for k, (g, h) in enumerate(zip(first, second, strict=True)):
                task[k] = (MU - DELTA) * task[k] + g + 0.01 * weights[k]
                distill[k] = (MU + DELTA) * distill[k] + h
                weights[k] = weights[k] - LR * (task[k] + distill[k])
            info = member.info(member.clock.place(number, len(batches)), shared.numbers)
            member.step(samples, shared.teachers, info, measure=False)
        member.end_epoch()
    torch.testing.assert_close([p.detach() for p in network.parameters()], weights, atol=1e-5, rtol=1e-4)
