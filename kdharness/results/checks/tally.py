"""How many numbers of a folder were counted again, and why others were not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from kdharness.results.checks.numbers import DIGITS, Place, Reason


@dataclass
class Tally:
    """Of records that are ok. exact: numbers whose very sum is known; close: those that agree to so many digits."""

    exact: int = 0
    close: int = 0
    reasons: Counter[Reason] = field(default_factory=Counter)

    def count(self, stated: Iterable[Place], counted: Mapping[Place, bool], reason: Callable[[Place], Reason]) -> None:
        """counted: whether exactly, of those that were."""
        for place in stated:
            if place not in counted:
                self.reasons[reason(place)] += 1
            elif counted[place]:
                self.exact += 1
            else:
                self.close += 1

    def lines(self) -> Iterable[str]:
        close = f", {self.close} to {DIGITS} digits without torch (--exact: to the last bit)" if self.close else ""
        yield f"{self.exact + self.close} numbers counted again: {self.exact} exactly{close}"
        if self.reasons:
            yield f"{self.reasons.total()} numbers cannot be counted again:"
            yield from (f"  {count} {reason}" for reason, count in sorted(self.reasons.items()))
