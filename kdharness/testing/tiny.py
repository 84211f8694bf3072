"""A tiny world to train in: 60 images of 8x8, and two networks of a few hundred weights.

It is a plugin like any other. Only the checks of `kdharness.testing` load it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from kdharness.api import DataRequest, DatasetInfo, DatasetSpec, ImageDataset, ModelSpec, Split, hookimpl

DATASET = "tiny_images"
TEACHER = "tiny_teacher"
STUDENT = "tiny_student"

CLASSES = 4
SHAPE = (3, 8, 8)
TRAIN, TEST = 60, 24


def _split(samples: int, seed: int) -> Split:
    """One bright quadrant for each class, under noise."""
    generator = np.random.default_rng(seed)
    targets = np.arange(samples, dtype=np.int64) % CLASSES
    images = generator.integers(0, 128, (samples, *SHAPE), dtype=np.uint8)
    for image, target in zip(images, targets, strict=True):
        top, left = divmod(int(target), 2)
        image[:, 4 * top : 4 * top + 4, 4 * left : 4 * left + 4] += 100
    return Split(images, targets)


def describe(request: DataRequest) -> DatasetInfo:
    return DatasetInfo("tiny-images-1", CLASSES, SHAPE, TRAIN)


def load(request: DataRequest) -> ImageDataset:
    names = ("top left", "top right", "bottom left", "bottom right")
    splits = {"train": _split(TRAIN, seed=0), "test": _split(TEST, seed=1)}
    return ImageDataset(splits, names, mean=(0.35,) * 3, std=(0.25,) * 3)


class TinyConv(nn.Module):
    """Three convolutions with batch normalisation, at resolutions H, H/2 and H/4; dropout before the classifier.

    The dropout draws from the default generator in every step, so that draws which are not a cell's own are noticed.
    """

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int], width: int) -> None:
        super().__init__()
        channels = (input_shape[0], width, 2 * width, 2 * width)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, stride, 1), nn.BatchNorm2d(after), nn.ReLU())
            for before, after, stride in zip(channels, channels[1:], (1, 2, 2), strict=False)
        )
        self.dropout = nn.Dropout(0.1)
        self.classifier = nn.Linear(channels[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, C, H, W] to logits [N, classes]."""
        for stage in self.stages:
            x = stage(x)
        logits: Tensor = self.classifier(self.dropout(torch.flatten(x.mean(dim=(2, 3)), 1)))
        return logits


@hookimpl
def kdharness_datasets() -> Iterable[DatasetSpec]:
    yield DatasetSpec(DATASET, describe, load, summary="four kinds of 8x8 images, made on the spot")


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, width in ((TEACHER, 6), (STUDENT, 4)):
        yield ModelSpec(
            name=name,
            factory=partial(TinyConv, width=width),
            summary=f"three 3x3 convolutions, the first with {width} channels",
            stages=("stages.0", "stages.1", "stages.2"),
            pre_activations=("stages.0.2", "stages.1.2", "stages.2.2"),
            norms=("stages.0.1", "stages.1.1", "stages.2.1"),
            classifier="classifier",
        )
