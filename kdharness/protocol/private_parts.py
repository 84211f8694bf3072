"""Disjoint parts of a scenario's private images, for methods with several teachers of which each sees one part.

`private[3/10]` is the third of ten parts, counted from 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kdharness.errors import UserError

# Batch normalisation cannot train on a single image.
FEWEST = 2

_FORM = re.compile(r"private\[([1-9]\d{0,5})/([1-9]\d{0,5})\]\Z")


@dataclass(frozen=True)
class PrivatePart:
    """Part `number` (from 1) of `parts`."""

    number: int
    parts: int

    @classmethod
    def of(cls, subset: str) -> PrivatePart | None:
        """The part that a subset's name stands for; None for another name."""
        match = _FORM.match(subset)
        found = cls(*map(int, match.groups())) if match else None
        return found if found is not None and found.number <= found.parts else None

    def check(self, private: int, where: str) -> None:
        """UserError where there are too few private images for so many parts, or none. where: the scenario."""
        if not private:
            raise UserError(f"a part of the private images is asked for, and scenario '{where}' keeps none private")
        if private // self.parts < FEWEST:
            few = f"{self.parts} parts of {FEWEST} images or more, and scenario '{where}' keeps {private} private"
            raise UserError(f"the private images are to be split into {few}")
