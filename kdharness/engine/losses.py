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
    withheld: those whose values are told nobody.
    dropped: those of `without` that some phase had so far; a checkpoint keeps it.
    """

    method: str
    declared: Mapping[str, str]
    without: frozenset[str]
    withheld: frozenset[str] = frozenset()
    dropped: set[str] = field(default_factory=set, init=False)
    _log: dict[str, list[tuple[int, Tensor]]] = field(default_factory=dict, init=False)
    _with_gradient: set[str] = field(default_factory=set, init=False)
    _steps: int = field(default=0, init=False)

    def begin_epoch(self) -> None:
        self._log, self._with_gradient, self._steps = {}, set(), 0

    def checked(self, terms: Any, last_phase: bool, trains: bool) -> dict[str, Tensor]:
        """The terms that count. CellError for what is no loss, and, in the last phase, for a name in `without` that no
        phase had.

        trains: whether they are to train something.
        """
        if not isinstance(terms, Mapping):
            raise CellError("MethodError", f"losses() must return a dict of named terms, got {type(terms).__name__}")
        for name, term in terms.items():
            _check(name, term)
        if trains and torch.is_grad_enabled() and not any(term.requires_grad for term in terms.values()):
            what = f"no term of losses() needs a gradient ({', '.join(terms)})" if terms else "losses() has no terms"
            raise CellError("MethodError", f"{what}: nothing is trained")
        self.dropped |= self.without & set(terms)
        missing = self.without - self.dropped - set(self.declared)
        if missing and last_phase:
            what = f"without names the term '{min(missing)}', which '{self.method}' lacks"
            raise CellError("MethodError", f"{what} (it has {', '.join(sorted(terms))})")
        return {name: term for name, term in terms.items() if name not in self.without}

    def remember(self, losses: Mapping[str, Tensor]) -> None:
        """One step's values; nothing waits for the device."""
        for name, loss in losses.items():
            self._log.setdefault(name, []).append((self._steps, loss.detach().float()))
            if loss.requires_grad:
                self._with_gradient.add(name)
        self._steps += 1

    def means(self, epoch: int, all_trained: bool, before: Mapping[str, float]) -> dict[str, float]:
        """Over the steps of the epoch that ends, without those that are withheld. CellError for the first step with a
        value that is not finite, and for a term that was cut off from what it should train.

        all_trained: whether the phase trains all that the cell has, so that every loss depends on it.
        before: the means of the epoch before.
        """
        logs = {name: torch.stack([value for _, value in log]).cpu() for name, log in self._log.items()}
        self._check_finite(logs, epoch, before)
        for name, log in logs.items():
            if all_trained and self.declared.get(name) != "player" and name not in self._with_gradient:
                _check_cut_off(name, log, epoch)
        return {name: float(log.mean()) for name, log in logs.items() if name not in self.withheld}

    def _check_finite(self, logs: Mapping[str, Tensor], epoch: int, before: Mapping[str, float]) -> None:
        """The term whose step was the earliest is the one to blame: the others follow from it."""
        wrong: dict[str, tuple[int, int]] = {}
        for name, log in logs.items():
            positions = (~torch.isfinite(log)).nonzero()
            if len(positions):
                position = int(positions[0])
                wrong[name] = self._log[name][position][0], position
        if not wrong:
            return
        step = min(step for step, _ in wrong.values())
        first, *others = [name for name, (when, _) in wrong.items() if when == step]
        position = wrong[first][1]
        what = f"the loss term '{first}' became {float(logs[first][position])} in epoch {epoch}, step {step + 1}"
        if first not in self.withheld:
            what += _was(logs[first], position, before.get(first), epoch)
        what += f", and with it {', '.join(map(repr, others))}" if others else ""
        raise CellError("NonFiniteLoss", what)


def _was(log: Tensor, position: int, mean_before: float | None, epoch: int) -> str:
    """In words, the value before the one at `position`."""
    if position:
        return f" (before: {float(log[position - 1]):.4g})"
    return "" if mean_before is None else f" (mean of epoch {epoch - 1}: {mean_before:.4g})"


def _check(name: str, term: Any) -> None:
    """CellError for a term that is no loss."""
    if not isinstance(term, Tensor) or term.ndim != 0:
        what = f"a tensor of shape {list(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
        raise CellError("MethodError", f"losses()['{name}'] must be a scalar tensor, got {what}")
    if not term.is_floating_point():
        kind = str(term.dtype).removeprefix("torch.")
        raise CellError("MethodError", f"losses()['{name}'] must be floating point, got {kind}, which has no gradient")


def _check_cut_off(name: str, log: Tensor, epoch: int) -> None:
    """CellError for values that differ though no gradient comes from them. A constant, as zero for a while, is none."""
    if bool((log != log[0]).any()) or (len(log) == 1 and bool(log[0])):
        what = f"the loss term '{name}' has no gradient in any step of epoch {epoch}, so it trains nothing"
        raise CellError("MethodError", f"{what} (is it detached? curves() is for numbers to look at)")
