"""FCFD: the levels at which networks are cut, the bridges between them, and what mixed paths teach."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods.fcfd import Levels, fcfd_loss, make_bridge
from kdharness_plugins.models.cifar_resnet import CifarResNet
from method_world import MODELS, SPECS, World, network
from torch import Tensor, nn

from kdharness.api import Batch, ModelSpec, StagedModel, StepInfo
from kdharness.api.staged import Placement

VECTOR = Path(__file__).parents[2] / "vectors" / "fcfd.npz"
TERMS = {"ce", "kd", "appearance", "function"}
# All paths between two networks of three levels, in the order of the method's candidates.
PATHS = [("teacher_first", 0), ("teacher_first", 1), ("student_first", 0), ("student_first", 1)]


def batch_at(world: World, epoch: int) -> Batch:
    step = StepInfo("train", torch.tensor(epoch), 240, torch.tensor(epoch / 240))
    return Batch(world.images, world.targets, step, views=(world.images,))


def fixed(method: Any, *paths: tuple[str, int]) -> Any:
    """The method, which draws these paths in every step."""
    method._drawn = lambda: list(paths)
    return method


# -- the authors' code -------------------------------------------------------------------------------------------------


@pytest.fixture
def doubles(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Outputs are float32 otherwise."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def fill(module: nn.Module, values: np.ndarray) -> None:
    """Sets all of its tensors but counters, in their order."""
    tensors = [tensor for name, tensor in module.state_dict().items() if not name.endswith("num_batches_tracked")]
    parts = torch.from_numpy(values).double().split([tensor.numel() for tensor in tensors])
    for tensor, part in zip(tensors, parts, strict=True):
        tensor.copy_(part.view_as(tensor))


def thin(depth: int, widths: tuple[int, int, int, int], values: np.ndarray) -> StagedModel:
    shape = (3, 8, 8)
    net = CifarResNet(5, shape, depth, widths).double()
    fill(net, values)
    return StagedModel(net, MODELS[f"resnet{depth}"], shape).double()


class Known(World):
    """The pair of the vector. Its numbers were made by the authors' training loop in float64, for a ResNet-8 and a
    ResNet-14 of two to five channels, with the teacher in training mode and half of the weight's rise done.
    """

    def __init__(self) -> None:
        super().__init__(samples=4)
        with np.load(VECTOR) as archive:
            self.arrays = {name: archive[name] for name in archive.files}
        self.__dict__["student"] = thin(8, (2, 2, 3, 4), self.arrays["student"]).train()
        self.__dict__["teacher"] = thin(14, (2, 3, 4, 5), self.arrays["teacher"]).eval().requires_grad_(False)
        self.__dict__["images"] = torch.from_numpy(self.arrays["images"])
        self.__dict__["targets"] = torch.from_numpy(self.arrays["targets"])

    def made(self, *drawn: int) -> Any:
        method = fixed(self.built("fcfd", teacher_batchnorm="train"), *(PATHS[number] for number in drawn))
        fill(method.double(), self.arrays["method"])
        return method


@pytest.mark.parametrize("drawn", [(), (0,), (1,), (2,), (3,), (0, 1, 2, 3)])
def test_the_loss_is_that_of_the_authors_code(drawn: tuple[int, ...], doubles: None) -> None:
    world = Known()
    method = world.made(*drawn)
    losses = world.losses(method, batch_at(world, 9))
    total = torch.stack(list(losses.values())).sum()
    expected = float(world.arrays["total." + "".join(map(str, drawn))])
    assert total.item() == pytest.approx(expected, rel=1e-12)


def test_gradients_are_those_of_the_authors_code(doubles: None) -> None:
    world = Known()
    method = world.made(0, 1, 2, 3)
    total = torch.stack(list(world.losses(method, batch_at(world, 9)).values())).sum()
    for name, module in (("student", world.student.network), ("method", method)):
        found = torch.autograd.grad(total, list(module.parameters()), retain_graph=True)
        known = torch.from_numpy(world.arrays[f"gradient.{name}"])
        torch.testing.assert_close(torch.cat([g.flatten() for g in found]), known, rtol=1e-9, atol=1e-12)


# -- the loss of levels ------------------------------------------------------------------------------------------------


def test_levels_count_alike_and_the_last_one_by_its_means_too() -> None:
    """(1 - 0)^2 at the first; at the last (4 + 0 + 0 + 0) / 4, and rectified means 0.5 against 0: 0.25."""
    student = [torch.ones(2, 1, 1, 1), torch.tensor([2.0, 0.0, -3.0, 0.0]).view(1, 1, 2, 2)]
    teacher = [torch.zeros(2, 1, 1, 1), torch.tensor([0.0, 0.0, -3.0, 0.0]).view(1, 1, 2, 2)]
    assert fcfd_loss(student, teacher).item() == pytest.approx(1 + 1 + 0.25)
    assert fcfd_loss(teacher, teacher) == 0
    assert fcfd_loss(student[1:], teacher[1:]).item() == pytest.approx(1.25)


def test_no_gradient_reaches_the_teachers_maps() -> None:
    student, teacher = torch.rand(2, 3, 2, 2, requires_grad=True), torch.rand(2, 3, 2, 2, requires_grad=True)
    fcfd_loss([student], [teacher]).backward()
    assert teacher.grad is None
    assert student.grad is not None


# -- bridges and levels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target", "kind", "stride", "bias"),
    [
        ((3, 8, 8), (5, 8, 8), nn.Conv2d, 1, False),
        ((3, 8, 8), (5, 4, 4), nn.Conv2d, 2, True),
        ((3, 4, 4), (5, 8, 8), nn.ConvTranspose2d, 2, True),
        ((3, 8, 8), (5, 2, 2), nn.Conv2d, 1, False),
        ((3, 7, 5), (5, 3, 4), nn.Conv2d, 1, False),
        ((3, 1, 1), (5, 4, 4), nn.Conv2d, 1, False),
    ],
)
def test_a_bridge_gives_the_other_networks_shape(
    source: tuple[int, int, int], target: tuple[int, int, int], kind: type[nn.Module], stride: int, bias: bool
) -> None:
    bridge = make_bridge(source, target, leaky=True)
    (layer,) = (part for part in bridge if isinstance(part, nn.Conv2d | nn.ConvTranspose2d))
    assert type(layer) is kind
    assert (layer.stride[0], layer.bias is not None) == (stride, bias)
    assert bridge(torch.randn(2, *source)).shape == (2, *target)
    assert (bridge(torch.randn(4, *source)) < 0).any()
    assert isinstance(bridge[-1], nn.LeakyReLU)
    assert isinstance(make_bridge(source, target, leaky=False)[-1], nn.BatchNorm2d)


@pytest.mark.parametrize(
    ("name", "before", "leaky"),
    [
        ("resnet8", (False,) * 3, (True,) * 3),
        ("shuffle_v2", (False,) * 3, (True,) * 3),
        ("wrn_16_1", (False, False, True), (False,) * 3),
        ("mobilenet_v2", (False, False, False, True), (False,) * 4),
        ("shuffle_v1", (True,) * 3, (False,) * 3),
        ("vgg8", (True,) * 4, (False,) * 4),
        ("vgg11", (False,) * 4, (True,) * 4),
        ("vgg16_five_pools", (False,) * 5, (True,) * 5),
    ],
)
def test_levels_are_where_the_authors_cut(name: str, before: tuple[bool, ...], leaky: tuple[bool, ...]) -> None:
    with torch.device("meta"):
        model = network(name, 5, (3, 32, 32))
    levels = Levels(model, model.num_stages)
    assert (tuple(levels.before), tuple(levels.leaky)) == (before, leaky)


@pytest.mark.parametrize("name", ["resnet8", "vgg8", "wrn_16_1", "mobilenet_v2"])
def test_the_rest_of_a_network_makes_of_its_own_maps_what_the_network_made(name: str) -> None:
    """By the statistics of the batch, without another update of the running ones."""
    model = network(name, 5, (3, 32, 32)).train()
    levels, taps = Levels(model, 3), ("stages", "pre_activations")
    whole = model.run(torch.rand(2, 3, 32, 32), taps)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    for level in range(2):
        rest = levels.rest(model, level, levels.maps(whole)[level])
        torch.testing.assert_close(rest.logits, whole.logits)
        for again, first in zip(levels.maps(rest), levels.maps(whole)[level + 1 :], strict=True):
            torch.testing.assert_close(again, first)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


# -- a step ------------------------------------------------------------------------------------------------------------


def test_every_path_reaches_what_it_is_made_of_and_the_teacher_gets_nothing() -> None:
    world = World("resnet8", "resnet14")
    for first, level in PATHS:
        method = fixed(world.built("fcfd"), (first, level))
        world.student.zero_grad()
        losses = world.losses(method)
        assert set(losses) == TERMS
        losses["function"].backward()
        sections = [any(p.grad is not None and p.grad.any() for p in part) for part in world.student.sections()]
        bridges = {name for name, p in method.named_parameters() if p.grad is not None and p.grad.any()}
        front = [True] * (level + 1) + [False] * (3 - level)
        if first == "student_first":
            assert sections == front
            assert {name.rsplit(".", 2)[0] for name in bridges} == {f"to_teacher.{level}"}
        else:
            assert sections == [not used for used in front]
            assert {name.rsplit(".", 2)[0] for name in bridges} == {f"to_student.{level}"}
        assert all(parameter.grad is None for parameter in world.teacher.parameters())


def test_paths_move_no_running_statistics() -> None:
    world = World("resnet8", "resnet14")
    method = fixed(world.built("fcfd"), *PATHS)
    outputs = world.outputs(method, world.batch())
    networks = (world.student, world.teacher)
    states = [{key: value.clone() for key, value in model.state_dict().items()} for model in networks]
    versions = [buffer._version for buffer in world.teacher.buffers()]
    modes = [module.training for module in world.teacher.modules()]
    sum(method.losses(world.batch(), *outputs).values()).backward()
    for model, state in zip(networks, states, strict=True):
        assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert [buffer._version for buffer in world.teacher.buffers()] == versions
    assert [module.training for module in world.teacher.modules()] == modes


def test_a_teacher_in_training_mode_is_a_copy_that_normalises_by_the_batch() -> None:
    assert not SPECS["fcfd"].factory().private_teacher
    world = World("resnet8", "resnet14")
    method = world.built("fcfd", teacher_batchnorm="train")
    assert method.private_teacher
    found = {type(module).__name__ for module in world.teacher.modules() if module.training}
    assert found == {"BatchNorm2d"}
    taught = world.outputs(method, world.batch())[1]
    again = method.of_teacher.rest(world.teacher, 0, method.of_teacher.maps(taught)[0])
    torch.testing.assert_close(again.logits, taught.logits)


@pytest.mark.parametrize(
    ("teacher", "student"),
    [("conv8", "conv4"), ("wrn_16_1", "resnet8"), ("vgg8", "mobilenet_v2"), ("vgg8", "resnet8"), ("conv8", "vgg8")],
)
@pytest.mark.parametrize("classes", [2, 5])
def test_a_batch_of_two_of_unlike_networks(teacher: str, student: str, classes: int) -> None:
    world = World(student, teacher, classes=classes, samples=2, batch_size=2, shape=(3, 32, 32))
    method = world.built("fcfd")
    losses = world.losses(fixed(method, *method.candidates))
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())


def test_the_order_of_the_batch_does_not_matter() -> None:
    world = World("resnet8", "resnet14")
    method = fixed(world.built("fcfd"), *PATHS)
    straight = world.losses(method)
    turned = world.losses(method, world.batch(order=torch.tensor([3, 1, 5, 0, 2, 4])))
    for name, loss in straight.items():
        torch.testing.assert_close(turned[name], loss, rtol=1e-4, atol=1e-6)


def test_networks_in_bfloat16_give_losses_near_those_in_float32() -> None:
    world = World("resnet8", "resnet14")
    method = fixed(world.built("fcfd"), *PATHS)
    full = world.losses(method)
    for model in (world.student, world.teacher):
        model.place(Placement(precision="bf16"))
    for name, loss in world.losses(method).items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, full[name], rtol=0.1, atol=0.05)


@pytest.mark.parametrize(("epoch", "share"), [(0, 0.05), (9, 0.5), (19, 1.0), (100, 1.0)])
def test_the_weight_of_maps_rises_by_epochs(epoch: int, share: float) -> None:
    world = World("resnet8", "resnet14")
    method = fixed(world.built("fcfd", mixed_weight=0.0), PATHS[2])
    whole = world.losses(world.built("fcfd", warmup_epochs=0))
    found = world.losses(method, batch_at(world, epoch))
    assert found["appearance"].item() == pytest.approx(share * whole["appearance"].item(), rel=1e-4)
    assert found["kd"].item() == pytest.approx(whole["kd"].item(), rel=1e-6)


# -- what is drawn -----------------------------------------------------------------------------------------------------


def test_two_different_paths_are_drawn_and_each_as_often() -> None:
    world = World("resnet8", "resnet14")
    method = world.built("fcfd")
    assert method.candidates == PATHS
    steps = [tuple(method._drawn()) for _ in range(600)]
    assert all(len(set(drawn)) == 2 for drawn in steps)
    counts = {pair: steps.count(pair) for pair in set(steps)}
    assert len(counts) == 6
    assert all(65 < count < 135 for count in counts.values())
    again = world.built("fcfd")
    assert [tuple(again._drawn()) for _ in range(20)] == steps[:20]


def test_paths_of_one_direction_and_of_none() -> None:
    world = World("resnet8", "resnet14")
    for direction in ("student_first", "teacher_first"):
        assert world.built("fcfd", directions=direction).candidates == [(direction, 0), (direction, 1)]
    assert len(world.built("fcfd", paths=9)._drawn()) == 4
    method = world.built("fcfd", paths=0)
    assert world.losses(method)["function"] == 0


class Skipping(nn.Module):
    """Its classifier sees the image too."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels = input_shape[0]
        self.first, self.relu1 = nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()
        self.second, self.relu2 = nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()
        self.fc = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        deep = self.relu2(self.second(self.relu1(self.first(x))))
        logits: Tensor = self.fc((x + deep).mean((2, 3)))
        return logits


def other(stages: int) -> StagedModel:
    names = ("relu1", "relu2")[2 - stages :]
    spec = ModelSpec("other", Skipping, stages=names, pre_activations=names, classifier="fc")
    return StagedModel(Skipping(5, (3, 8, 8)), spec, (3, 8, 8))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (partial(other, 1), "needs at least two stages, and 'other' declares 1"),
        (partial(other, 2), "model 'other' has a connection that skips one of its stages"),
        (partial(network, "vit_micro_p2", 5, (3, 8, 8)), "its bridges are made for maps, and the stages of"),
    ],
)
def test_what_cannot_be_cut_is_skipped(make: Any, reason: str) -> None:
    world = World("resnet8", "resnet14")
    world.__dict__["student"] = make()
    found = SPECS["fcfd"].factory().skip(world.context)
    assert found is not None
    assert found.startswith(reason)
