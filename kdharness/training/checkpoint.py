"""A cell's checkpoint: all of its state, written atomically, read without running code from it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor


def save_atomically(path: Path, write: Any) -> None:
    """`write(temporary)` and then the file takes its name; a process that dies leaves the old file or the new one,
    never half of one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Checkpoint:
    """Saves a cell's state at most every `seconds`."""

    def __init__(self, path: Path, seconds: float) -> None:
        self.path = path
        self.seconds = seconds
        self._last = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self._last >= self.seconds

    def save(self, state: Mapping[str, Any]) -> None:
        save_atomically(self.path, lambda temporary: torch.save(dict(state), temporary))
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state, or None when there is none or it cannot be read."""
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception:  # noqa: BLE001 - a damaged file makes the unpickler raise anything; the cell then starts anew
            return None
        return state

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """A network's tensors as safetensors."""
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    save_atomically(path, lambda temporary: save_file(tensors, temporary))
