"""What makes each family of networks what it is: shortcuts, strides, paths, depths, first weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.models import cifar_resnet, densenet, dpn, kdharness_models, pyramidnet, shufflenet, wrn
from torch import nn

torch.set_num_threads(1)

SPECS = {spec.name: spec for spec in kdharness_models()}


def on_meta(name: str) -> Any:
    with torch.device("meta"):
        return SPECS[name].factory(10, (3, 32, 32))


def paths_with(name: str, attribute: str) -> list[str]:
    """The blocks that have a module of their own for the shortcut."""
    return [path for path, module in on_meta(name).named_modules() if getattr(module, attribute, None) is not None]


@pytest.mark.parametrize(
    ("name", "attribute", "expected"),
    [
        ("resnet14", "downsample", ["layer2.0", "layer3.0"]),
        ("resnet18", "downsample", ["layer2.0", "layer3.0", "layer4.0"]),
        ("resnet50", "downsample", ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]),
        ("resnext29_32x4d", "downsample", ["layer1.0", "layer2.0", "layer3.0"]),
        ("wrn_16_1", "shortcut", ["layer2.0", "layer3.0"]),
        ("wrn_16_2", "shortcut", ["layer1.0", "layer2.0", "layer3.0"]),
        ("preact_resnet18", "shortcut", ["layer2.0", "layer3.0", "layer4.0"]),
        ("dpn26", "projection", ["layer1.0", "layer2.0", "layer3.0", "layer4.0"]),
    ],
)
def test_shortcut_is_projected_only_where_the_shape_changes(name: str, attribute: str, expected: list[str]) -> None:
    assert paths_with(name, attribute) == expected


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "resnet50", "resnext29_32x4d"])
def test_norms_are_the_last_of_each_stage(name: str) -> None:
    network, last = on_meta(name), "bn2" if name in ("resnet20", "resnet18") else "bn3"
    stages = [network.get_submodule(path) for path in SPECS[name].stages]
    assert [network.get_submodule(path) for path in SPECS[name].norms] == [getattr(s[-1], last) for s in stages]


@pytest.mark.parametrize("name", ["resnet50", "resnext29_32x4d", "dpn26"])
def test_bottleneck_blocks_stride_in_the_3x3_convolution(name: str) -> None:
    block = on_meta(name).layer2[0]
    assert (block.conv1.stride, block.conv2.stride, block.conv3.stride) == ((1, 1), (2, 2), (1, 1))


def test_wrong_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="depth 10"):
        cifar_resnet.CifarResNet(10, (3, 32, 32), depth=10, widths=cifar_resnet.NARROW)
    with pytest.raises(ValueError, match="depth 20"):
        wrn.WideResNet(10, (3, 32, 32), depth=20, width=1)
    with pytest.raises(ValueError, match=r"depth 101 is not of the form 6n \+ 2"):
        pyramidnet.PyramidNet(10, (3, 32, 32), depth=101, alpha=240, bottleneck=False)


def test_five_pools_have_no_parameters_of_their_own() -> None:
    three, five = (on_meta(name).state_dict() for name in ("vgg19", "vgg19_five_pools"))
    assert [(key, value.shape) for key, value in three.items()] == [(key, value.shape) for key, value in five.items()]


def test_a_dense_layer_keeps_what_it_was_given() -> None:
    x = torch.randn(2, 8, 4, 4)
    out = densenet.DenseLayer(8, 3)(x)
    assert out.shape[1] == 11
    assert out[:, :8].equal(x)


def test_a_dual_path_block_adds_to_some_channels_and_keeps_the_others() -> None:
    block = dpn.DualPathBlock(40, 32, residual=24, growth=4, stride=1, first=False).eval()
    nn.init.zeros_(block.bn3.weight)
    x = torch.rand(2, 40, 4, 4)
    assert block(x).equal(torch.cat([x, torch.zeros(2, 4, 4, 4)], dim=1))
    nn.init.ones_(block.bn3.bias)
    assert block(x).equal(torch.cat([x[:, :24] + 1, x[:, 24:], torch.ones(2, 4, 4, 4)], dim=1))


@pytest.mark.parametrize("bottleneck", [False, True])
def test_a_pyramid_shortcut_pools_and_pads_with_zeros(bottleneck: bool) -> None:
    block = pyramidnet.PyramidBlock(5, 7, stride=2, bottleneck=bottleneck).eval()
    nn.init.zeros_(block.rest[-1].weight)
    x = torch.randn(2, 5, 7, 7)
    out = block(x)
    assert out.shape == (2, 28 if bottleneck else 7, 4, 4)
    assert out[:, :5].equal(F.avg_pool2d(x, 2, ceil_mode=True))
    assert not out[:, 5:].any()


def test_shuffled_channels_come_from_the_groups_in_turn() -> None:
    x = torch.arange(6.0).view(1, 6, 1, 1)
    assert shufflenet.shuffle(x, 3).flatten().tolist() == [0, 2, 4, 1, 3, 5]
    assert shufflenet.shuffle(x, 1).equal(x)


def test_half_of_the_channels_pass_a_shuffle_unit() -> None:
    x = torch.rand(2, 8, 4, 4)
    assert shufflenet.SplitUnit(8).eval()(x)[:, ::2].equal(x[:, :4])


@pytest.mark.parametrize("name", ["preact_resnet18", "mobilenet_v2", "googlenet", "resnext29_32x4d"])
def test_convolutions_begin_as_he_et_al_say(name: str) -> None:
    torch.manual_seed(0)
    for module in SPECS[name].factory(10, (3, 32, 32)).modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * math.prod(module.kernel_size)
            deviation = module.weight.std().item() * math.sqrt(fan_out / 2)
            assert deviation == pytest.approx(1, abs=5 / math.sqrt(module.weight.numel()))
            assert module.bias is None or not module.bias.any()
