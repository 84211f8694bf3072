"""Networks' weights from files, read without running code from them."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.serialization import safe_globals

from kdharness.errors import UnknownName, UserError
from kdharness.plain_files import unpacked_bytes
from kdharness.weights.allowed import allowed
from kdharness.weights.layouts import KEYS, TEACHER_KEYS, StateDict, standing, state_dicts, views

# What messages call a file: of a teacher, and of what a network begins with.
TEACHER_FILE = "teacher file"
INITIAL_FILE = "weights file"

ADVICE = "save model.state_dict() alone"
CHOOSING = "FILE#KEY chooses"

# How torch names an object that it does not make.
REFUSED = re.compile(r"(?:GLOBAL|class|function|Trying to call reduce for unrecognized function) ([\w.]+)")
NAMES = 5

# The opcode that begins a pickle, before its protocol's number; torch writes 2, and reads no other without its code.
PROTO = b"\x80"
NEWEST_PROTOCOL = 2

# A file may unpack to so many times its size, and to so many bytes more: small ones hold names above all.
MOST_UNPACKED = 10
LEAST_UNPACKED = 2**20


@dataclass(frozen=True)
class WeightsFile:
    """What a file holds. what: what messages call it. found: state dicts, as they are to be tried."""

    path: Path
    what: str
    found: tuple[StateDict, ...]

    def renamed(self, rename: Callable[[str], str]) -> WeightsFile:
        """Its tensors under other names."""
        return replace(self, found=tuple(each.renamed(rename) for each in self.found))

    def standing(self, found: StateDict) -> tuple[int, ...]:
        """Less for what is likelier to be meant."""
        return standing(found.place, TEACHER_KEYS if self.what == TEACHER_FILE else KEYS)

    def __str__(self) -> str:
        return f"{self.what} {self.path}"


def load_weights(path: Path, what: str = TEACHER_FILE, chosen: str = "") -> WeightsFile:
    """The state dicts of a safetensors file, or of a PyTorch file. UserError for a file without any.

    chosen: the place of the one that is meant; "" for all.
    """
    try:
        content: object = load_file(path) if is_safetensors(path) else _unpickled(path)
    except FileNotFoundError:
        raise UserError(f"{what} {path} does not exist") from None
    except Exception as error:  # whatever a damaged or foreign file provokes, its name is what the user needs
        raise UserError(f"{what} {path} cannot be read as weights: {_reason(path, error)}") from error
    found = tuple(state_dicts(content))
    if not found:
        places = ", ".join(f"'{key}'" for key in KEYS[:4])
        raise UserError(f"{what} {path} holds no state dict of tensors: {_kind(content)}; {ADVICE}, or as {places}")
    return WeightsFile(path, what, _under(chosen, found, f"{what} {path}") if chosen else found)


def _under(chosen: str, found: tuple[StateDict, ...], file: str) -> tuple[StateDict, ...]:
    """Those of a place. UserError where there are none."""
    all_views = [view for each in found for view in views(each)]
    places = {view.place: "" for view in all_views if view.place}
    if chosen not in places:
        raise UnknownName("state dict", chosen, places, file)
    return tuple(view for view in all_views if view.place == chosen)


def is_safetensors(path: Path) -> bool:
    """By its content: a length in eight bytes, then JSON."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" or (path.suffix == ".safetensors" and not head.startswith(b"PK"))


def _check_size(path: Path) -> None:
    """UserError for an archive that is packed far below what it holds: torch packs nothing, weights hardly shrink."""
    size, unpacked = path.stat().st_size, unpacked_bytes(path)
    if unpacked > MOST_UNPACKED * size + LEAST_UNPACKED:
        raise UserError(f"it has {size} bytes and unpacks to {unpacked}, which no network's weights do")


def _unpickled(path: Path) -> object:
    _check_size(path)
    with warnings.catch_warnings(), safe_globals(allowed()):
        warnings.simplefilter("ignore")  # of torch, on pickles that it may not read
        return torch.load(path, map_location="cpu", weights_only=True)


def _reason(path: Path, error: Exception) -> str:
    """Why a file cannot be read, in words of our own: others' take several lines and advise to run its code."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    if not path.stat().st_size:
        return "it is empty"
    if refused := REFUSED.search(str(error)):
        return f"it holds an object of '{refused[1]}', which only code could make; {ADVICE}"
    if (protocol := _protocol(path)) > NEWEST_PROTOCOL:
        how = "load it where it was made, and torch.save its model.state_dict() without pickle_protocol"
        return f"it was pickled by protocol {protocol}, which is not read without running code; {how}"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                return f"it is a TorchScript program; {ADVICE}"
        # What torch says of steps that it does not take.
        if "operand" in str(error) or "Can only" in str(error):
            return f"it was pickled in a way that is not read; {ADVICE} with torch.save as it is"
    return "it is damaged, or neither a safetensors nor a PyTorch file"


def _protocol(path: Path) -> int:
    """By which protocol a file was pickled; 0 where it does not say."""
    with path.open("rb") as file:
        head = file.read(2)
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
            head = archive.open(pickles[0]).read(2) if pickles else b""
    return head[1] if head[:1] == PROTO and len(head) == 2 else 0


def _kind(content: object) -> str:
    """What a file holds in place of weights."""
    if not isinstance(content, dict):
        return f"it is a {type(content).__name__}"
    keys = [str(key)[:40] for key in content][:NAMES]
    more = f" and {len(content) - len(keys)} more" if len(content) > len(keys) else ""
    return "it is empty" if not keys else f"it has {', '.join(map(repr, keys))}{more}"
