"""The small networks for digits and MNIST."""

from __future__ import annotations

import pytest
import torch
from kdharness_plugins.models import separable_conv, small_conv

from kdharness.api import StagedModel

SPECS = {spec.name: spec for module in (small_conv, separable_conv) for spec in module.kdharness_models()}


def test_names() -> None:
    assert list(SPECS) == ["conv4", "conv8", "conv16", "conv24", "conv32", "conv64", "sepconv16", "sepconv32"]


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_taps(name: str, shape: tuple[int, int, int]) -> None:
    spec = SPECS[name]
    model = StagedModel(spec.factory(10, shape), spec, shape)
    outputs = model.run(torch.randn(2, *shape), taps=("stages", "pre_activations", "embedding"))
    for before, after, norm in zip(outputs.pre_activations, outputs.stages, model.norms, strict=True):
        torch.testing.assert_close(before.relu(), after, rtol=0, atol=0)
        assert isinstance(norm, torch.nn.BatchNorm2d)
        assert norm.num_features == after.shape[1]
    torch.testing.assert_close(outputs.stages[-1].mean(dim=(2, 3)), outputs.embedding)
    torch.testing.assert_close(model.classifier(outputs.embedding), outputs.logits)


def test_resolutions_on_digits() -> None:
    shapes = {}
    for name in ("conv16", "sepconv16"):
        model = StagedModel(SPECS[name].factory(10, (1, 8, 8)), SPECS[name], (1, 8, 8))
        shapes[name] = [tuple(s.shape[1:]) for s in model.run(torch.randn(2, 1, 8, 8), taps=("stages",)).stages]
    assert shapes["conv16"] == [(16, 8, 8), (32, 4, 4), (64, 2, 2)]
    assert shapes["sepconv16"] == [(32, 4, 4), (64, 2, 2)]


def test_separable_convolution_has_depthwise_and_pointwise_parameters() -> None:
    stage = SPECS["sepconv16"].factory(10, (1, 8, 8)).stage1
    assert sum(p.numel() for p in stage.parameters()) == 16 * 9 + 16 * 32 + 2 * 32
