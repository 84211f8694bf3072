"""What is odd in a dataset's content: the same pixels in train and test, or under two classes; classes without any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from kdharness.api.data import Split

MOST_NAMED = 3  # the others are counted

Place = tuple[str, int]
"""An image's split and its position there."""


def content_warnings(
    splits: Mapping[str, Split], classes: Sequence[str], names: Mapping[str, Sequence[str]] | None = None
) -> tuple[str, ...]:
    """A line for each kind of oddity: test images that are in train too, images under several classes, classes
    without images. Images are equal when all their pixels are.

    classes: names of the classes, in the order of their numbers.
    names: by split, what to call its images; else they are called by their positions.
    """

    def called(place: Place) -> str:
        split, position = place
        return f"{split}[{position}]" if names is None else names[split][position]

    equal = _equal_images(splits)
    shared = [pair for pair in map(_across, equal) if pair is not None]
    several = [places for places in equal if len({splits[split].targets[row] for split, row in places}) > 1]
    lines = []
    if shared:
        count = sum(split == "test" for places in equal if _across(places) for split, _ in places)
        pairs = _listed([f"{called(test)} = {called(train)}" for test, train in shared])
        lines.append(f"{count} of {len(splits['test'].targets)} test images are in train too: {pairs}")
    if several:
        count = sum(map(len, several))
        pairs = _listed([" = ".join(map(called, places[:2])) for places in several])
        one = "1 image is" if len(several) == 1 else f"{len(several)} images are"
        lines.append(f"{one} there under more than one class ({count} times in all): {pairs}")
    return (*lines, *_empty_classes(splits, classes))


def _equal_images(splits: Mapping[str, Split]) -> list[list[Place]]:
    """The places of each image that is there more than once, in the order of splits and positions."""
    found: dict[bytes, list[Place]] = {}
    for name, split in splits.items():
        for position, image in enumerate(split.images):
            digest = blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()
            found.setdefault(digest, []).append((name, position))
    return [places for places in found.values() if len(places) > 1]


def _across(places: Sequence[Place]) -> tuple[Place, Place] | None:
    """The first place in test, and the first in train, of an image that is in both."""
    first = {split: (split, row) for split, row in reversed(places)}
    return (first["test"], first["train"]) if {"test", "train"} <= first.keys() else None


def _empty_classes(splits: Mapping[str, Split], classes: Sequence[str]) -> Iterator[str]:
    for name, split in splits.items():
        counts = np.bincount(split.targets, minlength=len(classes))
        empty = [label for label, count in zip(classes, counts, strict=True) if not count]
        if empty:
            yield f"{len(empty)} of {len(classes)} classes without a {name} image: {_listed(empty)}"


def _listed(items: Sequence[str]) -> str:
    return ", ".join(items[:MOST_NAMED]) + (", ..." if len(items) > MOST_NAMED else "")
