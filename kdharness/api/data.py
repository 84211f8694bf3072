"""Image datasets as the harness holds them: uint8 arrays in memory, and how they are normalised and augmented."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class DatasetMissing(Exception):
    """The data is not there. The message is one line that says what to do."""


@dataclass(frozen=True)
class Augmentation:
    """What a dataset's standard augmentation is: a random crop and a flip.

    crop_padding: pixels of zeros on each side, out of which the crop is cut; 0 for no crop.
    flip: whether images are flipped left to right, each with probability one half.
    """

    crop_padding: int = 0
    flip: bool = False


@dataclass(frozen=True)
class Split:
    """Labelled images.

    images: uint8 [N, C, H, W].
    targets: int64 [N], class numbers from 0.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise ValueError(f"images must be uint8 [N, C, H, W], got {self.images.dtype} {list(self.images.shape)}")
        if self.targets.dtype != np.int64 or self.targets.shape != self.images.shape[:1]:
            raise ValueError(
                f"targets must be int64 [{len(self.images)}], got {self.targets.dtype} {list(self.targets.shape)}"
            )


CONTENT = "content:"


def content_identity(splits: Mapping[str, Split]) -> str:
    """The identity of pixels and labels: "content:" and a SHA-256 that anybody can compute again.

    It goes over the splits in the order of their names. Of each: the line "<name> <N> <C> <H> <W>\\n" in UTF-8, the
    pixels [N, C, H, W] in C order, a byte each, and the labels as little-endian int64. Where the images lie, how they
    are packed and what their classes are called is not in it; their order is.
    """
    found = hashlib.sha256()
    for name, split in sorted(splits.items()):
        found.update(" ".join([name, *map(str, split.images.shape)]).encode() + b"\n")
        found.update(np.ascontiguousarray(split.images).data)
        found.update(np.ascontiguousarray(split.targets, dtype="<i8").data)
    return CONTENT + found.hexdigest()


@dataclass(frozen=True)
class DatasetInfo:
    """What is known without reading images.

    identity: a digest that changes whenever the data does. One of `content_identity` is checked when the data is
        loaded.
    num_classes: how many classes there are.
    input_shape: (C, H, W) of an image.
    train_size: images in the train split.
    """

    identity: str
    num_classes: int
    input_shape: tuple[int, int, int]
    train_size: int


@dataclass(frozen=True)
class ImageDataset:
    """A dataset that is loaded.

    splits: "train" and "test", by name.
    classes: names of the classes, in the order of their numbers.
    mean: of each channel, in units of pixel value / 255.
    std: likewise.
    augmentation: the one that a recipe calls "standard".
    """

    splits: Mapping[str, Split]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation = field(default_factory=Augmentation)


@dataclass(frozen=True)
class DataRequest:
    """What `describe` and `load` of a dataset are told.

    root: the data folder, of --data or KDHARNESS_DATA.
    download: whether the network may be used.
    parameters: the dataset's own.
    """

    root: Path
    download: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
