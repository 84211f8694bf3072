"""Views of the images of an epoch: random pictures of them, drawn ahead on the CPU and made on the device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from kdharness.api.declarations import View
from kdharness.api.specs import ViewInfo, ViewSpec
from kdharness.device.device import Device
from kdharness.device.random import default_generators_kept
from kdharness.errors import CellError


@dataclass(frozen=True)
class ViewKey:
    """A view as a pass has it: cells that ask for an equal one share it.

    name: of an installed view.
    occurrence: 0 for the first of this name that a method reads.
    """

    name: str
    occurrence: int = 0


def view_keys(declared: Sequence[View], recipe: str) -> tuple[ViewKey, ...]:
    """What a method's views are. recipe: the view that the recipe names."""
    seen: Counter[str] = Counter()
    found = []
    for view in declared:
        name = recipe if view.name == "recipe" else view.name
        found.append(ViewKey(name, seen[name]))
        seen[name] += 1
    return tuple(found)


class EpochView:
    """One view in one epoch: its draws for n samples, and default generators of its own.

    seed: of all that it draws.
    """

    def __init__(self, spec: ViewSpec, info: ViewInfo, n: int, seed: int, device: Device) -> None:
        self.spec = spec
        self.info = info
        self.device = device
        # A plugin that draws where it should not draws from these, and touches no cell.
        self._random = device.random_state(seed)
        with default_generators_kept(device.default_generators()), self._random.active():
            drawn = spec.draws(n, torch.Generator().manual_seed(seed))
        self._draws = {name: tensor.to(device.torch) for name, tensor in self._checked(drawn, n).items()}

    def images(self, images: Tensor, start: int, end: int) -> Tensor:
        """The view, uint8, of `images`, which are the samples from `start` to `end`. It may change them in place."""
        draws = {name: tensor[start:end] for name, tensor in self._draws.items()}
        before = sum(tensor._version for tensor in self._draws.values())
        with default_generators_kept(self.device.default_generators()), self._random.active(), torch.no_grad():
            made = self.spec.apply(images, draws, self.info)
        if sum(tensor._version for tensor in self._draws.values()) != before:
            raise self._error("apply() changes its draws in place, which other batches need")
        shape = (*images.shape[:2], *self.info.size)
        if not isinstance(made, Tensor) or made.dtype != torch.uint8 or tuple(made.shape) != shape:
            raise self._error(f"apply() must give uint8 {list(shape)}, got {_shown(made)}")
        if made.device != images.device:
            raise self._error(f"apply() must give images on {images.device}, got {made.device}")
        return made

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


def _draw_standard(n: int, generator: torch.Generator) -> Mapping[str, Tensor]:
    return {name: torch.rand(n, generator=generator) for name in ("dy", "dx", "flip")}


def _standard(images: Tensor, draws: Mapping[str, Tensor], info: ViewInfo) -> Tensor:
    """Each image cut out of a black frame, then flipped left to right or not."""
    padding = info.augmentation.crop_padding
    if padding:
        height, width = images.shape[2:]
        # A view of every possible crop: indexing it gathers a batch of crops in one kernel.
        windows = F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        dy, dx = ((draws[name] * (2 * padding + 1)).long() for name in ("dy", "dx"))
        images = windows[torch.arange(len(images), device=images.device), :, dy, dx]
    if info.augmentation.flip:
        images = torch.where((draws["flip"] < 0.5).view(-1, 1, 1, 1), images.flip(3), images)
    return images


BUILT_IN = {
    spec.name: spec
    for spec in (
        ViewSpec("standard", _draw_standard, _standard, "the dataset's own crop and flip"),
        ViewSpec("none", lambda n, generator: {}, lambda images, draws, info: images, "the image as it is"),
    )
}
