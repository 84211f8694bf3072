"""Sums of tensors' bits as integers: no write escapes them, and nothing waits for the device while they are made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# Each number counts by its place, so that moved values are noticed. The weights repeat after so many.
PERIOD = 1 << 22

# Odd weights: times any of them, no two numbers of 32 bits give the same one.
_FACTOR = -1640531535
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

# A subclass may hold no numbers, or hold them elsewhere.
_WITH_MEMORY = (Tensor, nn.Parameter)

_weights: dict[torch.device, Tensor] = {}


def checksum(tensors: Sequence[Tensor], start: int = 0) -> list[Tensor]:
    """The sum of the tensors' bits as 32-bit words, in parts: 0-d int64 on their device.

    start: the place of the first word, so that tensors can be summed together or one after the other.
    """
    return _sums_of([words(t) for t in tensors], start % PERIOD)


class Standing:
    """The bits of tensors that stay where they are: they are looked at as words once, which takes longer than summing
    them. Where one has other memory than it had, its words are looked up anew.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = list(tensors)
        self._places: list[int] = []
        self._words: list[Tensor] = []

    def checksum(self) -> list[Tensor]:
        """That of the tensors as they are now."""
        if not all(type(t) in _WITH_MEMORY for t in self._tensors):  # stand-ins have no place in memory
            return checksum(self._tensors)
        places = [t.data_ptr() for t in self._tensors]
        if places != self._places or not self._words:
            found = [words(t) for t in self._tensors]
            is_shared = [row.data_ptr() for row in found] == places
            self._places, self._words = (places, found) if is_shared else ([], [])
            return _sums_of(found, 0)
        return _sums_of(self._words, 0)


def _sums_of(rows: Sequence[Tensor], start: int) -> list[Tensor]:
    """start: the place of the first word."""
    sums: list[Tensor] = []
    row: list[Tensor] = []
    place = first = start
    for numbers, count in _cut(rows, place):
        if row and (place == PERIOD or numbers.device != row[0].device):
            sums.append(_sum(row, first))
            row, first = [], place % PERIOD
        row.append(numbers)
        place = place % PERIOD + count
    return [*sums, _sum(row, first)] if row else sums


def words(tensor: Tensor) -> Tensor:
    """The tensor's bits as integers of at most 32 bits, in one row."""
    flat = tensor.detach().reshape(-1)
    if flat.is_complex():
        flat = torch.view_as_real(flat).reshape(-1)
    if flat.stride() != (1,):  # of one number, or none, any stride will do, but not for a view as others
        flat = flat.clone(memory_format=torch.contiguous_format)
    flat = flat.view(_WORDS[flat.element_size()])
    return flat.view(torch.int32) if flat.dtype == torch.int64 else flat


def _cut(rows: Sequence[Tensor], place: int) -> Iterator[tuple[Tensor, int]]:
    """The rows, cut where the weights begin anew, and how long each is."""
    for row in rows:
        left = row.numel()
        while left:
            count = min(left, PERIOD - place)
            done = row.numel() - left
            yield (row if count == row.numel() else row[done : done + count]), count
            place, left = (place + count) % PERIOD, left - count


def _sum(rows: Sequence[Tensor], first: int) -> Tensor:
    """Of rows of one device that stand together from place `first` on."""
    row = torch.cat(list(rows)) if len(rows) > 1 else rows[0]
    end = first + row.numel()
    weights = _weights_for(row, end)[first:end]
    # A copy is multiplied in place: new memory takes longer than the product.
    counted = row.mul_(weights) if len(rows) > 1 and row.dtype == torch.int32 else row * weights
    return counted.sum(dtype=torch.int64)


def _weights_for(row: Tensor, count: int) -> Tensor:
    """At least so many weights, int32, on the row's device. They grow with what is asked."""
    size = 1 << (count - 1).bit_length()
    if type(row) is not Tensor:  # a stand-in without storage is of its own kind, as are all that it meets
        return _made(size, row.device)
    known = _weights.get(row.device)
    if known is None or known.numel() < count:
        known = _weights[row.device] = _made(size, row.device)
    return known


def _made(size: int, device: torch.device) -> Tensor:
    return torch.arange(size, dtype=torch.int32, device=device) * _FACTOR | 1


@contextmanager
def weights_apart() -> Iterator[None]:
    """What is summed in here has weights of its own: those of one fake device serve no other."""
    held = dict(_weights)
    _weights.clear()
    try:
        yield
    finally:
        _weights.clear()
        _weights.update(held)


class Balance:
    """Sums of what cells share, before and after they had it, and numbers with their values.

    Nothing waits for the device until `differs` is asked. where: what it found then, '' where nobody said.
    """

    def __init__(self) -> None:
        self.where = ""
        self._clear()

    def _clear(self) -> None:
        self._known: list[str] = []
        self._sums: list[tuple[Sequence[Tensor], Sequence[Tensor], str]] = []
        self._numbers: list[tuple[Tensor, float, str]] = []

    def compare(self, before: Sequence[Tensor], after: Sequence[Tensor], name: str = "") -> None:
        """Two checksums that are to be one. name: of what was summed."""
        self._sums.append((before, after, name))

    def expect(self, number: Tensor, value: float, name: str = "") -> None:
        """A 0-d tensor that is to have this value."""
        self._numbers.append((number, value, name))

    def fail(self, name: str = "") -> None:
        """Something differs in a way that no sum shows: its shape, its storage."""
        self._known.append(name)

    def differs(self) -> bool:
        """Whether anything was changed since the last time. Waits for the device."""
        found = [*self._known, *self._other_sums(), *self._other_numbers()]
        self.where = next(filter(None, found), "")
        self._clear()
        return bool(found)

    def _other_sums(self) -> Iterator[str]:
        values = _values([t for before, after, _ in self._sums for t in (*before, *after)])
        for before, after, name in self._sums:
            if (sum(values[id(t)] for t in before) - sum(values[id(t)] for t in after)) % (1 << 64):
                yield name

    def _other_numbers(self) -> Iterator[str]:
        values = _values([t for t, _, _ in self._numbers])
        for number, value, name in self._numbers:
            if values[id(number)] != torch.tensor(value, dtype=number.dtype).item():
                yield name


def _values(tensors: Sequence[Tensor]) -> dict[int, float]:
    """By id, what 0-d tensors hold; one copy from the device for all of a kind."""
    kinds: dict[tuple[torch.device, torch.dtype], dict[int, Tensor]] = defaultdict(dict)
    for tensor in tensors:
        kinds[tensor.device, tensor.dtype][id(tensor)] = tensor
    found: dict[int, float] = {}
    for same in kinds.values():
        found.update(zip(same, torch.stack(list(same.values())).tolist(), strict=True))
    return found
