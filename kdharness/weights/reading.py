"""Networks' weights from files: read without running code from them, and checked against the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from kdharness.api.staged import StagedModel
from kdharness.errors import UserError
from kdharness.plain_files import unpacked_bytes

# What messages call a file, if nothing else is said.
TEACHER_FILE = "teacher file"

# A file may unpack to so many times its size, and to so many bytes more: small ones hold names above all.
MOST_UNPACKED = 10
LEAST_UNPACKED = 2**20


def load_weights(path: Path, what: str = TEACHER_FILE) -> dict[str, Tensor]:
    """A network's tensors from a .safetensors file, or from a PyTorch file read without running code from it.

    A PyTorch file may hold the state dict itself, or have it under "model", "state_dict" or "student". A prefix
    "module." is taken off. what: what messages call the file.
    """
    try:
        if path.suffix == ".safetensors":
            weights: dict[str, Tensor] = load_file(path)
            return weights
        _check_size(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist") from None
    except Exception as error:  # whatever a damaged or foreign file provokes, its name is what the user needs
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise UserError(f"{what} {path} cannot be read as weights: {first}") from error
    for name in ("model", "state_dict", "student"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError(f"{what} {path} holds no state dict of tensors")
    return {key.removeprefix("module."): value for key, value in content.items()}


def _check_size(path: Path) -> None:
    """UserError for an archive that is packed far below what it holds: torch packs nothing, weights hardly shrink."""
    size, unpacked = path.stat().st_size, unpacked_bytes(path)
    if unpacked > MOST_UNPACKED * size + LEAST_UNPACKED:
        raise UserError(f"it has {size} bytes and unpacks to {unpacked}, which no network's weights do")


def fill(
    model: StagedModel, weights: Mapping[str, Tensor], path: Path, what: str = TEACHER_FILE, but_for: str = ""
) -> None:
    """Loads `weights` into the network. UserError names the first tensor that is missing, extra or of another shape.

    what: what messages call the file. but_for: path of a module that is left as it is.
    """
    unfit = f"{what} {path} does not fit model '{model.spec.name}'"
    expected, given = (
        {name: tensor for name, tensor in tensors.items() if not (but_for and name.startswith(f"{but_for}."))}
        for tensors in (model.network.state_dict(), weights)
    )
    counters = {k for k in expected if k.endswith("num_batches_tracked")}
    for name in sorted(set(expected) - set(given) - counters):
        raise UserError(f"{unfit}: it lacks '{name}'")
    for name in sorted(set(given) - set(expected)):
        raise UserError(f"{unfit}: '{name}' is not part of it")
    for name, tensor in given.items():
        if tensor.shape != expected[name].shape:
            have, want = list(tensor.shape), list(expected[name].shape)
            classifier = name.rpartition(".")[0] == model.spec.classifier and what != TEACHER_FILE
            hint = "; new_classifier = true leaves its classifier as it is drawn" if classifier else ""
            raise UserError(f"{unfit}: '{name}' is {have}, not {want}{hint}")
    model.network.load_state_dict(given, strict=False)
