"""Rows of numbers on disk, filled in any order by several processes, each row with a sum that says it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
Numbers = NDArray[np.int64]
Found = NDArray[np.bool_]

_SUM = np.dtype("<u8")
_VALUE = np.dtype("<f4")
# An odd number whose multiples are spread over 64 bits.
_SPREAD = 0x9E3779B97F4A7C15
_ODD = 0xBF58476D1CE4E5B9
_WORD = 1 << 64


class Sheet:
    """`count` rows of `width` float32 numbers, of which some are there.

    Beside the numbers lies a sum per row. It goes over the row's bits, its number and `name`: a row that was written
    half, that another file's were put in place of, or that was changed is not there. Two processes may write one row at
    one time if they write the same.

    path: of the numbers; the sums lie beside it. name: of what the rows are. emptied: whether the files were of another
    size when they were opened. damaged: rows that were found to be other than they were written.
    """

    def __init__(self, path: Path, name: str, count: int, width: int) -> None:
        self.path = path
        self.count = count
        self.width = width
        self.damaged = 0
        salt = hashlib.sha256(f"{name} {path.name} {count} {width}".encode()).digest()
        self._salt = np.uint64(int.from_bytes(salt[:8], "little"))
        self._weights = _weights(width)
        self._sizes = {path: count * width * _VALUE.itemsize, self.sums_path: count * _SUM.itemsize}
        # What a file of another size holds was cut off, or is something else. One that is empty was only just made.
        self.emptied = any(each.exists() and each.stat().st_size not in (0, size) for each, size in self._sizes.items())
        for each, size in self._sizes.items():
            _make(each, size, self.emptied)

    @property
    def sums_path(self) -> Path:
        return self.path.with_suffix(".sums")

    def read(self, rows: Numbers) -> tuple[Rows, Found]:
        """The rows of these numbers [n, width], and which of them are there; of others the numbers mean nothing."""
        if not self._whole():
            return np.zeros((len(rows), self.width), np.float32), np.zeros(len(rows), bool)
        numbers = np.memmap(self.path, _VALUE, "r", shape=(self.count, self.width))
        sums = np.memmap(self.sums_path, _SUM, "r", shape=(self.count,))
        values, written = np.asarray(numbers[rows], np.float32), sums[rows]
        found = written == self._summed(rows, values)
        self.damaged += int(((written != 0) & ~found).sum())
        return values, found

    def written(self, rows: Numbers) -> Found:
        """Which rows somebody wrote, whole or not."""
        if not self._whole():
            return np.zeros(len(rows), bool)
        return np.asarray(np.memmap(self.sums_path, _SUM, "r", shape=(self.count,))[rows] != 0)

    def write(self, rows: Numbers, values: Rows) -> None:
        """Puts rows down, the sums last. OSError where the disk takes no more."""
        order = np.argsort(rows, kind="stable")
        rows, values = rows[order], np.ascontiguousarray(values[order], _VALUE)
        sums = self._summed(rows, values).astype(_SUM)
        for path, content in ((self.path, values), (self.sums_path, sums)):
            _put(path, rows, content)

    def _whole(self) -> bool:
        """Whether both files are as long as they are to be: to read a shorter one would end the process."""
        try:
            return all(path.stat().st_size == size for path, size in self._sizes.items())
        except OSError:
            return False

    def _summed(self, rows: Numbers, values: Rows) -> NDArray[np.uint64]:
        """Never 0, which stands for a row that is not there."""
        bits = np.ascontiguousarray(values, _VALUE).view("<u4").astype(np.uint64)
        with np.errstate(over="ignore"):
            sums = (bits * self._weights).sum(1, dtype=np.uint64)
            sums += rows.astype(np.uint64) * np.uint64(_ODD) + self._salt
            sums ^= sums >> np.uint64(29)
        return np.where(sums == 0, np.uint64(1), sums)


def _weights(width: int) -> NDArray[np.uint64]:
    """An odd weight for each place."""
    return np.array([(place * _SPREAD | 1) % _WORD for place in range(1, width + 1)], np.uint64)


def _make(path: Path, size: int, anew: bool) -> None:
    """A file of that size. Where nothing is written it takes no room. OSError where there can be none."""
    with path.open("r+b" if path.exists() else "xb") as file:
        if anew:
            file.truncate(0)
        file.truncate(size)


def _runs(rows: Numbers) -> Iterator[tuple[int, int]]:
    """Where rows follow each other without a gap: start and end, in sorted rows."""
    if len(rows):
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        yield from zip([0, *breaks.tolist()], [*breaks.tolist(), len(rows)], strict=True)


def _put(path: Path, rows: Numbers, content: NDArray[np.generic]) -> None:
    """Puts what belongs to sorted rows at their places."""
    with path.open("r+b") as file:
        for start, end in _runs(rows):
            file.seek(int(rows[start]) * content[0].nbytes)
            file.write(content[start:end].tobytes())
