"""Where a training script puts a network's tensors in its file, and what it calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

# Where state dicts lie, in the order in which they are tried: one that is alone in its file is found whatever it is
# called. A moving average comes after the plain weights.
KEYS = (
    "model", "state_dict", "model_state_dict", "net", "network", "teacher", "student", "ema", "model_ema", "ema_model",
    "ema_state_dict", "state_dict_ema", "model_ema_state_dict",
)  # fmt: skip

# What wrappers put before names: of several devices, of a compiler, of a training module.
PREFIXES = ("module.", "_orig_mod.", "model.")

# Wrappers may stand within a name too: "layer1._orig_mod.0.weight".
WRAPPERS = ("module", "_orig_mod")

# Networks that are kept in one state dict beside others: "student.conv1.weight".
HEADS = ("teacher.", "student.", "net.", "network.", "ema.", "ema_model.")

# Counters of tools, which are no part of any network.
COUNTERS = ("n_averaged", "total_ops", "total_params")

DEEPEST = 4


@dataclass(frozen=True)
class StateDict:
    """A network's tensors. place: the keys that lead to them, joined by "."; "" for the file itself."""

    place: str
    tensors: Mapping[str, Tensor]

    def renamed(self, rename: Callable[[str], str]) -> StateDict:
        return StateDict(self.place, {rename(name): tensor for name, tensor in self.tensors.items()})


def state_dicts(content: object, place: str = "", depth: int = 0) -> Iterator[StateDict]:
    """All that a file holds, as they are to be tried."""
    if not isinstance(content, Mapping) or depth > DEEPEST:
        return
    if content and all(isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()):
        yield StateDict(place, content)
        return
    known = [key for key in KEYS if key in content]
    for key in (*known, *(key for key in content if isinstance(key, str) and key not in known)):
        yield from state_dicts(content[key], f"{place}.{key}".lstrip("."), depth + 1)


def views(found: StateDict) -> Iterator[StateDict]:
    """The state dict, then each network that it holds beside others."""
    yield found
    for head in HEADS:
        inside = {}
        for name, tensor in found.tensors.items():
            bare = plain_name(name, {})
            if bare.startswith(head):
                inside[bare.removeprefix(head)] = tensor
        if inside:
            yield StateDict(f"{found.place}.{head[:-1]}".lstrip("."), inside)


def plain_name(name: str, expected: Mapping[str, Tensor]) -> str:
    """The name as a network of these tensors has it; without any wrapper's prefix where it has none such."""
    while True:
        within = ".".join(part for part in name.split(".") if part not in WRAPPERS)
        if name in expected or within in expected:
            return name if name in expected else within
        prefix = next((each for each in PREFIXES if name.startswith(each)), "")
        if not prefix:
            return name
        name = name.removeprefix(prefix)


def is_counter(name: str) -> bool:
    return name.rpartition(".")[2] in COUNTERS
