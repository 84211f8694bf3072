"""Mixing against torchvision's MixUp and CutMix, its draws, and the same share in views of every size."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import v2

from kdharness.api import Mixing, TaskLoss
from kdharness.data.mixing import (
    EpochMixing,
    MixingRequest,
    cutmix_box,
    larger_labels,
    mixed_images,
    mixing_request,
    soft_labels,
)
from kdharness.protocol.recipe import Recipe
from kdharness.testing.case import CheckSkipped
from kdharness.testing.rehearsal import fake_accelerator

CPU = torch.device("cpu")
N, CLASSES, SIZE = 6, 4, (8, 12)
IMAGES = torch.rand(N, 3, *SIZE, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 3, 1, 2, 2, 0])
# torchvision's partner of each sample is the one before it.
ROLLED = torch.arange(N).roll(1)


def mixing(kind: str, share: float, box: tuple[float, ...] = (0.0,) * 4) -> Mixing:
    return Mixing(kind, torch.tensor(share), ROLLED, torch.tensor(box))  # type: ignore[arg-type]


def of_torchvision(transform: v2.Transform, **params: object) -> tuple[Tensor, Tensor]:
    """Images and labels of a transform of torchvision's with given draws."""
    transform.make_params = lambda flat: {"labels": TARGETS, "batch_size": N, **params}  # type: ignore[method-assign]
    images, labels = transform(IMAGES, TARGETS)
    return images, labels


@pytest.mark.parametrize("share", [0.0, 0.2, 0.75, 1.0])
def test_mixup_is_torchvisions(share: float) -> None:
    images, labels = of_torchvision(v2.MixUp(num_classes=CLASSES), lam=share)
    drawn = mixing("mixup", share)
    torch.testing.assert_close(mixed_images(IMAGES, drawn), images)
    torch.testing.assert_close(soft_labels(TARGETS, drawn, CLASSES), labels)


@pytest.mark.parametrize(("share", "y", "x"), [(0.3, 0.5, 0.5), (0.05, 0.0, 0.99), (0.9, 0.7, 0.1), (0.999, 0.2, 0.2)])
def test_cutmix_is_torchvisions(share: float, y: float, x: float) -> None:
    height, width = SIZE
    # As torchvision has them once the middle is drawn.
    row, column, half = math.floor(y * height), math.floor(x * width), 0.5 * math.sqrt(1 - share)
    x1, x2 = max(column - int(half * width), 0), min(column + int(half * width), width)
    y1, y2 = max(row - int(half * height), 0), min(row + int(half * height), height)
    adjusted = 1 - (x2 - x1) * (y2 - y1) / (width * height)
    transform = v2.CutMix(num_classes=CLASSES)
    images, labels = of_torchvision(transform, box=(x1, y1, x2, y2), lam_adjusted=adjusted)
    left, box = cutmix_box(share, y, x, SIZE)
    drawn = mixing("cutmix", left, box)
    assert left == pytest.approx(adjusted)
    assert torch.equal(mixed_images(IMAGES, drawn), images)
    torch.testing.assert_close(soft_labels(TARGETS, drawn, CLASSES), labels)


@pytest.mark.parametrize("size", [SIZE, (16, 24), (4, 6), (7, 5), (31, 32)])
@pytest.mark.parametrize(("share", "y", "x"), [(0.3, 0.5, 0.5), (0.5, 0.1, 0.9), (0.7, 0.6, 0.4)])
def test_the_share_of_a_box_is_the_same_in_views_of_every_size(
    size: tuple[int, int], share: float, y: float, x: float
) -> None:
    left, box = cutmix_box(share, y, x, SIZE)
    flat = torch.zeros(2, 1, *size)
    flat[1] = 1.0
    drawn = Mixing("cutmix", torch.tensor(left), torch.tensor([1, 0]), torch.tensor(box))
    mixed = mixed_images(flat, drawn)
    torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), torch.tensor([1 - left, left]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("length", [28, 32, 96, 224, 299])
def test_edges_on_the_grid_cut_no_pixel(length: int) -> None:
    for number in range(20):
        left, box = cutmix_box((number + 0.5) / 20, number / 20, 1 - number / 40, (length, length))
        flat = torch.stack([torch.zeros(1, length, length), torch.ones(1, length, length)])
        mixed = mixed_images(flat, Mixing("cutmix", torch.tensor(left), torch.tensor([1, 0]), torch.tensor(box)))
        assert set(mixed.unique().tolist()) <= {0.0, 1.0}
        assert float(mixed[1].mean()) == pytest.approx(left, abs=1e-6)


def test_the_label_is_that_with_the_larger_share() -> None:
    assert torch.equal(larger_labels(TARGETS, mixing("mixup", 0.51)), TARGETS)
    assert torch.equal(larger_labels(TARGETS, mixing("mixup", 0.49)), TARGETS[ROLLED])
    assert torch.equal(larger_labels(TARGETS, mixing("mixup", 0.5)), TARGETS)


def drawn(request: MixingRequest, batches: int = 400, seed: int = 5) -> list[Mixing | None]:
    epoch = EpochMixing(request, [N] * (batches - 1) + [3], SIZE, seed, CPU)
    return [epoch.batch(number) for number in range(batches)]


def test_lambda_has_the_moments_of_betas_distribution() -> None:
    for alpha in (0.2, 1.0, 4.0):
        shares = torch.stack([m.share for m in drawn(MixingRequest(alpha, 0.0, 1.0), 4000) if m is not None])
        assert float(shares.mean()) == pytest.approx(0.5, abs=0.02)
        assert float(shares.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_each_kind_has_its_share_of_the_batches() -> None:
    found = drawn(MixingRequest(0.2, 1.0, 0.5), 4000)
    kinds = [None if m is None else m.kind for m in found]
    assert kinds.count(None) / 4000 == pytest.approx(0.5, abs=0.03)
    assert kinds.count("mixup") / 4000 == pytest.approx(0.25, abs=0.03)
    assert {m.kind for m in drawn(MixingRequest(0.0, 1.0, 1.0)) if m is not None} == {"cutmix"}
    assert None not in drawn(MixingRequest(0.2, 0.0, 1.0))


def test_each_batch_has_a_permutation_of_its_own_size_and_draws_of_its_own() -> None:
    found = [m for m in drawn(MixingRequest(1.0, 0.0, 1.0), 5) if m is not None]
    assert [sorted(m.permutation.tolist()) for m in found] == [list(range(N))] * 4 + [[0, 1, 2]]
    assert len({float(m.share) for m in found}) == 5
    assert len({tuple(m.permutation.tolist()) for m in found}) > 1


def test_draws_depend_on_the_seed_alone() -> None:
    request = MixingRequest(0.4, 1.0, 0.8)
    first, again, other = (drawn(request, 20, seed) for seed in (5, 5, 6))
    assert [m and float(m.share) for m in first] == [m and float(m.share) for m in again]
    assert [m and float(m.share) for m in first] != [m and float(m.share) for m in other]


def test_views_of_one_batch_are_mixed_alike() -> None:
    one = EpochMixing(MixingRequest(0.0, 1.0, 1.0), [N], SIZE, 3, CPU).batch(0)
    assert one is not None
    larger = F.interpolate(IMAGES, scale_factor=2.0, mode="nearest")
    expected = F.interpolate(mixed_images(IMAGES, one), scale_factor=2.0, mode="nearest")
    assert torch.equal(mixed_images(larger, one), expected)


def test_nothing_that_comes_in_is_changed() -> None:
    images, targets = IMAGES.clone(), TARGETS.clone()
    for one in (mixing("mixup", 0.3), mixing("cutmix", 0.5, (0.0, 0.0, 0.5, 1.0))):
        mixed_images(images, one), soft_labels(targets, one, CLASSES), larger_labels(targets, one)
    assert torch.equal(images, IMAGES)
    assert torch.equal(targets, TARGETS)


@pytest.mark.parametrize(
    ("changes", "epochs"),
    [
        ({}, []),
        ({"mixup": 0.2}, [0, 1, 2]),
        ({"cutmix": 1.0, "mixing_off_epoch": 2}, [0, 1]),
        ({"mixup": 0.2, "mixing_off_epoch": 0}, []),
        ({"mixup": 0.2, "mixing_probability": 0.0}, []),
    ],
)
def test_which_epochs_are_mixed(changes: dict[str, float], epochs: list[int]) -> None:
    recipe = Recipe(epochs=3).replaced(changes)
    assert [epoch for epoch in range(3) if mixing_request(recipe, epoch) is not None] == epochs
    assert recipe.mixes == bool(epochs)


def test_what_a_recipe_asks_for() -> None:
    recipe = Recipe(epochs=3, mixup=0.2, cutmix=1.0, mixing_probability=0.7)
    assert mixing_request(recipe, 0) == MixingRequest(mixup=0.2, cutmix=1.0, probability=0.7)


@pytest.mark.parametrize("asked", [MixingRequest(0.2, 0.0, 1.0), MixingRequest(0.0, 1.0, 1.0)])
def test_on_a_device_nothing_waits_for_it(asked: MixingRequest) -> None:
    try:
        with fake_accelerator() as device:
            images, targets = IMAGES.to(device.torch), TARGETS.to(device.torch)
            one = EpochMixing(asked, [N], SIZE, 3, device.torch).batch(0)
            assert one is not None
            mixed, soft = mixed_images(images, one), soft_labels(targets, one, CLASSES)
            labels = larger_labels(targets, one)
            losses = [TaskLoss(kind, 0.1)(soft, labels, given) for kind in ("ce", "bce") for given in (soft, None)]
            assert {tensor.device for tensor in (mixed, soft, labels, *losses)} == {images.device}
    except CheckSkipped as reason:
        pytest.skip(str(reason))


def test_the_draws_of_an_epoch() -> None:
    """Cells trained before are to be trained again alike: these stay what they are."""
    epoch = EpochMixing(MixingRequest(0.4, 1.0, 0.8), [4] * 5, (8, 8), 1, CPU)
    found = [epoch.batch(number) for number in range(5)]
    told = [m and (m.kind, round(float(m.share), 4), m.permutation.tolist(), m.box.tolist()) for m in found]
    nothing = [0.0, 0.0, 0.0, 0.0]
    assert told == [
        ("mixup", 0.0946, [0, 1, 2, 3], nothing),
        ("mixup", 0.8413, [0, 1, 3, 2], nothing),
        ("mixup", 0.8535, [3, 0, 1, 2], nothing),
        ("cutmix", 0.4375, [0, 2, 3, 1], [0.125, 0.25, 0.875, 1.0]),
        None,
    ]
