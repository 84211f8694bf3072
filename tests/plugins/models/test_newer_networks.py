"""ConvNeXt for small images, and the networks that see every image at 224x224."""

from __future__ import annotations

import pytest
import torch
from kdharness_plugins.models import convnext, resized

from kdharness.api.staged import StagedModel

(CONVNEXT,) = convnext.kdharness_models()
RESIZED = {spec.name: spec for spec in resized.kdharness_models()}


def parameters_of(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_convnext_has_the_published_size() -> None:
    """Atto has 3.7 million parameters for 1,000 classes (Woo et al., table 11); patches of 2x2 have 1,440 fewer, and
    V1 blocks a factor per channel in place of V2's two per hidden unit."""
    network = CONVNEXT.factory(1000, (3, 32, 32))
    blocks = sum(
        d * (w * 49 + w + 2 * w + 8 * w * w + 5 * w + w) for d, w in zip((2, 2, 6, 2), (40, 80, 160, 320), strict=True)
    )
    between = sum(2 * a + 4 * a * b + b for a, b in ((40, 80), (80, 160), (160, 320)))
    assert parameters_of(network) == 3 * 4 * 40 + 40 + 80 + blocks + between + 640 + 321_000
    assert parameters_of(network) / 1e6 == pytest.approx(3.7, abs=0.05)


def test_convnext_has_four_stages_and_trains() -> None:
    torch.manual_seed(0)
    model = StagedModel(CONVNEXT.configured({"drop_path": 0.5}).factory(10, (3, 32, 32)), CONVNEXT, (3, 32, 32))
    outputs = model.run(torch.rand(2, 3, 32, 32), taps=("stem", "stages", "embedding"))
    assert [tuple(stage.shape[1:]) for stage in outputs.stages] == [(40, 16, 16), (80, 8, 8), (160, 4, 4), (320, 2, 2)]
    assert outputs.embedding.shape == (2, 320)
    outputs.logits.square().sum().backward()
    assert all(p.grad is not None for p in model.network.head.parameters())
    assert model.network.stem[0].weight.grad.abs().sum() > 0


def test_convnext_drops_paths_in_training_alone() -> None:
    torch.manual_seed(0)
    block = convnext.Block(4, 0.5)
    torch.nn.init.ones_(block.scale)
    x = torch.randn(64, 4, 5, 5)
    changed = (block(x) != x).flatten(1).any(1).float().mean()
    assert 0.2 < changed < 0.8
    block.eval()
    kept = block(x) - x
    block.train()
    block.rate = 0.0
    assert torch.equal(block(x) - x, kept)


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 40, 32)])
def test_convnext_says_which_images_it_takes(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="multiples of 16"):
        CONVNEXT.factory(10, shape)


# Parameters for 1,000 classes: as torchvision documents them, and those of DeiT-Ti (5.7 million; 5.9 with the token).
PUBLISHED = {
    "resnet18_224": 11_689_512, "mobilenet_v2_224": 3_504_872, "convnext_tiny_224": 28_589_128,
    "swin_t_224": 28_288_354, "vit_tiny_224": 5_717_416, "deit_tiny_224": 5_910_800,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_they_have_the_published_sizes(name: str) -> None:
    with torch.device("meta"):
        network = RESIZED[name].factory(1000, (3, 224, 224))
    assert parameters_of(network) == PUBLISHED[name]
    assert set(RESIZED) == set(PUBLISHED)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_they_take_small_images_and_see_large_ones(name: str) -> None:
    spec = RESIZED[name]
    assert spec.preprocessing is not None
    assert spec.preprocessing.input_shape((3, 32, 32)) == (3, 224, 224)
    with torch.device("meta"):
        model = StagedModel(spec.factory(100, (3, 224, 224)), spec, (3, 224, 224))
        taps = ("stages", "embedding") if spec.stages else ("embedding",)
        outputs = model.run(torch.rand(2, 3, 224, 224), taps=taps)
    assert outputs.logits.shape == (2, 100)
    assert not spec.stages or len(outputs.stages) == 4
