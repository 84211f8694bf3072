"""What torch runs around every call of a process: hooks on all modules and optimisers, modes, other implementations."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import overrides
from torch.nn.modules import module as modules
from torch.optim import optimizer as optimizers
from torch.utils import _python_dispatch as dispatch
from torch.utils._device import DeviceContext

# A setting's name, how it is read, how it is put back.
Setting = tuple[str, Callable[[], Any], Callable[[Any], object]]

_TABLES = [
    table
    for owner in (modules, optimizers)
    for name, table in vars(owner).items()
    if name.startswith("_global_") and name.endswith("_hooks")
]


def _hooks() -> list[list[tuple[Any, Any]]]:
    return [list(table.items()) for table in _TABLES]


def _put_hooks(found: Sequence[Sequence[tuple[Any, Any]]]) -> None:
    for table, items in zip(_TABLES, found, strict=True):
        table.clear()
        table.update(items)
    if not any(found):  # the first hook says for good of which kind all are
        modules._global_is_full_backward_hook = None


def _function_modes() -> list[int]:
    """Their ids. The default device is such a mode, too, but a setting of its own."""
    stack = overrides._get_current_function_mode_stack()
    return [id(mode) for mode in stack if not isinstance(mode, DeviceContext)]


def _put_function_modes(found: Sequence[int]) -> None:
    stack = overrides._get_current_function_mode_stack()
    for _ in stack:
        overrides._pop_mode()
    for mode in stack:
        if id(mode) in found or isinstance(mode, DeviceContext):
            overrides._push_mode(mode)


def _put_dispatch_modes(found: int) -> None:
    while torch._C._len_torch_dispatch_stack() > found:
        dispatch._pop_mode()


def _saved_tensors_hooks() -> Any:
    return torch._C._autograd._top_saved_tensors_default_hooks(True)


def _put_saved_tensors_hooks(found: Any) -> None:
    while _saved_tensors_hooks() not in (found, None):
        torch._C._autograd._pop_saved_tensors_default_hooks()


_SMALL = [1e-310]


def _flushes() -> bool:
    """Whether the CPU takes the smallest numbers for zero, Python's too: there is no other way to ask."""
    return _SMALL[0] + _SMALL[0] == 0.0


def _implementations() -> frozenset[str]:
    """Of torch's own operators in Python, without those for tensors that hold nothing, which torch adds to itself."""
    known: set[str] = torch.library._impls
    if len(known) != _seen[0]:
        _seen[:] = [len(known), frozenset(n for n in known if n.startswith("aten/") and not n.endswith("/Meta"))]
    found: frozenset[str] = _seen[1]
    return found


def _put_implementations(found: frozenset[str]) -> None:
    """An implementation goes with the library that brought it."""
    new = _implementations() - found
    for thing in gc.get_objects():
        if type(thing) is torch.library.Library and not new.isdisjoint(thing._op_impls):
            thing._destroy()


# How many implementations there were when they were last looked through, and what was found.
_seen: list[Any] = [-1, frozenset()]


GLOBAL_HOOKS: tuple[Setting, ...] = (
    ("torch's hooks on all modules and optimisers", _hooks, _put_hooks),
    ("the modes that torch's functions are called in", _function_modes, _put_function_modes),
    ("the modes that torch's operators run in", torch._C._len_torch_dispatch_stack, _put_dispatch_modes),
    ("what torch does to tensors that it saves for gradients", _saved_tensors_hooks, _put_saved_tensors_hooks),
    ("whether the smallest numbers are flushed to zero", _flushes, torch.set_flush_denormal),
    ("how torch's own operators are implemented", _implementations, _put_implementations),
    ("NumPy's way with floating-point errors", np.geterr, lambda found: np.seterr(**found)),
)
