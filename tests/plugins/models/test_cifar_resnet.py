"""The CIFAR residual networks: published sizes, and what StagedModel taps and re-runs of them."""

from __future__ import annotations

import pytest
import torch
from kdharness_plugins.models import cifar_resnet
from torch import nn

from kdharness.api import ModelSpec, StagedModel

SPECS = {spec.name: spec for spec in cifar_resnet.kdharness_models()}

# Name: parameters for 100 classes, and the same in millions as papers print it.
PARAMETERS = {
    "resnet8": (83_892, 0.08),
    "resnet14": (181_108, 0.18),
    "resnet20": (278_324, 0.28),
    "resnet32": (472_756, 0.47),
    "resnet44": (667_188, 0.67),
    "resnet56": (861_620, 0.86),
    "resnet110": (1_736_564, 1.74),
    "resnet8x4": (1_233_540, 1.23),
    "resnet32x4": (7_433_860, 7.43),
}


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def staged(spec: ModelSpec, shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10) -> StagedModel:
    torch.manual_seed(0)
    return StagedModel(spec.factory(classes, shape), spec, shape)


@pytest.mark.parametrize("name", SPECS)
def test_parameter_count(name: str) -> None:
    with torch.device("meta"):
        found = count_parameters(SPECS[name].factory(100, (3, 32, 32)))
    exact, published_millions = PARAMETERS[name]
    assert found == exact
    assert round(found / 1e6, 2) == published_millions


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 8)])
def test_stage_shapes(shape: tuple[int, int, int]) -> None:
    model = staged(SPECS["resnet8x4"], shape)
    outputs = model.run(torch.randn(2, *shape), taps=("stages", "pre_activations", "embedding"))
    size = shape[1]
    expected = [(2, channels, -(-size // 2**k), -(-size // 2**k)) for k, channels in enumerate((64, 128, 256))]
    assert [tuple(stage.shape) for stage in outputs.stages] == expected
    assert [tuple(stage.shape) for stage in outputs.pre_activations] == expected
    assert outputs.embedding.shape == (2, 256)
    assert outputs.logits.shape == (2, 10)


def test_pre_activations_are_what_the_last_relu_gets() -> None:
    outputs = staged(SPECS["resnet14"]).run(torch.randn(2, 3, 32, 32), taps=("stages", "pre_activations"))
    for before, after in zip(outputs.pre_activations, outputs.stages, strict=True):
        assert (before < 0).any()
        torch.testing.assert_close(before.relu(), after, rtol=0, atol=0)


def test_norms_are_the_last_of_each_stage() -> None:
    model = staged(SPECS["resnet20"])
    blocks = [stage[-1] for stage in model.stages]
    assert model.norms == [block.bn2 for block in blocks]


def test_shortcut_is_projected_only_where_the_shape_changes() -> None:
    projected = [
        name for name, m in staged(SPECS["resnet14"]).network.named_modules() if getattr(m, "downsample", None)
    ]
    assert projected == ["layer2.0", "layer3.0"]


def test_wrong_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="depth 10"):
        cifar_resnet.CifarResNet(10, (3, 32, 32), depth=10, widths=cifar_resnet.NARROW)
