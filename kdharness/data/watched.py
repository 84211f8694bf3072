"""Tensors that cells share, and whether one of them was changed in place."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class Watched:
    """Tensors that nobody may change in place, with their versions when they were made."""

    def __init__(self) -> None:
        self._seen: list[tuple[Tensor, int]] = []

    def watch(self, tensors: Sequence[Tensor]) -> None:
        self._seen += [(t, t._version) for t in tensors]

    @property
    def changed(self) -> bool:
        return any(t._version != version for t, version in self._seen)
