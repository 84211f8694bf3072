"""Which picture of which image each sample of an epoch is, where a view has finitely many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from kdharness.data.sheet import Numbers


@dataclass(frozen=True)
class Pictures:
    """The samples of one epoch in one view.

    ids: int64 [n] in the epoch's order: the image's place in its split times `each`, and the picture's number.
    each: how many pictures there are of an image.
    images: how many images the split has.
    make: gives the pixels of such ids as networks are shown them, float32 [k, C, H, W].
    """

    ids: Numbers
    each: int
    images: int
    make: Callable[[Numbers], Tensor]

    @property
    def total(self) -> int:
        return self.images * self.each
