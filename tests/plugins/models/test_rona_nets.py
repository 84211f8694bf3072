"""The networks of RONA: sizes and stages as published."""

from __future__ import annotations

import pytest
import torch
from kdharness_plugins.models.rona_nets import kdharness_models
from torch import nn

from kdharness.api import StagedModel
from kdharness.measure.costs import count_macs

SPECS = {spec.name: spec for spec in kdharness_models()}
CIFAR = (3, 32, 32)


def network(name: str, shape: tuple[int, int, int] = CIFAR) -> nn.Module:
    torch.manual_seed(0)
    made: nn.Module = SPECS[name].factory(10, shape)
    return made


@pytest.mark.parametrize(
    ("name", "parameters", "macs"), [("rona_teacher", 3_119_754, 769.0e6), ("rona_student", 152_138, 45.9e6)]
)
def test_published_sizes(name: str, parameters: int, macs: float) -> None:
    made = network(name)
    assert sum(p.numel() for p in made.parameters()) == parameters
    assert count_macs(made, CIFAR, torch.device("cpu")) == pytest.approx(macs, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "shape", "parameters", "recalled"),
    [
        ("rona_wide_student", CIFAR, 389_977, 0.39e6),
        ("rona_mnist_teacher", (1, 28, 28), 155_209, 155.21e3),
        ("rona_mnist_student", (1, 28, 28), 4_970, 4.97e3),
        ("rona_mnist_wide_student", (1, 28, 28), 9_884, 9.88e3),
        ("rona_svhn_teacher", CIFAR, 1_409_808, 1.41e6),
        ("rona_svhn_student", CIFAR, 38_442, 0.04e6),
        ("rona_svhn_wide_student", CIFAR, 72_258, 0.07e6),
    ],
)
def test_sizes_recalled_of_the_paper(name: str, shape: tuple[int, int, int], parameters: int, recalled: float) -> None:
    made = network(name, shape)
    assert sum(p.numel() for p in made.parameters()) == parameters
    unit = 10_000 if recalled >= 35e3 and shape == CIFAR else 10  # the last digit that the paper's tables give
    assert round(parameters / unit) == round(recalled / unit)
    logits = made(torch.randn(64, *shape))
    assert logits.std() > 0.02  # the signal does not die out
    model = StagedModel(made, SPECS[name], shape)
    maps = model.run(torch.randn(2, *shape), ("stages",)).stages
    assert maps[0].shape[2:] == maps[1].shape[2:] == (shape[1] // 2, shape[2] // 2)


@pytest.mark.parametrize(
    ("name", "maps"),
    [
        ("rona_teacher", [(128, 16, 16), (256, 16, 16), (128, 8, 8)]),
        ("rona_student", [(32, 16, 16), (64, 16, 16), (32, 8, 8)]),
    ],
)
def test_hint_and_guide_have_one_size(name: str, maps: list[tuple[int, ...]]) -> None:
    model = StagedModel(network(name), SPECS[name], CIFAR)
    outputs = model.run(torch.randn(2, *CIFAR), ("stages", "embedding"))
    assert [tuple(s.shape[1:]) for s in outputs.stages] == maps
    torch.testing.assert_close(outputs.stages[2].mean((2, 3)), outputs.embedding)


def test_guide_is_taken_after_the_activation_and_before_the_pooling() -> None:
    made = network("rona_student")
    assert isinstance(made.block2[-1], nn.LeakyReLU)
    assert made.block2[-1].negative_slope == 0.1
    assert isinstance(made.pool2, nn.MaxPool2d)


@pytest.mark.parametrize("name", ["rona_teacher", "rona_student"])
def test_weights_start_truncated_at_two_deviations(name: str) -> None:
    made = network(name)
    assert not [m for m in made.modules() if isinstance(m, nn.BatchNorm2d)]
    weights = torch.cat([m.weight.flatten() for m in made.modules() if isinstance(m, nn.Conv2d | nn.Linear)])
    assert weights.abs().max() <= 0.2
    assert weights.std().item() == pytest.approx(0.088, abs=0.002)  # of a normal one of 0.1, cut off at two deviations
    assert all(m.bias.eq(0).all() for m in made.modules() if isinstance(m, nn.Conv2d | nn.Linear))


def test_small_pair_keeps_the_ratios_of_widths() -> None:
    sizes = {name: sum(p.numel() for p in network(name, (1, 8, 8)).parameters()) for name in SPECS if "small" in name}
    assert sizes == {"rona_small_teacher": 110_290, "rona_small_student": 5_494}  # 20.1 to 1; the large pair's is 20.5
    for name in sizes:
        signal = network(name, (1, 8, 8))(torch.randn(64, 1, 8, 8))
        assert signal.std() > 0.02  # with deviation 0.1 it would have died out
