"""Settings of the whole process, torch's and others, which no cell may change under the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import Any

import torch
from torch.backends import cudnn
from torch.nn import functional

from kdharness.disk import cannot_write
from kdharness.errors import CellError, DeviceLost
from kdharness.process.backend_flags import FLAGS
from kdharness.process.global_hooks import Setting
from kdharness.process.surroundings import PROCESS_SETTINGS

_CPU = torch.device("cpu")


def _default_device() -> torch.device:
    """Torch's default device. Torch 2.9's own function raises once a default was set and taken back."""
    thread = getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None)
    if not torch._C._len_torch_function_stack() and getattr(thread, "device_context", None) is None:
        return _CPU  # as torch's own function says, which takes ten times as long
    try:
        return torch.get_default_device()
    except AttributeError:
        return _CPU


def _choose_algorithms(benchmark: bool, deterministic: bool) -> None:
    cudnn.benchmark, cudnn.deterministic = benchmark, deterministic


def _products() -> tuple[str, str]:
    """How float32 is multiplied: for all backends (since torch 2.9; "none" leaves it to each), and in matrices."""
    everywhere = getattr(torch.backends, "fp32_precision", "none")
    try:
        return everywhere, torch.get_float32_matmul_precision()
    except RuntimeError:  # what was set for all backends goes against what was set for one
        return everywhere, "mixed"


def _multiply(everywhere: str, matrices: str) -> None:
    if hasattr(torch.backends, "fp32_precision"):
        torch.backends.fp32_precision = everywhere
    if _products()[1] != matrices:
        torch.set_float32_matmul_precision(matrices)


# Of these losses are made, so that they are looked at after every step.
_FUNCTIONS = [name for name, value in vars(functional).items() if callable(value)]
_functions_of = itemgetter(*_FUNCTIONS)


def _functions() -> tuple[Any, ...]:
    """None for one that was taken away."""
    try:
        found: tuple[Any, ...] = _functions_of(vars(functional))
    except KeyError:
        return tuple(map(vars(functional).get, _FUNCTIONS))
    return found


def _put_functions(functions: Sequence[Any]) -> None:
    vars(functional).update(zip(_FUNCTIONS, functions, strict=True))


# What all cells of a process share.
_SETTINGS: tuple[Setting, ...] = (
    ("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    ("torch's default device", _default_device, lambda device: torch.set_default_device(None)),
    ("whether torch records gradients", torch.is_grad_enabled, torch.set_grad_enabled),
    ("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
    # Three states: no, with a warning where there is none, yes.
    (
        "whether torch's algorithms are deterministic",
        torch.get_deterministic_debug_mode,
        torch.set_deterministic_debug_mode,
    ),
    (
        "how cuDNN chooses its algorithms",
        lambda: (cudnn.benchmark, cudnn.deterministic),
        lambda chosen: _choose_algorithms(*chosen),
    ),
    *FLAGS,
    ("the functions of torch.nn.functional", _functions, _put_functions),
    ("how exactly torch multiplies float32", _products, lambda found: _multiply(*found)),
    *PROCESS_SETTINGS,
)


# What cells changed, and what was put back.
_spoils: list[str] = []


def spoiled() -> str:
    """What a cell of this process changed that all cells share, '' for nothing. It was put back, as far as one can see;
    another process is safer.
    """
    return _spoils[0] if _spoils else ""


def note_spoiled(what: str) -> None:
    _spoils.append(what)


def settings_as_torch_begins() -> None:
    """Takes back what plugins may have set while they were loaded. The number of threads is the device's to say."""
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.set_deterministic_debug_mode("default")
    _choose_algorithms(benchmark=False, deterministic=False)
    _multiply("none", "highest")


@contextmanager
def settings_kept() -> Iterator[None]:
    """The settings are after the block what they were before it. CellError names one that was changed, unless the
    block raises: its own error then says so in a note. A limit of its own is no full disk.
    """
    before = _values()
    try:
        yield
    except BaseException as error:
        changed = _put_back(before)
        if changed and cannot_write(error):
            # Not from the error itself, which says that a disk is full.
            where = CellError("SharedStateChanged", "here it could not write").with_traceback(error.__traceback__)
            raise _changed(changed[0]) from where
        for name in changed:
            error.add_note(f"before that, it changed {name}, which other cells share")
        raise
    for name in _put_back(before):
        raise _changed(name)


def _changed(name: str) -> CellError:
    return CellError("SharedStateChanged", f"it changed {name}, which other cells share")


def _values() -> list[Any]:
    return [read() for _, read, _ in _SETTINGS]


def _put_back(before: Sequence[Any]) -> list[str]:
    """The names of settings that are not what they were. They are again."""
    now = _values()
    if before == now:
        return []
    changed = [name for (name, _, _), was, found in zip(_SETTINGS, before, now, strict=True) if was != found]
    for (name, _, put), value in zip(_SETTINGS, before, strict=True):
        if name in changed:
            put(value)
            note_spoiled(name)
    for (name, read, _), value in zip(_SETTINGS, before, strict=True):
        if name in changed and value != read():
            raise DeviceLost(f"a cell changed {name}, and it cannot be put back")
    return changed
