"""What the methods of feature maps compare on the standard pairs of CIFAR-100: the tensors that RepDistiller compares.

The table was read off its networks, run on images of 32x32; mdistiller's give the same. With equal weights the tensors
themselves are equal too, and so are those before the activations, but for the order of channels in shuffle_v2.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any

import pytest
import torch
from kdharness_plugins.methods import kdharness_methods
from pairs_of_models import context_of, losses_of, staged
from torch import Tensor

from kdharness.api import Method, StagedModel
from kdharness.api.shapes import shape_of

Shapes = list[tuple[int, int, int]]

# Model: the stem, which no method but FSP compares, the stages, and the embedding's dimension.
TABLE: dict[str, tuple[tuple[int, int, int], Shapes, int]] = {
    "resnet20": ((16, 32, 32), [(16, 32, 32), (32, 16, 16), (64, 8, 8)], 64),
    "resnet32": ((16, 32, 32), [(16, 32, 32), (32, 16, 16), (64, 8, 8)], 64),
    "resnet56": ((16, 32, 32), [(16, 32, 32), (32, 16, 16), (64, 8, 8)], 64),
    "resnet110": ((16, 32, 32), [(16, 32, 32), (32, 16, 16), (64, 8, 8)], 64),
    "resnet8x4": ((32, 32, 32), [(64, 32, 32), (128, 16, 16), (256, 8, 8)], 256),
    "resnet32x4": ((32, 32, 32), [(64, 32, 32), (128, 16, 16), (256, 8, 8)], 256),
    "wrn_16_2": ((16, 32, 32), [(32, 32, 32), (64, 16, 16), (128, 8, 8)], 128),
    "wrn_40_1": ((16, 32, 32), [(16, 32, 32), (32, 16, 16), (64, 8, 8)], 64),
    "wrn_40_2": ((16, 32, 32), [(32, 32, 32), (64, 16, 16), (128, 8, 8)], 128),
    "vgg8": ((64, 32, 32), [(128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 4, 4)], 512),
    "vgg13": ((64, 32, 32), [(128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 4, 4)], 512),
    "resnet50": ((64, 32, 32), [(256, 32, 32), (512, 16, 16), (1024, 8, 8), (2048, 4, 4)], 2048),
    "mobilenet_v2": ((16, 16, 16), [(12, 16, 16), (16, 8, 8), (48, 4, 4), (160, 2, 2)], 1280),
    "shuffle_v1": ((24, 32, 32), [(240, 16, 16), (480, 8, 8), (960, 4, 4)], 960),
    "shuffle_v2": ((24, 32, 32), [(116, 16, 16), (232, 8, 8), (464, 4, 4)], 1024),
}
PAIRS: list[str] = tomllib.loads((files("kdharness_benchmarks") / "cifar100.toml").read_text())["pairs"][:13]
SPECS = {spec.name: spec for spec in kdharness_methods()}

# The regressor's convolution by the ratio of the sizes of student and teacher: transposed, kernel, stride.
REGRESSORS = {1: (False, 1, 1), 2: (False, 3, 2), 0.5: (True, 4, 2)}
# Of a method whose matrices need equal channels: the pairs that it serves.
EQUAL_CHANNELS = {
    "wrn_40_2:wrn_16_2", "resnet56:resnet20", "resnet110:resnet20", "resnet110:resnet32", "resnet32x4:resnet8x4",
    "vgg13:vgg8",
}  # fmt: skip


@cache
def network(name: str) -> StagedModel:
    return staged(name, 100, (3, 32, 32), device="meta")


def networks(pair: str) -> tuple[StagedModel, StagedModel]:
    """Student and teacher."""
    teacher, student = pair.split(":")
    return network(student), network(teacher)


def built(name: str, pair: str) -> Method | None:
    """None where the pair is skipped."""
    method = SPECS[name].factory()
    context = context_of(*networks(pair))
    if method.skip(context) is not None:
        return None
    with torch.device("meta"):
        method.build(context)
    return method


def step(method: Method, pair: str, phase: str) -> dict[str, Tensor]:
    return dict(losses_of(method, *networks(pair), torch.zeros(2, 3, 32, 32, device="meta"), phase))


def compared(name: str, pair: str, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """The shapes of the maps of student and teacher that the method brings together."""
    module = import_module(f"kdharness_plugins.methods.{name}")
    seen = []
    pool_to_smaller = module.pool_to_smaller

    def recorded(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        seen.append((tuple(student.shape[1:]), tuple(teacher.shape[1:])))
        pooled: tuple[Tensor, Tensor] = pool_to_smaller(student, teacher)
        return pooled

    monkeypatch.setattr(module, "pool_to_smaller", recorded)
    method = built(name, pair)
    assert method is not None
    step(method, pair, "train")
    return seen


def test_the_table_has_the_models_of_the_pairs() -> None:
    assert {name for pair in PAIRS for name in pair.split(":")} == set(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_taps_are_the_published_ones(name: str) -> None:
    found = shape_of(network(name))
    stem, stages, embedding = TABLE[name]
    assert (found.stem, list(found.stages), found.embedding) == (stem, stages, embedding)
    assert found.pre_activations == found.stages


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", ["at", "nst", "vid"])
def test_all_stages_are_compared_and_not_the_stem(name: str, pair: str, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher, student = pair.split(":")
    assert compared(name, pair, monkeypatch) == list(zip(TABLE[student][1], TABLE[teacher][1], strict=True))


@pytest.mark.parametrize("pair", PAIRS)
def test_the_hint_is_the_second_stage(pair: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third map of RepDistiller's lists, whose first is the stem's; behind the regressor both sizes are equal."""
    teacher, student = pair.split(":")
    guided, hint = TABLE[student][1][1], TABLE[teacher][1][1]
    assert compared("fitnet", pair, monkeypatch) == [(hint, hint)]
    layer = built("fitnet", pair).regressor[0]  # type: ignore[union-attr, index]
    found = (layer.transposed, layer.kernel_size[0], layer.stride[0])
    assert (layer.in_channels, layer.out_channels) == (guided[0], hint[0])
    assert found == REGRESSORS[guided[1] / hint[1]]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("name", ["ab", "fcfd", "fsp", "ft", "kdsvd", "ofd", "reviewkd"])
def test_a_step_on_every_pair(name: str, pair: str) -> None:
    """A term of each phase that reaches the student or, before it trains, the method's own parts."""
    method = built(name, pair)
    served = name not in ("fsp", "kdsvd") or pair in EQUAL_CHANNELS
    assert (method is not None) == served
    for phase in method.phases() if method is not None else ():
        losses = step(method, pair, phase.name)
        assert all(loss.shape == () for loss in losses.values())
        assert any(loss.requires_grad for loss in losses.values())
