"""What keeps a failing cell from the others: its errors become its own, and what is shared is watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class CellError(Exception):
    """A cell's own failure, with a message for people; error_type names the kind in results.csv."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type


class Contained:
    """A block of plugin code. What it raises goes to `fail` instead of further up; afterwards the object is true if
    it did.

    The catch is broad because a plugin may raise anything, and only its own cell must end by it: sys.exit()
    included. KeyboardInterrupt passes.
    """

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        self._fail = fail
        self._failed = False

    def __enter__(self) -> Contained:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception | SystemExit):
            return False
        self._failed = True
        if isinstance(error, SystemExit):
            error = CellError("SystemExit", f"it called sys.exit({error.code!r})")
        self._fail(error)
        return True

    def __bool__(self) -> bool:
        return self._failed


class Watched:
    """Tensors that nobody may change in place, with their versions when they were made."""

    def __init__(self) -> None:
        self._seen: list[tuple[Tensor, int]] = []

    def add(self, tensors: Sequence[Tensor]) -> None:
        self._seen += [(t, t._version) for t in tensors]

    @property
    def changed(self) -> bool:
        return any(t._version != version for t, version in self._seen)


# What all cells of a process share: its name, how it is read, how it is put back.
_SETTINGS: tuple[tuple[str, Callable[[], Any], Callable[[Any], object]], ...] = (
    ("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    ("torch's default device", torch.get_default_device, lambda device: torch.set_default_device(None)),
    ("whether torch records gradients", torch.is_grad_enabled, torch.set_grad_enabled),
    ("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
    (
        "whether torch's algorithms are deterministic",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
)


@contextmanager
def settings_kept() -> Iterator[None]:
    """Torch's settings are after the block what they were before it. CellError names one that was changed."""
    before = [read() for _, read, _ in _SETTINGS]
    try:
        yield
    finally:
        changed = [name for (name, read, _), value in zip(_SETTINGS, before, strict=True) if read() != value]
        for (name, _, put), value in zip(_SETTINGS, before, strict=True):
            if name in changed:
                put(value)
        if changed:
            raise CellError("SharedStateChanged", f"it changed {changed[0]}, which other cells share")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a GPU or on the host."""
    text = str(error)
    signs = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(sign in text for sign in signs)
    )


def one_line(error: BaseException) -> str:
    """The error's message on one line of at most 500 characters."""
    text = " ".join(str(error).split())
    return text[:500] if text else type(error).__name__
