"""Part of a dataset: some of its classes, and the first training images of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from kdharness.api import DatasetInfo, ImageDataset, Neutral, Parameter, Split

Names = tuple[Annotated[str, Field(coerce_numbers_to_str=True)], ...]

PARAMETERS = (
    Parameter("classes", Annotated[Names, Neutral(())], ()),
    Parameter("per_class", Annotated[Annotated[int, Field(ge=0)], Neutral(0)], 0),
)


@dataclass(frozen=True)
class Chosen:
    """What is kept.

    numbers: of the classes, in the order in which they are numbered anew; None: all classes stay.
    per_class: training images of each class, the first ones; 0: all.
    """

    numbers: tuple[int, ...] | None = None
    per_class: int = 0

    @classmethod
    def of(cls, dataset: str, parameters: Mapping[str, Any], names: Sequence[str]) -> Chosen:
        """What a request's parameters name, by a class's name or number. ValueError for what is no class."""
        wanted = tuple(parameters.get("classes", ()))
        numbers = tuple(_number(dataset, name, names) for name in wanted)
        twice = [name for place, name in enumerate(wanted) if numbers[place] in numbers[:place]]
        if twice:
            raise ValueError(f"{dataset}: classes name '{names[_number(dataset, twice[0], names)]}' twice")
        if len(numbers) == 1:
            raise ValueError(f"{dataset}: classes name '{wanted[0]}' alone, and there is nothing to tell it from")
        return cls(numbers or None, int(parameters.get("per_class", 0)))

    @property
    def is_all(self) -> bool:
        return self.numbers is None and not self.per_class

    @property
    def text(self) -> str:
        """What an identity says of it."""
        classes = "all" if self.numbers is None else ",".join(map(str, self.numbers))
        return f"classes={classes} per_class={self.per_class or 'all'}"

    def described(self, info: DatasetInfo) -> DatasetInfo:
        """Of a dataset with as many training images of each class."""
        if self.is_all:
            return info
        count = info.num_classes if self.numbers is None else len(self.numbers)
        each = info.train_size // info.num_classes
        size = count * (min(self.per_class, each) if self.per_class else each)
        # Not "content:" in front: that would be held against the part's own pixels.
        return DatasetInfo(f"part:{self.text} of {info.identity}", count, info.input_shape, size, info.warnings)

    def cut(self, dataset: ImageDataset) -> ImageDataset:
        """Its part, in the order of before. Normalised and augmented as the whole."""
        if self.is_all:
            return dataset
        splits = {name: self._cut_split(split, name == "train") for name, split in dataset.splits.items()}
        classes = dataset.classes if self.numbers is None else tuple(dataset.classes[n] for n in self.numbers)
        return ImageDataset(splits, classes, dataset.mean, dataset.std, dataset.augmentation)

    def _cut_split(self, split: Split, trains: bool) -> Split:
        targets = split.targets if self.numbers is None else renumbered(split.targets, self.numbers)
        kept = targets >= 0
        if trains and self.per_class:
            kept &= place_in_class(targets) < self.per_class
        return Split(np.ascontiguousarray(split.images[kept]), targets[kept])


def renumbered(targets: NDArray[np.int64], numbers: Sequence[int]) -> NDArray[np.int64]:
    """Each class's place in `numbers`; -1 for others."""
    table = np.full(max(int(targets.max(initial=0)), *numbers) + 1, -1, dtype=np.int64)
    table[list(numbers)] = np.arange(len(numbers))
    return np.asarray(table[targets])


def place_in_class(targets: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of the same class come before each."""
    places = np.empty(len(targets), dtype=np.int64)
    for label in np.unique(targets):
        mine = targets == label
        places[mine] = np.arange(int(mine.sum()))
    return places


def _number(dataset: str, wanted: str, names: Sequence[str]) -> int:
    if wanted in names:
        return names.index(wanted)
    if wanted.isdecimal() and int(wanted) < len(names):
        return int(wanted)
    close = get_close_matches(wanted, names, cutoff=0.5)
    hint = f"did you mean '{close[0]}'?" if close else f"it has {len(names)}, numbered from 0: {', '.join(names[:5])}"
    more = "" if close or len(names) <= 5 else ", ..."
    raise ValueError(f"{dataset}: no class '{wanted}'; {hint}{more}")
