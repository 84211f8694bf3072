"""What a piece of training dispatches: how many operations, and where it waits for the device."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.weak import WeakIdKeyDictionary

# Operators whose result the host looks at, or whose size depends on data.
WAITING = frozenset(
    {
        "_local_scalar_dense",
        "_unique",
        "_unique2",
        "bincount",
        "equal",
        "is_nonzero",
        "masked_select",
        "nonzero",
        "nonzero_numpy",
        "unique_consecutive",
        "unique_dim",
    }
)
# Code in these folders is no plugin's.
_NO_PLUGINS = (Path(torch.__file__).parent, Path(__file__).parents[1])
INDEXING = frozenset({"index", "index_put", "index_put_", "_index_put_impl_"})


def operator_name(operator: Any) -> str:
    """ "add_" of aten.add_.Tensor."""
    name: str = operator._schema.name
    return name.partition("::")[2]


def tensors_of(*values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_iter(values) if isinstance(leaf, Tensor)]


def waits(operator: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether a device's queue has to be empty before the host can go on."""
    name = operator_name(operator)
    if name in INDEXING:  # by a mask: as many rows as there are true values
        return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    if name == "repeat_interleave":  # unless it is told how many there will be
        return kwargs.get("output_size") is None and bool(tensors_of(args[-1]))
    return name in WAITING


def generators_of(*values: Any) -> list[torch.Generator]:
    return [leaf for leaf in tree_iter(values) if isinstance(leaf, torch.Generator)]


class Operations(TorchDispatchMode):
    """Counts the operations that are dispatched inside the block, views aside, and notes where it waits.

    read_backs: names of operators that would wait for a device. `tolist` and `numpy` dispatch nothing on the CPU: only
    the rehearsals notice them. To look at what came from a CPU generator waits for nothing. Nor does an optimiser's
    step, which keeps its counts on the host here, and on the device where it is fused.
    places: of each, 'file:line' of the innermost code that is neither torch's nor the harness's; '' for none.
    quiet: while it is true, nothing is noted.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0
        self.read_backs: list[str] = []
        self.places: list[str] = []
        self.quiet = False
        self._on_host: Any = WeakIdKeyDictionary()
        self._stepping = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = tensors_of(args, kwargs)
        on_host = all(t in self._on_host for t in given) if given else bool(generators_of(args, kwargs))
        if not (on_host or self._stepping or self.quiet) and waits(func, args, kwargs):
            self.read_backs.append(operator_name(func))
            self.places.append(_place())
        self.count += not func.is_view
        result = func(*args, **kwargs)
        if on_host:
            for tensor in tensors_of(result):
                self._on_host[tensor] = None
        return result

    @property
    def waited(self) -> str:
        """What waited, and where; each once."""
        each = (
            f"{name} in {place}" if place else name for name, place in zip(self.read_backs, self.places, strict=True)
        )
        return ", ".join(dict.fromkeys(each))

    def step_begins(self, *of_the_step: object) -> None:
        self._stepping = True

    def step_ends(self, *of_the_step: object) -> None:
        self._stepping = False


def _place() -> str:
    """Where the plugin's code stands that called."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if not any(path.is_relative_to(folder) for folder in _NO_PLUGINS):
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


class _OneHot(TorchFunctionMode):
    """`F.one_hot` with a number of classes looks at its targets on the CPU alone, to check their range."""

    def __init__(self, found: Operations) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.found.quiet = func is F.one_hot and (len(args) > 1 or "num_classes" in kwargs)
        try:
            return func(*args, **kwargs)
        finally:
            self.found.quiet = False


@contextmanager
def operations() -> Iterator[Operations]:
    """Counts what the block dispatches."""
    found = Operations()
    with ExitStack() as stack:
        for handle in (
            register_optimizer_step_pre_hook(found.step_begins),
            register_optimizer_step_post_hook(found.step_ends),
        ):
            stack.callback(handle.remove)
        stack.enter_context(found)
        stack.enter_context(_OneHot(found))
        yield found
