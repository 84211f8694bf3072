"""Means and deviations of pixels, out of the images of one subset alone. Sums are whole numbers, and so exact."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kdharness.api.preprocessing import Preprocessing

Images = NDArray[np.uint8]


def channel_statistics(images: Images) -> Preprocessing:
    """Each channel less its mean, by its standard deviation; by 1 where it is constant. images: [N, C, H, W]."""
    mean, std = zip(*(_moments(images[:, channel]) for channel in range(images.shape[1])), strict=True)
    return Preprocessing(mean, std)


def pixel_statistics(images: Images) -> Preprocessing:
    """The image less the mean image, in units of pixel values: about -128 to 128. images: [N, C, H, W]."""
    mean = images.sum(axis=0, dtype=np.int64).ravel() / (255 * len(images))
    return Preprocessing(tuple(mean.tolist()), (1 / 255,))


def _moments(values: Images) -> tuple[float, float]:
    """Mean and standard deviation, in units of pixel value / 255."""
    counts = [int(count) for count in np.bincount(values.ravel(), minlength=256)]
    number, total = sum(counts), sum(value * count for value, count in enumerate(counts))
    squares = sum(value * value * count for value, count in enumerate(counts))
    deviation = math.sqrt(number * squares - total * total) / (255 * number)
    return total / (255 * number), deviation or 1.0


STATISTICS = {"public": channel_statistics, "public_pixels": pixel_statistics}
