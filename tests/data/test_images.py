"""Images as pixels in [0, 1], against torchvision's for one image at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision import transforms

from kdharness.api import ImageDataset, Split
from kdharness.data.images import DeviceImages


@pytest.fixture(scope="module")
def dataset() -> ImageDataset:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    split = Split(pixels, np.arange(5, dtype=np.int64))
    return ImageDataset({"train": split, "test": split}, tuple("abcde"), (0.5,) * 3, (0.2,) * 3)


@pytest.fixture(scope="module")
def images(dataset: ImageDataset) -> DeviceImages:
    return DeviceImages(dataset, "train", torch.device("cpu"))


def test_pixels_are_those_of_torchvision(dataset: ImageDataset, images: DeviceImages) -> None:
    pixels = torch.from_numpy(dataset.splits["train"].images)
    expected = torch.stack([transforms.ToTensor()(transforms.ToPILImage()(pixels[k])) for k in (4, 0)])
    assert torch.equal(images.pixels(torch.tensor([4, 0])), expected)


def test_images_stay_bytes_on_the_device(images: DeviceImages) -> None:
    before = images.images.clone()
    images.pixels(torch.tensor([0, 1])).zero_()
    assert images.images.dtype == torch.uint8
    assert torch.equal(images.images, before)
