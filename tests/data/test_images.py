"""The batched crop, flip and normalisation, against torchvision's for one image at a time."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from torchvision import transforms
from torchvision.transforms import functional as per_image

from kdharness.api import Augmentation, ImageDataset, Split
from kdharness.data.images import DeviceImages, Draws

CPU = torch.device("cpu")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
PADDING = 4
SIZE = 8
STANDARD = Augmentation(crop_padding=PADDING, flip=True)
VIEWS = [(dy, dx, flip) for dy in range(9) for dx in range(9) for flip in (False, True)]


@pytest.fixture(scope="module")
def dataset() -> ImageDataset:
    pixels = np.random.default_rng(0).integers(1, 256, (5, 3, SIZE, SIZE), dtype=np.uint8)
    split = Split(pixels, np.arange(5, dtype=np.int64))
    return ImageDataset({"train": split}, tuple("abcde"), MEAN, STD, STANDARD)


@pytest.fixture(scope="module")
def images(dataset: ImageDataset) -> DeviceImages:
    return DeviceImages(dataset, "train", CPU, PADDING)


def draws_of(views: list[tuple[int, int, bool]]) -> Draws:
    dy, dx, flip = (torch.tensor(column) for column in zip(*views, strict=True))
    return Draws(dy, dx, flip)


def one_at_a_time(pixels: np.ndarray, dy: int, dx: int, flip: bool) -> torch.Tensor:
    """The way of the standard CIFAR recipe: pad, crop, flip, ToTensor, Normalize, on a PIL image."""
    image = transforms.ToPILImage()(torch.from_numpy(pixels))
    image = per_image.crop(per_image.pad(image, [PADDING]), dy, dx, SIZE, SIZE)
    image = per_image.hflip(image) if flip else image
    return transforms.Normalize(MEAN, STD)(transforms.ToTensor()(image))


def test_every_view_equals_torchvisions(dataset, images):
    batch = images.view(torch.full((len(VIEWS),), 3), draws_of(VIEWS))
    expected = torch.stack([one_at_a_time(dataset.splits["train"].images[3], *view) for view in VIEWS])
    torch.testing.assert_close(batch, expected, rtol=1e-6, atol=1e-6)


def test_without_draws_images_are_only_normalised(dataset, images):
    found = images.view(torch.tensor([4, 0]))
    pixels = dataset.splits["train"].images
    expected = torch.stack([one_at_a_time(pixels[k], PADDING, PADDING, False) for k in (4, 0)])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_the_border_is_black_before_it_is_normalised(images):
    corner = images.view(torch.tensor([0]), draws_of([(0, 0, False)]))[0]
    black = -torch.tensor(MEAN) / torch.tensor(STD)
    torch.testing.assert_close(corner[:, :PADDING, :], black.view(3, 1, 1).expand(3, PADDING, SIZE), rtol=0, atol=1e-6)
    assert (corner[:, PADDING:, PADDING:] > black.view(3, 1, 1)).all()


def test_rows_of_a_batch_do_not_mix(images):
    views = [VIEWS[k] for k in (0, 50, 100, 161)]
    together = images.view(torch.tensor([0, 1, 2, 3]), draws_of(views))
    for row, view in enumerate(views):
        assert torch.equal(together[row], images.view(torch.tensor([row]), draws_of([view]))[0])


def test_images_stay_bytes_on_the_device(images):
    assert images.images.dtype == torch.uint8
    assert images.windows.dtype == torch.uint8
    assert images.windows.shape == (5, 3, 9, 9, SIZE, SIZE)


def test_channels_last_changes_the_layout_alone(images):
    rows, draws = torch.tensor([2, 1]), draws_of(VIEWS[40:42])
    plain, last = images.view(rows, draws), images.view(rows, draws, channels_last=True)
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, last)


def test_all_162_views_are_drawn_about_equally_often():
    n = 162 * 200
    draws = Draws.make(STANDARD, n, seed=1, device=CPU)
    seen = Counter(zip(draws.dy.tolist(), draws.dx.tolist(), draws.flip.tolist(), strict=True))
    assert set(seen) == set(VIEWS)
    chi_squared = sum((count - 200) ** 2 / 200 for count in seen.values())
    assert chi_squared < 161 + 4 * (2 * 161) ** 0.5  # four standard deviations above its mean


def test_draws_depend_on_the_seed_alone():
    first, again, other = (Draws.make(STANDARD, 500, seed, CPU) for seed in (7, 7, 8))
    for name in ("dy", "dx", "flip"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))
    torch.manual_seed(99)
    assert torch.equal(Draws.make(STANDARD, 500, 7, CPU).dy, first.dy)


def test_draws_are_these_numbers():
    """They enter every comparison of runs, so a change of them is a change of the numerics version."""
    draws = Draws.make(STANDARD, 6, seed=0, device=CPU)
    assert draws.dy.tolist() == [8, 0, 2, 6, 7, 6]
    assert draws.dx.tolist() == [7, 1, 1, 0, 8, 2]
    assert draws.flip.tolist() == [True, True, True, False, False, False]


def test_nothing_is_drawn_for_what_the_augmentation_lacks():
    nothing = Draws.make(Augmentation(), 10, 0, CPU)
    assert nothing == Draws(None, None, None)
    flips = Draws.make(Augmentation(flip=True), 10, 0, CPU)
    assert flips.dy is None
    assert flips.flip is not None
