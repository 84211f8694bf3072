"""A cell's loss terms: what is summed, and their means over an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from kdharness.errors import CellError


@dataclass(eq=False)
class LossTerms:
    """Checks what `losses` returned, takes out what the cell leaves out, and remembers the values.

    method: its name; declared: the terms that it declares; without: those that are left out.
    dropped: those of `without` that some phase had so far; a checkpoint keeps it.
    """

    method: str
    declared: Mapping[str, str]
    without: frozenset[str]
    dropped: set[str] = field(default_factory=set, init=False)
    _log: dict[str, list[Tensor]] = field(default_factory=dict, init=False)

    def begin_epoch(self) -> None:
        self._log = {}

    def checked(self, terms: Any, last_phase: bool) -> dict[str, Tensor]:
        """The terms that count. CellError for what is no scalar, and, in the last phase, for a name in `without` that
        no phase had.
        """
        if not isinstance(terms, Mapping):
            raise CellError("MethodError", f"losses() must return a dict of named terms, got {type(terms).__name__}")
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.ndim != 0:
                what = f"a tensor of shape {list(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
                raise CellError("MethodError", f"losses()['{name}'] must be a scalar tensor, got {what}")
        self.dropped |= self.without & set(terms)
        missing = self.without - self.dropped - set(self.declared)
        if missing and last_phase:
            what = f"without names the term '{min(missing)}', which '{self.method}' lacks"
            raise CellError("MethodError", f"{what} (it has {', '.join(sorted(terms))})")
        return {name: term for name, term in terms.items() if name not in self.without}

    def remember(self, losses: Mapping[str, Tensor]) -> None:
        """One step's values; nothing waits for the device."""
        for name, loss in losses.items():
            self._log.setdefault(name, []).append(loss.detach().float())

    def means(self, epoch: int) -> dict[str, float]:
        """Over the steps of the epoch that ends. CellError for the first value that is not finite."""
        return {name: self._mean(name, torch.stack(log), epoch) for name, log in self._log.items()}

    def _mean(self, name: str, log: Tensor, epoch: int) -> float:
        finite = torch.isfinite(log)
        if not bool(finite.all()):
            first = int((~finite).nonzero()[0])
            where = f"in epoch {epoch}, step {first + 1}"
            raise CellError("NonFiniteLoss", f"the loss term '{name}' became {float(log[first])} {where}")
        return float(log.mean())
