"""Where a training script puts a network's tensors in its file, and what it calls them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from torch import Tensor

from kdharness.weights.values import as_tensor, kind_of

# Where state dicts lie, the likeliest first: one that is alone in its file is found whatever it is called. A moving
# average comes after the plain weights.
KEYS = (
    "model", "state_dict", "model_state_dict", "net", "network", "teacher", "model_t", "student", "model_s",
    "online_model", "ema", "model_ema", "ema_model", "ema_state_dict", "state_dict_ema", "model_ema_state_dict",
)  # fmt: skip

# In a file of a teacher the teacher goes before all.
TEACHER_KEYS = ("teacher", "model_t", *(key for key in KEYS if key not in ("teacher", "model_t")))

# What wrappers put before names: of several devices, of a compiler, of a training module.
PREFIXES = ("module.", "_orig_mod.", "model.")

# Wrappers may stand within a name too: "layer1._orig_mod.0.weight".
WRAPPERS = ("module", "_orig_mod")

# Networks that are kept in one state dict beside others: "student.conv1.weight".
HEADS = ("teacher.", "student.", "net.", "network.", "online_model.", "ema.", "ema_model.")

# What tools and torch keep beside weights, which is no part of a network unless it says so itself.
BOOKKEEPING = ("n_averaged", "total_ops", "total_params", "_extra_state")

DEEPEST = 4

Found = TypeVar("Found")


@dataclass(frozen=True)
class StateDict:
    """A network's tensors.

    place: the keys that lead to them, joined by "."; "" for the file itself.
    others: what stands among them and is no tensor, by name: what it is.
    """

    place: str
    tensors: Mapping[str, Tensor]
    others: Mapping[str, str] = field(default_factory=dict)

    def renamed(self, rename: Callable[[str], str]) -> StateDict:
        tensors = {rename(name): tensor for name, tensor in self.tensors.items()}
        return StateDict(self.place, tensors, {rename(name): kind for name, kind in self.others.items()})


def state_dicts(content: object, place: str = "", depth: int = 0) -> Iterator[StateDict]:
    """All that a file holds, as they are to be tried."""
    if not isinstance(content, Mapping) or depth > DEEPEST:
        return
    found = _state_dict(content, place)
    if found is not None:
        yield found
        if not found.others:
            return
    known = [key for key in KEYS if key in content]
    for key in (*known, *(key for key in content if isinstance(key, str) and key not in known)):
        yield from state_dicts(content[key], f"{place}.{key}".lstrip("."), depth + 1)


def _state_dict(content: Mapping[object, object], place: str) -> StateDict | None:
    """The mapping as a state dict, if most that it holds are tensors under names."""
    tensors: dict[str, Tensor] = {}
    others: dict[str, str] = {}
    for key, value in content.items():
        tensor = as_tensor(str(key), value)
        if isinstance(key, str) and tensor is not None:
            tensors[key] = tensor
        elif not is_bookkeeping(str(key)):
            others[str(key)] = kind_of(value)
    return StateDict(place, tensors, others) if len(tensors) > len(others) else None


def standing(place: str, keys: tuple[str, ...]) -> tuple[int, ...]:
    """How likely a place is: less for what is likelier, the same for places of names that nobody knows."""
    return tuple(keys.index(key) if key in keys else len(keys) for key in place.split("."))


def views(found: StateDict) -> Iterator[StateDict]:
    """The state dict, then each network that it holds beside others."""
    yield found
    for head in HEADS:
        inside = _under(head, found.tensors)
        if inside:
            yield StateDict(f"{found.place}.{head[:-1]}".lstrip("."), inside, _under(head, found.others))


def _under(head: str, named: Mapping[str, Found]) -> dict[str, Found]:
    """Of what has names, that which stands under a head, without it."""
    bare = {plain_name(name, {}): value for name, value in named.items()}
    return {name.removeprefix(head): value for name, value in bare.items() if name.startswith(head)}


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


def is_bookkeeping(name: str) -> bool:
    return name.rpartition(".")[2] in BOOKKEEPING
