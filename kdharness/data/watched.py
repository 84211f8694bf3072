"""Tensors that cells share, and whether one of them was changed in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from kdharness.device.checksum import Balance, checksum, words

CHANGED = "it changed a shared tensor in place"
UNNAMED = "of the batch, or of a teacher's outputs"


class Watched:
    """Tensors that nobody may change in place, with their versions when they were made.

    Writes through `.data`, NumPy or the storage move no version.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[str, Tensor, int]] = []

    def watch(self, tensors: Mapping[str, Tensor]) -> None:
        """tensors: by what a method calls them."""
        self._seen += [(name, t, t._version) for name, t in tensors.items()]

    @property
    def changed(self) -> str:
        """The name of one that was changed in the open, '' for none."""
        return next((name for name, t, version in self._seen if t._version != version), "")


# Shape, dtype, device and bytes of storage: what a write through `.data` can change beside values.
Form = tuple[torch.Size, torch.dtype, torch.device, int]


def form_of(tensor: Tensor) -> Form:
    return tensor.shape, tensor.dtype, tensor.device, tensor.untyped_storage().nbytes()


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one form and one content, nan included."""
    alike = (one.shape, one.dtype) == (other.shape, other.dtype)
    if not alike or one.untyped_storage().nbytes() < one.numel() * one.element_size():
        return False
    return torch.equal(words(one), words(other.to(one.device)))


@dataclass(frozen=True, eq=False)
class _Part:
    """Tensors that were watched together, as they were. start: the place of their first word among all."""

    names: str
    tensors: Sequence[Tensor]
    versions: Sequence[int]
    forms: Sequence[Form]
    start: int
    sums: Sequence[Tensor]

    @property
    def moved(self) -> bool:
        return any(t._version != version for t, version in zip(self.tensors, self.versions, strict=True))

    @property
    def reshaped(self) -> bool:
        return any(form_of(t) != form for t, form in zip(self.tensors, self.forms, strict=True))


class Summed(Watched):
    """Watched tensors whose bits are summed when they are made and when nobody reads them any more."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[_Part] = []
        self._place = 0

    def watch(self, tensors: Mapping[str, Tensor]) -> None:
        super().watch(tensors)
        named = {name: t for name, t in tensors.items() if t.layout == torch.strided}
        dense = list(named.values())
        versions, forms = [t._version for t in dense], [form_of(t) for t in dense]
        self._parts.append(_Part(", ".join(named), dense, versions, forms, self._place, checksum(dense, self._place)))
        self._place += sum(words(t).numel() for t in dense)

    def settle(self, balance: Balance, doubted: bool = False, by_name: bool = False) -> None:
        """Puts what the tensors were and what they are into the balance, but for those whose versions moved.

        doubted: some cell read them before the one that moved a version. It may have had what another one had written
        unnoticed, which no sum shows any more. by_name: so that the balance can tell which it was, which takes longer.
        """
        if doubted and self.changed:
            balance.fail(self.changed)
            return
        for part in self._parts:
            if part.reshaped:  # to read a storage that was cut short would end the process
                balance.fail(part.names)
                return
        still = [part for part in self._parts if not part.moved]
        if len(still) == len(self._parts) and not by_name:
            tensors = [t for part in self._parts for t in part.tensors]
            balance.compare([s for part in self._parts for s in part.sums], checksum(tensors))
            return
        for part in still:
            balance.compare(part.sums, checksum(part.tensors, part.start), part.names)
