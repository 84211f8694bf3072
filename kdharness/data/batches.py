"""The batches of an epoch over a subset, made once for all cells that ask for the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kdharness.api.labels import Mixing
from kdharness.api.prepared import share
from kdharness.api.specs import ViewInfo, ViewSpec
from kdharness.api.staged import StagedModel
from kdharness.data.images import as_pixels
from kdharness.data.mixing import EpochMixing, MixingRequest, larger_labels, mixed_images, soft_labels
from kdharness.data.pictures import Pictures
from kdharness.data.prepare import Data
from kdharness.data.sheet import Numbers
from kdharness.data.views import EpochView, ViewKey
from kdharness.data.watched import Summed
from kdharness.device.checksum import Balance
from kdharness.device.device import Device
from kdharness.device.ledger import Ledger, Shelf
from kdharness.errors import CellError
from kdharness.protocol.seeds import stream


@dataclass(frozen=True)
class BatchRequest:
    """What a cell asks for in one epoch. Equal requests are served together, whatever else the cells read.

    data: the key of dataset and scenario.
    seed: the cell's.
    subset: the name of the subset.
    batch_size: the last batch may be smaller.
    epoch: counted over the cell's whole training.
    selection: positions in the subset, or () for all of it.
    repeats: how often each image stands in its batch, side by side.
    mixing: how images are mixed, or None.
    shuffled: whether the samples come in a seeded order, and not in that of the selection or the subset.
    """

    data: str
    seed: int
    subset: str
    batch_size: int
    epoch: int
    selection: tuple[int, ...] = ()
    repeats: int = 1
    mixing: MixingRequest | None = None
    shuffled: bool = True


class Samples:
    """One batch, before any cell sees it. Its images are made when they are first read, once for all cells.

    targets: int64 [n]; of mixed images the labels with the larger share.
    indices: int64 [n], positions in the subset.
    make: gives the pixels of a view, or of the partners in this view.
    mixing, soft_targets: how the images are mixed, and labels with their shares [n, classes]; None where they are not.
    shelf: what was made of the batch, by name, and who read it.
    watched: all that was handed out, which nobody may change in place.
    prepared: what networks made of it for themselves and others; it is made again for those who change it in the open.
    """

    def __init__(
        self,
        targets: Tensor,
        indices: Tensor,
        make: Callable[[ViewKey, bool], Tensor],
        ledger: Ledger,
        mixing: Mixing | None = None,
        soft_targets: Tensor | None = None,
    ) -> None:
        self.targets = targets
        self.indices = indices
        self.mixing = mixing
        self.soft_targets = soft_targets
        self.shelf = Shelf(ledger)
        self.watched = Summed()
        self.prepared = Summed()
        labels = {"batch.targets": targets, "batch.indices": indices}
        labels |= {} if soft_targets is None else {"batch.soft_targets": soft_targets}
        mixed = () if mixing is None else mixing.tensors()
        for name, tensor in {**labels, **{f"batch.mixing[{k}]": t for k, t in enumerate(mixed)}}.items():
            self.watched.watch({name: tensor})
        self._make = make

    def view(self, key: ViewKey) -> Tensor:
        """float32 [n, C, H, W] in [0, 1]."""
        return self._pixels(key, partners=False)

    def partners(self, key: ViewKey) -> Tensor:
        """The same of another image of each sample's class, under the draws of the sample."""
        return self._pixels(key, partners=True)

    def prepare(self, key: ViewKey, network: StagedModel, partners: bool = False) -> None:
        """Has a view preprocessed as the network does it, once for all networks that do it alike.

        A network that is run on the view does it anyway; whoever comes first would pay for the others.
        """
        layout = network.placement.channels_last
        name = "prepared", key, partners, network.prepare.preprocessing, layout

        def make() -> None:
            pixels = self._pixels(key, partners)
            made = network.prepare(pixels, layout)
            if made is not pixels:
                self.prepared.watch({f"what networks are given of {_called(key, partners)}": made})

        self.shelf.read(name, make)

    def settle(self, balance: Balance, doubted: bool = False, by_name: bool = False) -> None:
        """Puts all that was handed out into the balance. doubted, by_name: as in `Summed.settle`."""
        self.watched.settle(balance, doubted, by_name)
        self.prepared.settle(balance, by_name=by_name)

    def _pixels(self, key: ViewKey, partners: bool) -> Tensor:
        def make() -> Tensor:
            made = self._make(key, partners)
            self.watched.watch({_called(key, partners): made})
            return made

        return self.shelf.read(("pixels", key, partners), make)


def _called(view: ViewKey, partners: bool) -> str:
    """What a method knows a view's pixels as."""
    which = "" if view.occurrence == 0 else f" no. {view.occurrence + 1}"
    return f"{'batch.partners' if partners else 'batch.images'} (view '{view.name}'{which})"


class EpochBatches:
    """The batches of one epoch. Any batch can be made again, so that a damaged one can be replaced.

    find: gives the installed view of a name; UserError where there is none.
    ledger: is told what is made, and who reads it.
    axes: what its draws depend on: subset, batch size, seed and epoch. info: what views are told.
    """

    def __init__(
        self, request: BatchRequest, data: Data, find: Callable[[str], ViewSpec], device: Device, ledger: Ledger
    ) -> None:
        self.request = request
        self.images = data.train.images
        self.subset = data.subsets[request.subset]
        self.targets = data.targets
        self.device = device
        self._find = find
        self.info = ViewInfo(data.dataset.augmentation, data.input_shape[1:])
        self.axes = (request.subset, request.batch_size, request.seed, request.epoch)
        positions = (
            torch.tensor(request.selection, dtype=torch.int64) if request.selection else torch.arange(len(self.subset))
        )
        if request.shuffled:
            positions = positions[torch.randperm(len(positions), generator=self._generator("batches"))]
        self._distinct = positions.to(self.images.device)
        self.order = self._repeated(self._distinct)
        times = request.repeats
        self.bounds = [(times * start, times * end) for start, end in batch_bounds(len(positions), request.batch_size)]
        self._shelf = Shelf(ledger)
        self._classes = data.num_classes
        self._mixing = None
        if request.mixing is not None:
            sizes, seed = [end - start for start, end in self.bounds], stream("mixing", *self.axes)
            self._mixing = EpochMixing(request.mixing, sizes, self.info.size, seed, device.torch)

    def __len__(self) -> int:
        return len(self.bounds)

    def samples(self, number: int) -> Samples:
        """Batch `number` of the epoch."""
        start, end = self.bounds[number]
        # A copy: a slice would hand out the order itself, of which a damaged batch is made again.
        positions = self.order[start:end].clone()
        targets = self.targets[self.subset[positions]]
        mixing = None if self._mixing is None else self._mixing.batch(number)

        def make(key: ViewKey, partners: bool) -> Tensor:
            order = self._shelf.read("partners", self._partners) if partners else self.order
            rows = self.subset[order[start:end]]
            pixels = as_pixels(self._view(key).images(self.images[rows], start, end))
            return pixels if mixing is None else share(mixed_images(pixels, mixing))

        if mixing is None:
            return Samples(targets, positions, make, self._shelf.ledger)
        soft = soft_labels(targets, mixing, self._classes)
        return Samples(larger_labels(targets, mixing), positions, make, self._shelf.ledger, mixing, soft)

    def pictures_each(self, key: ViewKey) -> int:
        """How many pictures a view has of an image; 0 where they are not counted, or images are mixed."""
        finite = self._find(key.name).finite
        return 0 if finite is None or self._mixing is not None else finite.count(self.info)

    def pictures(self, key: ViewKey) -> Pictures:
        """Which picture of which image each sample is, of a view that counts them."""
        view = self._view(key)
        numbers, each = view.numbers(), view.count
        ids = self.subset[self.order].cpu() * each + numbers

        def make(ids: Numbers) -> Tensor:
            chosen = torch.from_numpy(ids)
            return as_pixels(view.pictures(self.images[(chosen // each).to(self.images.device)], chosen % each))

        return Pictures(ids.numpy(), each, len(self.images), make)

    def _repeated(self, of_images: Tensor) -> Tensor:
        """What holds a number per image, with one per sample."""
        times = self.request.repeats
        return of_images if times == 1 else of_images.repeat_interleave(times, output_size=times * len(of_images))

    def _generator(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(stream(name, *self.axes))

    def _view(self, key: ViewKey) -> EpochView:
        def make() -> EpochView:
            seed = stream("views", key.name, key.occurrence, *self.axes)
            return EpochView(self._find(key.name), self.info, len(self.order), seed, self.device)

        return self._shelf.read(key, make)

    def _partners(self) -> Tensor:
        """For each sample, the position of another one of its class; its own where it is alone in its class."""
        labels = self.targets[self.subset][self._distinct].cpu()
        generator = self._generator("partners")
        chosen = torch.empty(len(labels), dtype=torch.int64)
        for label in labels.unique():
            members = (labels == label).nonzero().flatten()
            shuffled = members[torch.randperm(len(members), generator=generator)]
            chosen[shuffled] = shuffled.roll(1)
        return self._repeated(self._distinct[chosen.to(self.order.device)])


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
