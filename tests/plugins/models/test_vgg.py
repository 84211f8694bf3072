"""VGG networks: published sizes, what StagedModel taps and re-runs of them, and image sizes they take."""

from __future__ import annotations

import pytest
import torch
from kdharness_plugins.models import vgg

from kdharness.api import StagedModel

torch.set_num_threads(1)

SPECS = {spec.name: spec for spec in vgg.kdharness_models()}

# Name: parameters for 100 classes, and the same in millions as papers print it.
PARAMETERS = {
    "vgg8": (3_965_028, 3.97),
    "vgg11": (9_277_284, 9.28),
    "vgg13": (9_462_180, 9.46),
    "vgg16": (14_774_436, 14.77),
    "vgg19": (20_086_692, 20.09),
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


@pytest.mark.parametrize(
    ("size", "maps"),
    [(64, (64, 32, 16, 8, 4)), (32, (32, 16, 8, 4, 4)), (28, (28, 14, 7, 3, 3)), (8, (8, 4, 2, 1, 1))],
)
def test_stage_shapes(size: int, maps: tuple[int, ...]) -> None:
    shape = (3, size, size)
    taps = ("stages", "pre_activations", "embedding")
    outputs = staged("vgg13", shape, "meta").run(torch.randn(2, *shape, device="meta"), taps)
    expected = [(2, channels, n, n) for channels, n in zip((64, 128, 256, 512, 512), maps, strict=True)]
    assert [tuple(stage.shape) for stage in outputs.stages] == expected
    assert [tuple(stage.shape) for stage in outputs.pre_activations] == expected
    assert outputs.embedding.shape == (2, 512)
    assert outputs.logits.shape == (2, 100)


def test_images_that_would_vanish_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 8x8, not 4x4"):
        staged("vgg8", (1, 4, 4))


def test_stages_are_the_activated_pre_activations() -> None:
    model = staged("vgg8", (1, 8, 8))
    outputs = model.run(torch.randn(4, 1, 8, 8), taps=("stages", "pre_activations", "embedding"))
    for norm, before, after in zip(model.norms, outputs.pre_activations, outputs.stages, strict=True):
        assert norm.num_features == before.shape[1]
        assert (before < 0).any()
        torch.testing.assert_close(before.relu(), after, rtol=0, atol=0)
    torch.testing.assert_close(outputs.stages[-1].mean(dim=(2, 3)), outputs.embedding)


def test_the_deep_end_can_be_run_again() -> None:
    model = staged("vgg8", (1, 8, 8)).eval()
    images = torch.randn(2, 1, 8, 8)
    outputs = model.run(images, taps=("stages",))
    for number, stage in enumerate(outputs.stages):
        torch.testing.assert_close(model.tail(number, stage), outputs.logits, rtol=0, atol=0)
        torch.testing.assert_close(model.trunk(number, images), stage, rtol=0, atol=0)
