"""Torch's process-wide settings, which no cell may change under the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from kdharness.errors import CellError


def _default_device() -> torch.device:
    """Torch's default device. Torch 2.9's own function raises once a default was set and taken back."""
    try:
        return torch.get_default_device()
    except AttributeError:
        return torch.device("cpu")


# What all cells of a process share: its name, how it is read, how it is put back.
_SETTINGS: tuple[tuple[str, Callable[[], Any], Callable[[Any], object]], ...] = (
    ("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
    ("torch's default device", _default_device, lambda device: torch.set_default_device(None)),
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
