"""Image datasets as the harness holds them: uint8 arrays in memory, and how they are normalised and augmented."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
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
    warnings: what a person should know of the data before anything is trained on it, a line each.
    """

    identity: str
    num_classes: int
    input_shape: tuple[int, int, int]
    train_size: int
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageDataset:
    """A dataset that is loaded. ValueError when its parts do not fit each other.

    splits: "train" and "test", by name.
    classes: names of the classes, in the order of their numbers.
    mean: of each channel, in units of pixel value / 255.
    std: likewise.
    augmentation: the one that a recipe calls "standard".
    names: by split, what warnings call its images (paths of files); None: they have no names.
    """

    splits: Mapping[str, Split]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    augmentation: Augmentation = field(default_factory=Augmentation)
    names: Mapping[str, Sequence[str]] | None = None

    def __post_init__(self) -> None:
        absent = [name for name in ("train", "test") if name not in self.splits]
        if absent:
            raise ValueError(f"a dataset has the splits 'train' and 'test', this one lacks '{absent[0]}'")
        shape = self.splits["train"].images.shape[1:]
        for name, split in self.splits.items():
            self._check_split(name, split, shape)
        for what, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, shape[0]):
                raise ValueError(f"{what} has {len(values)} values for images of {shape[0]} channels")
            if not np.isfinite(values).all() or (what == "std" and min(values) <= 0):
                wanted = "finite and positive" if what == "std" else "finite"
                raise ValueError(f"{what} is {list(values)}, and is to be {wanted}")

    def _check_split(self, name: str, split: Split, shape: tuple[int, ...]) -> None:
        if not split.images.size:
            raise ValueError(f"the split '{name}' is empty: its images are {list(split.images.shape)}")
        if split.images.shape[1:] != shape:
            raise ValueError(f"images of '{name}' are {list(split.images.shape[1:])}, those of 'train' {list(shape)}")
        wrong = np.flatnonzero((split.targets < 0) | (split.targets >= len(self.classes)))
        if len(wrong):
            first = f"{split.targets[wrong[0]]} of image {wrong[0]}"
            raise ValueError(
                f"{len(wrong)} labels of '{name}' are outside 0..{len(self.classes) - 1}, the first of them {first}"
            )
        if self.names is not None and len(self.names.get(name, ())) != len(split.images):
            raise ValueError(f"{len(self.names.get(name, ()))} names for the {len(split.images)} images of '{name}'")


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
