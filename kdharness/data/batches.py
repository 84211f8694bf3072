"""The batches of an epoch over a subset, made once for all cells that ask for the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from kdharness.api.data import Augmentation
from kdharness.data.images import DeviceImages, Draws
from kdharness.errors import CellError
from kdharness.protocol.seeds import stream


@dataclass(frozen=True)
class BatchRequest:
    """What a cell asks for in one epoch. Equal requests are served together.

    data: the key of dataset and scenario.
    seed: the cell's.
    channels_last: the memory layout of the images.
    precision: the recipe's, which the device is set to.
    subset: the name of the subset.
    batch_size: the last batch may be smaller.
    views: the augmentation of each.
    partners: whether another image of each sample's class is wanted.
    epoch: counted over the cell's whole training.
    selection: positions in the subset, or () for all of it.
    """

    data: str
    seed: int
    channels_last: bool
    precision: str
    subset: str
    batch_size: int
    views: tuple[Augmentation, ...]
    partners: bool
    epoch: int
    selection: tuple[int, ...] = ()


@dataclass(frozen=True)
class Samples:
    """One batch, before any cell sees it.

    views: [n, C, H, W] each.
    targets: int64 [n].
    indices: int64 [n], positions in the subset.
    partners: [n, C, H, W], images of the same classes; None unless asked for.
    """

    views: tuple[Tensor, ...]
    targets: Tensor
    indices: Tensor
    partners: Tensor | None

    def tensors(self) -> list[Tensor]:
        return [*self.views, self.targets, self.indices, *([] if self.partners is None else [self.partners])]


class EpochBatches:
    """The batches of one epoch. Any batch can be made again, so that a damaged one can be replaced.

    images: the train split.
    subset: int64 [n], positions in it.
    targets: int64 [N], labels of the split as training sees them.
    """

    def __init__(self, request: BatchRequest, images: DeviceImages, subset: Tensor, targets: Tensor) -> None:
        device = images.images.device
        self.request = request
        self.images = images
        self.subset = subset
        self.targets = targets
        axes = (request.subset, request.batch_size, request.seed, request.epoch)
        positions = (
            torch.tensor(request.selection, dtype=torch.int64) if request.selection else torch.arange(len(subset))
        )
        order = torch.randperm(len(positions), generator=torch.Generator().manual_seed(stream("batches", *axes)))
        self.order = positions[order].to(device)
        n = len(self.order)
        self.draws = [
            Draws.make(view, n, stream("views", number, view.crop_padding, int(view.flip), *axes), device)
            for number, view in enumerate(request.views)
        ]
        self.partners = self._partners(stream("partners", *axes)) if request.partners else None
        self.bounds = batch_bounds(n, request.batch_size)

    def __len__(self) -> int:
        return len(self.bounds)

    def _partners(self, seed: int) -> Tensor:
        """For each sample, the position of another one of its class; its own where it is alone in its class."""
        labels = self.targets[self.subset][self.order].cpu()
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.empty(len(labels), dtype=torch.int64)
        for label in labels.unique():
            members = (labels == label).nonzero().flatten()
            shuffled = members[torch.randperm(len(members), generator=generator)]
            chosen[shuffled] = shuffled.roll(1)
        return self.order[chosen.to(self.order.device)]

    def samples(self, number: int) -> Samples:
        """Batch `number` of the epoch."""
        start, end = self.bounds[number]
        positions = self.order[start:end]
        rows = self.subset[positions]
        layout = self.request.channels_last
        views = tuple(self.images.view(rows, draws.rows(start, end), layout) for draws in self.draws)
        partners = None
        if self.partners is not None:
            other = self.subset[self.partners[start:end]]
            partners = self.images.view(other, self.draws[0].rows(start, end), layout)
        return Samples(views, self.targets[rows], positions, partners)


def checked_selection(chosen: Tensor | None, n: int) -> tuple[int, ...]:
    """What a method's `select` returned, as a request holds it. CellError when it is no choice out of `n` samples."""
    if chosen is None:
        return ()
    if not isinstance(chosen, Tensor) or chosen.ndim != 1 or chosen.is_floating_point() or chosen.dtype == torch.bool:
        raise CellError("MethodError", "select() must return positions as a tensor of integers [n], or None for all")
    positions = tuple(int(position) for position in chosen.tolist())
    if not positions:
        raise CellError("MethodError", "select() chose no sample")
    if not 0 <= min(positions) <= max(positions) < n:
        wrong = min(positions) if min(positions) < 0 else max(positions)
        raise CellError("MethodError", f"select() chose position {wrong} of a subset of {n} samples")
    return positions


def batch_bounds(n: int, batch_size: int) -> list[tuple[int, int]]:
    """Start and end of each batch. The last may be short, but no single sample, which BatchNorm cannot train on."""
    starts = list(range(0, n, batch_size))
    if len(starts) > 1 and n - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n], strict=True))
