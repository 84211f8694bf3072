"""StagedModel on real networks: what `tail` and `head` promise."""

from __future__ import annotations

import copy
from functools import cache

import pytest
import torch
from kdharness_plugins.models import kdharness_models
from torch import nn

from kdharness.api import StagedModel

SHAPE = (3, 32, 32)
SPECS = {spec.name: spec for spec in kdharness_models()}

# Among them: a stage after layers of its own (mobilenet), layers between stages that change the channels (densenet),
# a network that reshapes inside its stages (shufflenet).
NAMES = [
    "conv16",
    "sepconv16",
    "resnet8",
    "resnet8x4",
    "torchvision_resnet18",
    "torchvision_mobilenet_v2",
    "torchvision_densenet121",
    "torchvision_shufflenet_v2_x1_0",
]


@cache
def pristine(name: str) -> StagedModel:
    torch.manual_seed(0)
    model = StagedModel(SPECS[name].factory(10, SHAPE), SPECS[name], SHAPE)
    model.train()(torch.randn(8, *SHAPE))  # running statistics other than 0 and 1
    return model.eval()


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest) -> StagedModel:
    return copy.deepcopy(pristine(request.param))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(1))


def buffers(model: StagedModel) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in model.named_buffers()}


def test_tail_equals_the_full_forward(model: StagedModel, images: torch.Tensor) -> None:
    outputs = model.run(images, taps=("stages",))
    for number, stage in enumerate(outputs.stages):
        torch.testing.assert_close(model.tail(number, stage), outputs.logits, rtol=0, atol=0)
    torch.testing.assert_close(model.head(outputs.stages[-1]), outputs.logits, rtol=0, atol=0)


def test_tail_leaves_the_network_as_it_was(model: StagedModel, images: torch.Tensor) -> None:
    keys = {name: set(vars(module)) for name, module in model.named_modules()}
    modes = {name: module.training for name, module in model.named_modules()}
    outputs = model.run(images, taps=("stages",))
    model.tail(0, outputs.stages[0])
    assert {name: set(vars(module)) for name, module in model.named_modules()} == keys
    assert {name: module.training for name, module in model.named_modules()} == modes
    torch.testing.assert_close(model(images), outputs.logits, rtol=0, atol=0)


def test_tail_in_train_mode_updates_only_the_statistics_behind_the_stage(
    model: StagedModel, images: torch.Tensor
) -> None:
    stages = model.run(images, taps=("stages",)).stages
    last = model.num_stages - 1
    model.train()
    for number in range(model.num_stages):
        before = buffers(model)
        model.tail(number, stages[number])
        changed = {name for name, buffer in model.named_buffers() if not torch.equal(buffer, before[name])}
        inside = tuple(f"network.{path}." for path in model.spec.stages[: number + 1])
        assert not any(name.startswith(inside) for name in changed)
        if number < last:
            behind = f"network.{model.spec.stages[last]}."
            assert any(name.startswith(behind) for name in changed) or not list(model.stages[last].buffers())
        first_norm = next(n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d))
        assert f"{first_norm}.running_mean" not in changed, "the stem's statistics"
    assert all(module.training for module in model.modules())


def test_tail_passes_gradient_to_the_features(model: StagedModel, images: torch.Tensor) -> None:
    features = model.run(images, taps=("stages",)).stages[0].detach().requires_grad_()
    model.tail(0, features).sum().backward()
    assert features.grad is not None
    assert features.grad.abs().sum() > 0


def test_a_failing_tail_restores_the_network(images: torch.Tensor) -> None:
    model = copy.deepcopy(pristine("resnet8")).train()
    with pytest.raises(RuntimeError):
        model.tail(0, torch.randn(2, 5, 32, 32))
    assert all(module.training for module in model.modules())
    assert model(images).shape == (4, 10)


def test_in_place_activations_are_switched_off(model: StagedModel, images: torch.Tensor) -> None:
    assert not any(getattr(module, "inplace", False) for module in model.modules())


def test_taps_change_nothing(model: StagedModel, images: torch.Tensor) -> None:
    taps = tuple(tap for tap in ("stages", "pre_activations", "embedding") if model.lacks([tap]) is None)
    outputs = model.run(images, taps=taps)
    kept = [tensor.clone() for tensor in outputs.tensors()]
    torch.testing.assert_close(outputs.logits, model(images), rtol=0, atol=0)
    for tensor, copied in zip(outputs.tensors(), kept, strict=True):
        torch.testing.assert_close(tensor, copied, rtol=0, atol=0)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.network.modules())


def test_names_are_unique() -> None:
    names = [spec.name for spec in kdharness_models()]
    assert len(names) == len(set(names))


def test_a_copy_shares_nothing_with_its_original(images: torch.Tensor) -> None:
    original = copy.deepcopy(pristine("resnet8"))
    features = original.run(images, taps=("stages",)).stages[0]
    original.tail(0, features)
    copied = copy.deepcopy(original).train()
    before = buffers(original)
    copied.tail(0, features)
    assert all(torch.equal(buffer, before[name]) for name, buffer in original.named_buffers())
    assert all(module.training for module in copied.modules())
    assert not any(module.training for module in original.modules())
