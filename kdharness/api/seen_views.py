"""What there is for each view of a method, in the order declared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar, overload

T = TypeVar("T")


class SeenViews(Sequence[T]):
    """Made when it is read. entries: for each view what makes it, or why there is nothing (an AttributeError)."""

    def __init__(self, entries: Iterable[Callable[[], T] | str]) -> None:
        self._entries = tuple(entries)

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, number: int) -> T: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[T]: ...
    def __getitem__(self, number: int | slice) -> T | Sequence[T]:
        if isinstance(number, slice):
            return SeenViews(self._entries[number])
        if not -len(self._entries) <= number < len(self._entries):
            declared = f"the method declares {len(self._entries)}"
            raise IndexError(f"there is no views[{number}]: {declared}, in views of its reads = Reads(views=(...))")
        entry = self._entries[number]
        if isinstance(entry, str):
            raise AttributeError(entry)
        return entry()


def not_shown(number: int, view: str, role: str) -> str:
    """Why there is nothing of a view. role: "student" or "teacher"."""
    return f"views[{number}] is not shown to the {role}: its View('{view}', {role}=False) says so"
