"""A cell's checkpoint: all of its state, written atomically, read without running code from it."""

from __future__ import annotations

import hashlib
import io
import pickle
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as serialised
from torch import Tensor

from kdharness.errors import CellError
from kdharness.results.files import write_atomic

# Raised by hand when the form of a cell's state changes; a checkpoint of another form counts as none.
CHECKPOINT_SCHEMA = 5


def packed(state: Mapping[str, Any]) -> bytes:
    """A state as a checkpoint's content, with a digest of it. CellError when it holds what cannot be saved."""
    buffer = io.BytesIO()
    try:
        torch.save({**state, "digest": content_digest(state), "schema": CHECKPOINT_SCHEMA}, buffer)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise CellError("MethodError", f"its state cannot be saved: {error}") from error
    return buffer.getvalue()


def content_digest(state: Mapping[str, Any]) -> str:
    """Hexadecimal SHA-256 of nested plain data and tensors: names, types, shapes and every bit."""
    found = hashlib.sha256()
    for part in _parts(state):
        found.update(part)
    return found.hexdigest()


def _parts(value: object) -> Iterator[bytes]:
    if isinstance(value, Tensor):
        bits = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        yield f"{value.dtype} {tuple(value.shape)}".encode()
        yield bits.numpy().tobytes()
    elif isinstance(value, Mapping):
        yield f"{{{len(value)}".encode()
        for key, each in value.items():
            yield repr(key).encode()
            yield from _parts(each)
    elif isinstance(value, list | tuple):
        yield f"[{len(value)}".encode()
        for each in value:
            yield from _parts(each)
    elif isinstance(value, set | frozenset):
        yield from _parts(sorted(map(repr, value)))
    else:
        yield repr(value).encode()


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

    def load(self, sources: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any] | None:
        """The state, or None when there is none, or none that can be read, is whole and can be used here.

        sources: by key of a cell that this one requires, the SHA-256 of its weights. What was taught by others counts
        as none.
        """
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
            schema, digest = state.pop("schema"), state.pop("digest")
            if schema != CHECKPOINT_SCHEMA or digest != content_digest(state):
                return None
        except Exception:  # noqa: BLE001 - a damaged file makes the unpickler raise anything; the cell then starts anew
            return None
        made_here = state.pop("device", None) == self.device
        return state if state.pop("sources", {}) == dict(sources) and made_here else None

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
