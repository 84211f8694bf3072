"""Memory: what a block of code holds at most, and errors that say that there is none left."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from kdharness.failures import message_of

SIGNS = ("out of memory", "can't allocate memory", "not enough memory")


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def says_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or of Python says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in message_of(error) for sign in SIGNS)


class MemoryMeter(TorchDispatchMode):
    """The most bytes that tensors made inside the block held at one time, whatever else the process holds.

    counts: whether tensors that are made now are among them.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts = True
        self.held = 0
        self.peak = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def _release(self, size: int) -> None:
        self.held -= size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.counts:
            return result
        before = {t.untyped_storage().data_ptr() for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage not in self._known and storage.data_ptr() not in before:
                    self._known.add(storage)
                    self.held += storage.nbytes()
                    weakref.finalize(storage, self._release, storage.nbytes()).atexit = False
        self.peak = max(self.peak, self.held)
        return result
