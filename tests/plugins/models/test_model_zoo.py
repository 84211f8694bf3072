"""The networks that are written here for images of 32x32: sizes as published, stages, what StagedModel re-runs of
them, and a step of training. Large ones are built on the meta device only.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.models import (
    cifar_resnet,
    densenet,
    dpn,
    googlenet,
    mobilenet,
    preact_resnet,
    pyramidnet,
    resnet,
    resnext,
    shufflenet,
    vgg,
    wrn,
)
from torch import Tensor, nn

from kdharness.api import ModelSpec, StagedModel

torch.set_num_threads(1)

FAMILIES: dict[str, dict[str, ModelSpec]] = {
    family.__name__.rpartition(".")[2]: {spec.name: spec for spec in family.kdharness_models()}
    for family in (
        cifar_resnet,
        densenet,
        dpn,
        googlenet,
        mobilenet,
        preact_resnet,
        pyramidnet,
        resnet,
        resnext,
        shufflenet,
        vgg,
        wrn,
    )
}
SPECS = {name: spec for family in FAMILIES.values() for name, spec in family.items()}
Shape = tuple[int, int, int]


class Row(NamedTuple):
    """A network for images [3, 32, 32]: parameters for 10 and 100 classes; millions as somebody else printed them, with
    the number of classes (0: nobody did); channels of the stages and their heights and widths.
    """

    ten: int
    hundred: int
    printed: str
    classes: int
    channels: tuple[int, ...]
    maps: tuple[int, ...]


THREE, FOUR = (32, 16, 8), (32, 16, 8, 4)
NARROW, WIDE = (16, 32, 64), (64, 128, 256)
BASIC, BOTTLENECK = (64, 128, 256, 512), (256, 512, 1024, 2048)
VGG = (128, 256, 512, 512)
POOLED = (64, 128, 256, 512, 512)
NEXT = (256, 512, 1024)

NETWORKS = {
    # Tian, Krishnan, Isola, ICLR 2020, and the repositories that follow it.
    "resnet8": Row(78_042, 83_892, "0.08", 100, NARROW, THREE),
    "resnet14": Row(175_258, 181_108, "0.18", 100, NARROW, THREE),
    "resnet14x1_4": Row(344_273, 352_463, "", 0, (22, 45, 90), THREE),
    "resnet20": Row(272_474, 278_324, "0.28", 100, NARROW, THREE),
    "resnet32": Row(466_906, 472_756, "0.47", 100, NARROW, THREE),
    "resnet44": Row(661_338, 667_188, "0.67", 100, NARROW, THREE),
    "resnet56": Row(855_770, 861_620, "0.86", 100, NARROW, THREE),
    "resnet110": Row(1_730_714, 1_736_564, "1.74", 100, NARROW, THREE),
    "resnet8x4": Row(1_210_410, 1_233_540, "1.23", 100, WIDE, THREE),
    "resnet32x4": Row(7_410_730, 7_433_860, "7.43", 100, WIDE, THREE),
    "resnet18": Row(11_173_962, 11_220_132, "11.22", 100, BASIC, FOUR),
    "resnet34": Row(21_282_122, 21_328_292, "21.33", 100, BASIC, FOUR),
    "resnet50": Row(23_520_842, 23_705_252, "23.71", 100, BOTTLENECK, FOUR),
    "resnet101": Row(42_512_970, 42_697_380, "42.70", 100, BOTTLENECK, FOUR),
    "resnet152": Row(58_156_618, 58_341_028, "58.34", 100, BOTTLENECK, FOUR),
    "wrn_16_1": Row(175_066, 180_916, "0.18", 100, NARROW, THREE),
    "wrn_16_2": Row(691_674, 703_284, "0.70", 100, (32, 64, 128), THREE),
    "wrn_40_1": Row(563_930, 569_780, "0.57", 100, NARROW, THREE),
    "wrn_40_2": Row(2_243_546, 2_255_156, "2.26", 100, (32, 64, 128), THREE),
    "vgg8": Row(3_918_858, 3_965_028, "3.97", 100, VGG, (16, 8, 4, 4)),
    "vgg11": Row(9_231_114, 9_277_284, "9.28", 100, VGG, (16, 8, 4, 4)),
    "vgg13": Row(9_416_010, 9_462_180, "9.46", 100, VGG, (16, 8, 4, 4)),
    "vgg16": Row(14_728_266, 14_774_436, "14.77", 100, VGG, (16, 8, 4, 4)),
    "vgg19": Row(20_040_522, 20_086_692, "20.09", 100, VGG, (16, 8, 4, 4)),
    "mobilenet_v2": Row(697_546, 812_836, "0.81", 100, (12, 16, 48, 160), (16, 8, 4, 2)),
    "shuffle_v1": Row(862_768, 949_258, "0.95", 100, (240, 480, 960), (16, 8, 4)),
    "shuffle_v2": Row(1_263_278, 1_355_528, "1.36", 100, (116, 232, 464), (16, 8, 4)),
    # Zagoruyko, Komodakis, BMVC 2016; for 16-4 and 28-4 Heo et al., ICCV 2019.
    "wrn_16_4": Row(2_748_890, 2_772_020, "2.77", 100, WIDE, THREE),
    "wrn_22_8": Row(17_158_106, 17_204_276, "17.2", 10, (128, 256, 512), THREE),
    "wrn_28_4": Row(5_849_050, 5_872_180, "5.87", 100, WIDE, THREE),
    "wrn_28_10": Row(36_479_194, 36_536_884, "36.5", 10, (160, 320, 640), THREE),
    "wrn_28_12": Row(52_517_850, 52_587_060, "52.5", 10, (192, 384, 768), THREE),
    "wrn_40_4": Row(8_949_210, 8_972_340, "8.9", 10, WIDE, THREE),
    "wrn_46_8": Row(41_945_050, 41_991_220, "", 0, (128, 256, 512), THREE),
    # Counts of the public code for CIFAR-10 that MEAL's comes from.
    "vgg16_five_pools": Row(14_728_266, 14_774_436, "14.73", 10, POOLED, (16, 8, 4, 2, 1)),
    "vgg19_five_pools": Row(20_040_522, 20_086_692, "20.04", 10, POOLED, (16, 8, 4, 2, 1)),
    "preact_resnet18": Row(11_172_170, 11_218_340, "11.17", 10, BASIC, FOUR),
    "preact_resnet34": Row(21_280_330, 21_326_500, "", 0, BASIC, FOUR),
    "dpn26": Row(11_574_842, 11_793_812, "11.6", 10, (304, 608, 1096, 2432), FOUR),
    "dpn92": Row(34_236_634, 34_467_124, "34.2", 10, (320, 672, 1528, 2560), FOUR),
    "densenet121": Row(6_956_298, 7_048_548, "6.96", 10, (256, 512, 1024, 1024), FOUR),
    "densenet_bc_116_40": Row(10_961_010, 11_515_500, "", 0, (400, 1160, 1540), THREE),
    "googlenet": Row(6_166_250, 6_258_500, "6.17", 10, (480, 832, 1024), THREE),
    "mobilenet_v1": Row(3_217_226, 3_309_476, "3.22", 10, (64, 128, 256, 512, 1024), (32, 16, 8, 4, 2)),
    # The collection imgclsmob prints the very counts for CIFAR-10 (8x64d: Xie et al., CVPR 2017).
    "densenet_bc_100_12": Row(769_162, 800_032, "0.769162", 10, (216, 300, 342), THREE),
    "densenet_bc_190_40": Row(25_624_430, 25_821_620, "25.624430", 10, (1320, 1900, 2190), THREE),
    "densenet_bc_250_24": Row(15_324_406, 15_480_556, "15.324406", 10, (1032, 1500, 1734), THREE),
    "resnext29_2x64d": Row(9_130_314, 9_222_564, "9.1", 10, NEXT, THREE),
    "resnext29_32x4d": Row(4_775_754, 4_868_004, "4.775754", 10, NEXT, THREE),
    "resnext29_8x64d": Row(34_426_698, 34_518_948, "34.4", 10, NEXT, THREE),
    "resnext29_16x64d": Row(68_155_210, 68_247_460, "68.155210", 10, NEXT, THREE),
    "pyramidnet_110_84": Row(3_904_446, 3_913_536, "3.904446", 10, (44, 72, 100), THREE),
    "pyramidnet_110_270": Row(28_485_477, 28_511_307, "28.485477", 10, (106, 196, 286), THREE),
    "pyramidnet_101_240": Row(13_595_924, 13_688_174, "", 0, (384, 704, 1024), THREE),
    "pyramidnet_200_240": Row(26_752_702, 26_844_952, "26.752702", 10, (384, 704, 1024), THREE),
}

# By network, or else family, how a stage follows from its pre-activation; "norm": this is the normalised stage.
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "pooled": lambda before: F.max_pool2d(before.relu(), 2),
    "same": lambda before: before,
}
RELATIONS = {
    "mobilenet_v2": "same",
    "vgg16_five_pools": "pooled",
    "vgg19_five_pools": "pooled",
    "densenet": "norm",
    "preact_resnet": "norm",
    "pyramidnet": "norm",
    "wrn": "norm",
}
# Parts of their channels have norms of their own.
WITHOUT_NORMS = {"dpn26", "dpn92", "googlenet", "shuffle_v2"}
# Where maps of odd size are rounded down when they are halved; elsewhere up.
ROUNDED_DOWN = ("densenet", "vgg")
# Of each kind of network the cheapest; these are really run.
CHEAP = [
    "resnet8",
    "resnet18",
    "resnet50",
    "wrn_16_2",
    "vgg8",
    "vgg16_five_pools",
    "preact_resnet18",
    "dpn26",
    "densenet_bc_100_12",
    "densenet_bc_116_40",
    "resnext29_32x4d",
    "pyramidnet_110_84",
    "googlenet",
    "mobilenet_v1",
    "mobilenet_v2",
    "shuffle_v1",
    "shuffle_v2",
]


def family(name: str) -> str:
    return next(family for family, members in FAMILIES.items() if name in members)


def relation(name: str) -> str:
    return RELATIONS.get(name) or RELATIONS.get(family(name), "relu")


def staged(name: str, shape: Shape = (3, 32, 32), device: str = "cpu", classes: int = 10) -> StagedModel:
    torch.manual_seed(0)
    with torch.device(device):
        return StagedModel(SPECS[name].factory(classes, shape), SPECS[name], shape)


def smallest(name: str) -> Shape:
    """Grey images as small as the digits', where the network takes them."""
    return (1, 32, 32) if name.endswith("five_pools") else (1, 8, 8)


@cache
def used(name: str) -> StagedModel:
    """In eval mode, with running statistics other than 0 and 1. Not to be changed."""
    model = staged(name, smallest(name))
    with torch.no_grad():
        model.train()(torch.randn(8, *smallest(name)))
    return model.eval()


@pytest.fixture
def images(name: str) -> Tensor:
    return torch.randn(3, *smallest(name), generator=torch.Generator().manual_seed(1))


def test_the_table_has_every_network() -> None:
    assert set(NETWORKS) == set(SPECS)
    assert {family(name) for name in CHEAP} == set(FAMILIES)
    assert all(spec.paper for spec in SPECS.values())


@pytest.mark.parametrize("name", SPECS)
def test_the_stem_is_as_wide_as_the_first_layers(name: str) -> None:
    """Feature 0 of RepDistiller and mdistiller: of the first layers, at the images' size but where they halve it."""
    model = staged(name, device="meta").eval()
    if name.endswith("five_pools"):
        assert model.lacks(["stem"]) == "stem"
        return
    with torch.no_grad():
        stem = model.run(torch.empty(2, 3, 32, 32, device="meta"), ("stem",)).stem
    first = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    size = 16 if name == "mobilenet_v2" else 32
    assert stem.shape == (2, first.out_channels, size, size)


@pytest.mark.parametrize("name", NETWORKS)
def test_size_stages_and_gradients(name: str) -> None:
    row = NETWORKS[name]
    models = {classes: staged(name, device="meta", classes=classes) for classes in (10, 100)}
    counts = {classes: sum(p.numel() for p in model.parameters()) for classes, model in models.items()}
    assert counts == {10: row.ten, 100: row.hundred}
    if row.classes:
        digits = len(row.printed.partition(".")[2])
        assert f"{counts[row.classes] / 1e6:.{digits}f}" == row.printed

    model = models[100].eval()  # on the meta device much faster than in training mode
    with torch.set_grad_enabled(name not in CHEAP):
        outputs = model.run(torch.empty(2, 3, 32, 32, device="meta"), ("stages", "pre_activations", "embedding"))
    expected = [(2, channels, size, size) for channels, size in zip(row.channels, row.maps, strict=True)]
    assert [tuple(stage.shape) for stage in outputs.stages] == expected
    factor = 2 if relation(name) == "pooled" else 1
    before = [(n, channels, factor * height, factor * width) for n, channels, height, width in expected]
    assert [tuple(feature.shape) for feature in outputs.pre_activations] == before
    assert [norm.num_features for norm in model.norms] == ([] if name in WITHOUT_NORMS else list(row.channels))
    assert outputs.embedding.shape == (2, model.classifier.in_features)
    assert outputs.logits.shape == (2, 100)
    if name not in CHEAP:  # which are really trained below
        outputs.logits.sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


def maps_of(name: str, size: int) -> list[int]:
    """Heights of the stages for images of another size than 32."""
    rounded = math.floor if family(name) in ROUNDED_DOWN else math.ceil
    return [rounded(size * height / 32) for height in NETWORKS[name].maps]


@pytest.mark.parametrize("name", [name for name in CHEAP if not name.endswith("five_pools")])
def test_stages_of_28x28(name: str) -> None:
    model = staged(name, (1, 28, 28), "meta").eval()
    with torch.no_grad():
        outputs = model.run(torch.empty(2, 1, 28, 28, device="meta"), ("stages", "pre_activations"))
    assert [stage.shape[2] for stage in outputs.stages] == maps_of(name, 28)
    assert [feature.shape for feature in outputs.pre_activations] == [stage.shape for stage in outputs.stages]


def test_a_vgg_pools_once_more_where_images_have_64x64() -> None:
    model = staged("vgg13", (3, 64, 64), "meta").eval()
    stages = model.run(torch.empty(2, 3, 64, 64, device="meta"), ("stages",)).stages
    assert [stage.shape[2] for stage in stages] == [32, 16, 8, 4]


@pytest.mark.parametrize(
    ("name", "size", "least"),
    [
        ("vgg8", 4, 8),
        ("vgg19_five_pools", 28, 32),
        ("densenet_bc_100_12", 3, 4),
        ("densenet121", 7, 8),
    ],
)
def test_images_that_would_vanish_are_refused(name: str, size: int, least: int) -> None:
    with pytest.raises(ValueError, match=f"needs at least {least}x{least}, not {size}x{size}"):
        staged(name, (1, size, size), "meta")
    outputs = staged(name, (1, least, least), "meta").eval()(torch.empty(2, 1, least, least, device="meta"))
    assert outputs.shape == (2, 10)


@pytest.mark.parametrize("name", CHEAP)
@torch.no_grad()
def test_pre_activations_and_stages(name: str, images: Tensor) -> None:
    model = used(name)
    outputs = model.run(images, ("stages", "pre_activations", "embedding"))
    assert [stage.shape[2] for stage in outputs.stages] == maps_of(name, images.shape[2])
    for number, (before, stage) in enumerate(zip(outputs.pre_activations, outputs.stages, strict=True)):
        assert (before < 0).any()
        if relation(name) == "norm":
            torch.testing.assert_close(model.norms[number](stage), before, rtol=0, atol=0)
        else:
            torch.testing.assert_close(ACTIVATIONS[relation(name)](before), stage, rtol=0, atol=0)
    torch.testing.assert_close(model.classifier(outputs.embedding), outputs.logits, rtol=0, atol=0)
    if name not in ("mobilenet_v2", "shuffle_v2", "densenet_bc_116_40"):  # a convolution, a pooling to 2x2 in between
        deepest = outputs.pre_activations[-1].relu() if relation(name) == "norm" else outputs.stages[-1]
        torch.testing.assert_close(deepest.mean(dim=(2, 3)), outputs.embedding)


@pytest.mark.parametrize("name", CHEAP)
@torch.no_grad()
def test_the_deep_end_can_be_run_again(name: str, images: Tensor) -> None:
    model = used(name)
    outputs = model.run(images, ("stages",))
    for number, stage in enumerate(outputs.stages):
        torch.testing.assert_close(model.tail(number, stage), outputs.logits, rtol=0, atol=0)
        torch.testing.assert_close(model.trunk(number, images), stage, rtol=0, atol=0)


@pytest.mark.parametrize("name", CHEAP)
def test_a_step_of_training_lowers_the_loss(name: str, images: Tensor) -> None:
    model = copy.deepcopy(used(name)).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    targets = torch.tensor([1, 4, 7])
    first = F.cross_entropy(model(images), targets)
    first.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    optimizer.step()
    with torch.no_grad():
        assert F.cross_entropy(model(images), targets) < first
