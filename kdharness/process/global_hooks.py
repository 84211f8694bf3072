"""What torch runs around every call of a process: hooks on all modules and optimisers, modes, other implementations."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path
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


_NO_HOOKS: list[list[tuple[Any, Any]]] = [[] for _ in _TABLES]


def _hooks() -> list[list[tuple[Any, Any]]]:
    return [list(table.items()) for table in _TABLES] if any(_TABLES) else _NO_HOOKS


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
    """Of torch's operators in Python, without torch's own: parts of it add some when they are first used."""
    known = torch.library._impls
    if len(known) != len(_seen):
        new = known - _seen
        _foreign.update(name for name in new if name.startswith("aten/") and _is_foreign(name))
        _seen.clear()
        _seen.update(known)
        _foreign.intersection_update(known)
    return frozenset(_foreign)


def _is_foreign(name: str) -> bool:
    _, operator, key = name.split("/")
    lines = torch._C._dispatch_dump(f"aten::{operator}").splitlines()
    places = [line.partition("registered at ")[2] for line in lines if line.startswith((f"{key}: ", f"{key}[alias]: "))]
    return not any(place.startswith(_TORCH) for place in places)


def _put_implementations(found: frozenset[str]) -> None:
    """An implementation goes with the library that brought it."""
    new = _implementations() - found
    for thing in gc.get_objects():
        if type(thing) is torch.library.Library and not new.isdisjoint(thing._op_impls):
            thing._destroy()


_TORCH = str(Path(torch.__file__).parent)
# Implementations that were looked at, and those that are not torch's own.
_seen: set[str] = set()
_foreign: set[str] = set()


GLOBAL_HOOKS: tuple[Setting, ...] = (
    ("torch's hooks on all modules and optimisers", _hooks, _put_hooks),
    ("the modes that torch's functions are called in", _function_modes, _put_function_modes),
    ("the modes that torch's operators run in", torch._C._len_torch_dispatch_stack, _put_dispatch_modes),
    ("what torch does to tensors that it saves for gradients", _saved_tensors_hooks, _put_saved_tensors_hooks),
    ("whether the smallest numbers are flushed to zero", _flushes, torch.set_flush_denormal),
    ("how torch's own operators are implemented", _implementations, _put_implementations),
    ("NumPy's way with floating-point errors", np.geterr, lambda found: np.seterr(**found)),
)
