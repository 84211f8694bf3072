"""A cell's checkpoint: all of its state, written atomically, read without running code from it."""

from __future__ import annotations

import io
import pickle
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as serialised
from torch import Tensor

from kdharness.errors import CellError
from kdharness.results.files import write_atomic

# Raised by hand when the form of a cell's state changes; a checkpoint of another form counts as none.
CHECKPOINT_SCHEMA = 4


def packed(state: Mapping[str, Any]) -> bytes:
    """A state as a checkpoint's content. CellError when it holds what cannot be saved."""
    buffer = io.BytesIO()
    try:
        torch.save({**state, "schema": CHECKPOINT_SCHEMA}, buffer)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise CellError("MethodError", f"its state cannot be saved: {error}") from error
    return buffer.getvalue()


@dataclass(eq=False)
class Checkpoint:
    """Saves a cell's state at most every `seconds`.

    device: the kind that the cell runs on. What another kind wrote counts as none: its generators cannot go on here,
    and the cell would be of no one fingerprint.
    """

    path: Path
    seconds: float
    device: str
    _last: float = field(default_factory=time.monotonic, init=False)

    def due(self) -> bool:
        return time.monotonic() - self._last >= self.seconds

    def save(self, content: bytes) -> None:
        """content: a state, packed."""
        write_atomic(self.path, content)
        self._last = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """The state, or None when there is none, or none that can be read and used here."""
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception:  # noqa: BLE001 - a damaged file makes the unpickler raise anything; the cell then starts anew
            return None
        if not isinstance(state, dict) or state.pop("schema", None) != CHECKPOINT_SCHEMA:
            return None
        return state if state.pop("device", None) == self.device else None

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


def packed_weights(weights: Mapping[str, Tensor]) -> bytes:
    """A network's tensors in the form of safetensors. CellError for a network that consists of more."""
    for name, value in weights.items():
        if not isinstance(value, Tensor):
            what = f"its network's weights cannot be kept: '{name}' of its state dict is no tensor"
            raise CellError("ModelError", what)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    content: bytes = serialised(tensors)
    return content


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Named arrays as a compressed .npz file."""
    write_atomic(path, lambda file: np.savez_compressed(file, **arrays))  # type: ignore[arg-type]
