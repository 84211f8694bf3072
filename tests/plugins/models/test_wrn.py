"""Wide residual networks: published sizes, and what StagedModel taps and re-runs of them."""

from __future__ import annotations

import pytest
import torch
from kdharness_plugins.models import wrn

from kdharness.api import StagedModel

torch.set_num_threads(1)

SPECS = {spec.name: spec for spec in wrn.kdharness_models()}

# Name: parameters for 100 classes, and the same in millions as papers print it.
PARAMETERS = {
    "wrn_16_1": (180_916, 0.18),
    "wrn_16_2": (703_284, 0.70),
    "wrn_28_10": (36_536_884, 36.54),
    "wrn_40_1": (569_780, 0.57),
    "wrn_40_2": (2_255_156, 2.26),
}
SHAPE = (1, 8, 8)


@pytest.fixture
def model() -> StagedModel:
    torch.manual_seed(0)
    spec = SPECS["wrn_16_2"]
    model = StagedModel(spec.factory(10, SHAPE), spec, SHAPE)
    model.train()(torch.randn(8, *SHAPE))  # running statistics other than 0 and 1
    return model.eval()


@pytest.mark.parametrize("name", SPECS)
def test_parameter_count(name: str) -> None:
    with torch.device("meta"):
        found = sum(p.numel() for p in SPECS[name].factory(100, (3, 32, 32)).parameters())
    exact, published_millions = PARAMETERS[name]
    assert found == exact
    assert round(found / 1e6, 2) == published_millions


@pytest.mark.parametrize("size", [32, 28, 8])
def test_stage_shapes(size: int) -> None:
    shape = (3, size, size)
    with torch.device("meta"):
        model = StagedModel(SPECS["wrn_40_2"].factory(10, shape), SPECS["wrn_40_2"], shape)
    taps = ("stages", "pre_activations", "embedding")
    outputs = model.run(torch.randn(2, *shape, device="meta"), taps)
    expected = [(2, channels, -(-size // 2**k), -(-size // 2**k)) for k, channels in enumerate((32, 64, 128))]
    assert [tuple(stage.shape) for stage in outputs.stages] == expected
    assert [tuple(stage.shape) for stage in outputs.pre_activations] == expected
    assert outputs.embedding.shape == (2, 128)


def test_pre_activations_are_the_normalised_stages(model: StagedModel) -> None:
    outputs = model.run(torch.randn(4, *SHAPE), taps=("stages", "pre_activations", "embedding"))
    for norm, stage, before in zip(model.norms, outputs.stages, outputs.pre_activations, strict=True):
        torch.testing.assert_close(norm(stage), before, rtol=0, atol=0)
    torch.testing.assert_close(outputs.pre_activations[-1].relu().mean(dim=(2, 3)), outputs.embedding)


def test_the_deep_end_can_be_run_again(model: StagedModel) -> None:
    images = torch.randn(4, *SHAPE)
    outputs = model.run(images, taps=("stages",))
    for number, stage in enumerate(outputs.stages):
        torch.testing.assert_close(model.tail(number, stage), outputs.logits, rtol=0, atol=0)
        torch.testing.assert_close(model.trunk(number, images), stage, rtol=0, atol=0)


def test_shortcut_is_projected_only_where_the_shape_changes() -> None:
    with torch.device("meta"):
        found = {name: SPECS[name].factory(10, (3, 32, 32)) for name in ("wrn_16_1", "wrn_16_2")}
    projected = {
        name: [path for path, m in network.named_modules() if getattr(m, "shortcut", None) is not None]
        for name, network in found.items()
    }
    assert projected == {"wrn_16_1": ["layer2.0", "layer3.0"], "wrn_16_2": ["layer1.0", "layer2.0", "layer3.0"]}


def test_wrong_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="depth 20"):
        wrn.WideResNet(10, (3, 32, 32), depth=20, width=1)
