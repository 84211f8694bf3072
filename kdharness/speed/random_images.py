"""A plugin with random 32x32 colour images in 100 classes: speed needs no real ones, and accuracy means nothing."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kdharness.api import Augmentation, DataRequest, DatasetInfo, DatasetSpec, ImageDataset, Split, hookimpl
from kdharness.api.parameters import Parameter

NAME = "random_images"
CLASSES = 100
SHAPE = (3, 32, 32)

# Of CIFAR: for five training images there is one for evaluation.
TRAIN_TO_TEST = 5


def evaluated_beside(train: int) -> int:
    """How many images are evaluated beside so many that are trained on."""
    return max(1, round(train / TRAIN_TO_TEST))


def describe(request: DataRequest) -> DatasetInfo:
    images, evaluated = int(request.parameters["images"]), int(request.parameters["evaluated"])
    return DatasetInfo(f"random-images-{images}-{evaluated}", CLASSES, SHAPE, images)


def load(request: DataRequest) -> ImageDataset:
    generator = np.random.default_rng(0)

    def split(count: int) -> Split:
        images = generator.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
        return Split(images, generator.integers(0, CLASSES, count).astype(np.int64))

    images, evaluated = int(request.parameters["images"]), int(request.parameters["evaluated"])
    splits = {"train": split(images), "test": split(evaluated or evaluated_beside(images))}
    names = tuple(map(str, range(CLASSES)))
    return ImageDataset(splits, names, (0.5,) * 3, (0.25,) * 3, Augmentation(crop_padding=4, flip=True))


@hookimpl
def kdharness_datasets() -> Iterable[DatasetSpec]:
    # evaluated: images of the test split; 0 for as many as CIFAR has beside so many.
    parameters = (Parameter("images", int, 256), Parameter("evaluated", int, 0))
    yield DatasetSpec(NAME, describe, load, "random images for timing", parameters=parameters, revision=1)
