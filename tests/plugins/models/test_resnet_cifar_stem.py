"""The four-stage residual networks: published sizes, and what StagedModel taps and re-runs of them."""

from __future__ import annotations

import pytest
import torch
from kdharness_plugins.models import resnet

from kdharness.api import StagedModel

torch.set_num_threads(1)

SPECS = {spec.name: spec for spec in resnet.kdharness_models()}

# Name: parameters for 100 classes, and the same in millions as papers print it.
PARAMETERS = {
    "resnet18": (11_220_132, 11.22),
    "resnet34": (21_328_292, 21.33),
    "resnet50": (23_705_252, 23.71),
    "resnet101": (42_697_380, 42.70),
    "resnet152": (58_341_028, 58.34),
}


def staged(name: str, shape: tuple[int, int, int], device: str = "cpu") -> StagedModel:
    torch.manual_seed(0)
    with torch.device(device):
        return StagedModel(SPECS[name].factory(100, shape), SPECS[name], shape)


@pytest.mark.parametrize("name", SPECS)
def test_parameter_count(name: str) -> None:
    found = sum(p.numel() for p in staged(name, (3, 32, 32), "meta").parameters())
    exact, published_millions = PARAMETERS[name]
    assert found == exact
    assert round(found / 1e6, 2) == published_millions


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 8, 8)])
def test_stage_shapes(name: str, shape: tuple[int, int, int]) -> None:
    """The 3x3 stem keeps the resolution; each later stage halves it, rounded up."""
    outputs = staged(name, shape, "meta").run(
        torch.randn(2, *shape, device="meta"), taps=("stages", "pre_activations", "embedding")
    )
    expansion = 1 if name in ("resnet18", "resnet34") else 4
    sizes = [-(-shape[1] // 2**k) for k in range(4)]
    expected = [(2, 64 * 2**k * expansion, size, size) for k, size in enumerate(sizes)]
    assert [tuple(stage.shape) for stage in outputs.stages] == expected
    assert [tuple(stage.shape) for stage in outputs.pre_activations] == expected
    assert outputs.embedding.shape == (2, 512 * expansion)
    assert outputs.logits.shape == (2, 100)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_pre_activations_are_what_the_last_relu_gets(name: str) -> None:
    model = staged(name, (3, 8, 8))
    outputs = model.run(torch.randn(2, 3, 8, 8), taps=("stages", "pre_activations", "embedding"))
    for before, after in zip(outputs.pre_activations, outputs.stages, strict=True):
        assert (before < 0).any()
        torch.testing.assert_close(before.relu(), after, rtol=0, atol=0)
    torch.testing.assert_close(outputs.stages[-1].mean(dim=(2, 3)), outputs.embedding)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_norms_are_the_last_of_each_stage(name: str) -> None:
    model = staged(name, (3, 8, 8), "meta")
    last = "bn2" if name == "resnet18" else "bn3"
    assert model.norms == [getattr(stage[-1], last) for stage in model.stages]


def test_the_deep_end_can_be_run_again() -> None:
    model = staged("resnet18", (1, 8, 8)).eval()
    images = torch.randn(2, 1, 8, 8)
    outputs = model.run(images, taps=("stages",))
    torch.testing.assert_close(model.tail(1, outputs.stages[1]), outputs.logits, rtol=0, atol=0)
    torch.testing.assert_close(model.trunk(2, images), outputs.stages[2], rtol=0, atol=0)


def test_bottleneck_blocks_stride_in_the_3x3_convolution() -> None:
    block = staged("resnet50", (3, 32, 32), "meta").part("layer2.0")
    assert (block.conv1.stride, block.conv2.stride, block.conv3.stride) == ((1, 1), (2, 2), (1, 1))
