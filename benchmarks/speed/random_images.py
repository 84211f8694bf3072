"""A plugin with random 32x32 colour images in 100 classes: for timing only, where no dataset is to be had.

RANDOM_IMAGES, in the environment: how many the training split has.
"""

from __future__ import annotations

import os

import numpy as np

from kdharness.api import Augmentation, DataRequest, DatasetInfo, DatasetSpec, ImageDataset, Split, hookimpl

TRAIN, TEST, CLASSES = int(os.environ.get("RANDOM_IMAGES", "512")), 256, 100


def describe(request: DataRequest) -> DatasetInfo:
    return DatasetInfo(f"random-images-{TRAIN}", CLASSES, (3, 32, 32), TRAIN)


def load(request: DataRequest) -> ImageDataset:
    generator = np.random.default_rng(0)

    def split(n: int) -> Split:
        images = generator.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
        return Split(images, generator.integers(0, CLASSES, n).astype(np.int64))

    splits = {"train": split(TRAIN), "test": split(TEST)}
    names = tuple(map(str, range(CLASSES)))
    return ImageDataset(splits, names, (0.5,) * 3, (0.25,) * 3, Augmentation(crop_padding=4, flip=True))


@hookimpl
def kdharness_datasets() -> list[DatasetSpec]:
    return [DatasetSpec("random_images", describe, load, "random images for timing", revision=1)]
