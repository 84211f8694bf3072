"""Views of the images of an epoch: random pictures of them, drawn ahead on the CPU and made on the device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from kdharness.api.specs import ViewInfo, ViewSpec
from kdharness.device.device import Device
from kdharness.device.random import draw_marks
from kdharness.errors import CellError


@dataclass(frozen=True)
class ViewKey:
    """A view as a pass has it: cells that ask for an equal one share it.

    name: of an installed view.
    occurrence: 0 for the first of this name that a method reads.
    """

    name: str
    occurrence: int = 0


def view_keys(names: Iterable[str]) -> tuple[ViewKey, ...]:
    """Of the views that a method reads, in its order."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        found.append(ViewKey(name, seen[name]))
        seen[name] += 1
    return tuple(found)


class EpochView:
    """One view in one epoch, with its draws for n samples.

    seed: of all that it draws.
    """

    def __init__(self, spec: ViewSpec, info: ViewInfo, n: int, seed: int, device: Device) -> None:
        self.spec = spec
        self.info = info
        self.n = n
        self.generators = device.default_generators()
        with self._drawing_nothing("draws() draws from a default generator, and not from the one it is given"):
            drawn = spec.draws(n, torch.Generator().manual_seed(seed))
        # Copies, here and for each batch: whatever the view writes into what it was given or keeps, other batches have
        # their draws.
        checked = self._checked(drawn, n)
        self._draws = {name: tensor.detach().to(device.torch, copy=True) for name, tensor in checked.items()}

    def images(self, images: Tensor, start: int, end: int) -> Tensor:
        """The view, uint8, of `images`, which are the samples from `start` to `end`. It may change them in place."""
        return self._applied(images, {name: tensor[start:end].clone() for name, tensor in self._draws.items()})

    @property
    def count(self) -> int:
        """How many pictures there are of an image; 0 where they are not counted."""
        return 0 if self.spec.finite is None else self.spec.finite.count(self.info)

    def numbers(self) -> Tensor:
        """The number of each sample's picture, int64 [n] on the CPU. CellError for what is none."""
        finite, count = self.spec.finite, self.count
        if finite is None or finite.number is None:
            return torch.zeros(self.n, dtype=torch.int64)
        with self._drawing_nothing("finite.number() draws from a default generator"):
            numbers = finite.number({name: tensor.clone() for name, tensor in self._draws.items()}, self.info).cpu()
        if numbers.dtype != torch.int64 or numbers.shape != (self.n,):
            raise self._error(f"finite.number() must give int64 [{self.n}], got {_shown(numbers)}")
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < count:
            raise self._error(f"finite.number() gives {int(numbers.max())}, and there are {count} pictures")
        return numbers

    def pictures(self, images: Tensor, numbers: Tensor) -> Tensor:
        """The pictures of these numbers, int64 [n], of `images`, uint8 [n, C, H, W], on their device."""
        finite = self.spec.finite
        if finite is None or finite.draws is None:
            drawn = self.spec.draws(len(numbers), torch.Generator().manual_seed(0))
        else:
            drawn = finite.draws(numbers.to(images.device), self.info)
        checked = self._checked(drawn, len(numbers))
        return self._applied(images, {name: tensor.to(images.device) for name, tensor in checked.items()})

    def _applied(self, images: Tensor, draws: Mapping[str, Tensor]) -> Tensor:
        copies = list(draws.values())
        before = sum(tensor._version for tensor in copies)
        with self._drawing_nothing("apply() draws from a default generator: what is random belongs in draws()"):
            made = self.spec.apply(images, draws, self.info)
        if sum(tensor._version for tensor in copies) != before:
            raise self._error("apply() changes its draws in place")
        shape = (*images.shape[:2], *self.info.size)
        if not isinstance(made, Tensor) or made.dtype != torch.uint8 or tuple(made.shape) != shape:
            raise self._error(f"apply() must give uint8 {list(shape)}, got {_shown(made)}")
        if made.device != images.device:
            raise self._error(f"apply() must give images on {images.device}, got {made.device}")
        return made

    @contextmanager
    def _drawing_nothing(self, fault: str) -> Iterator[None]:
        """The default generators are those of the cell that reads the view first: its neighbours' would go on unlike
        its own. The state that they are left in is of no account, for the cell has failed.
        """
        before = draw_marks(self.generators)
        with torch.no_grad():
            yield
        if draw_marks(self.generators) != before:
            raise self._error(fault)

    def _checked(self, drawn: object, n: int) -> Mapping[str, Tensor]:
        if not isinstance(drawn, Mapping):
            raise self._error(f"draws() must give a dict of tensors, got {_shown(drawn)}")
        for name, tensor in drawn.items():
            if not isinstance(tensor, Tensor) or tensor.ndim == 0 or len(tensor) != n:
                raise self._error(f"draws()['{name}'] must have one row for each of {n} samples, got {_shown(tensor)}")
        return drawn

    def _error(self, what: str) -> CellError:
        return CellError("ViewError", f"view '{self.spec.name}': {what}")


def _shown(value: object) -> str:
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return type(value).__name__
