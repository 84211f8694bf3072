"""Datasets as cells find them: loaded once, put on the device, under the scenario of each cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdharness.api.content import content_warnings
from kdharness.api.data import CONTENT, DataRequest, DatasetInfo, ImageDataset, content_identity
from kdharness.api.preprocessing import Preprocessing
from kdharness.data.images import DeviceImages
from kdharness.data.kept import Kept
from kdharness.data.statistics import STATISTICS
from kdharness.data.subsets import Subsets, apply, private_part
from kdharness.device.torch_settings import settings_kept
from kdharness.errors import CellError
from kdharness.planning.cell import Cell, canonical
from kdharness.planning.datasets import dataset_warning
from kdharness.protocol.private_parts import PrivatePart
from kdharness.registry.manager import Registry


@dataclass(frozen=True)
class Data:
    """A dataset under one scenario, on the device.

    key: names dataset, scenario and validation share.
    dataset: as it was loaded.
    train: images of the train split.
    test: images of the test split.
    subsets: int64 positions in the train split, by name.
    targets: labels of the train split, as training sees them.
    test_targets: labels of the test split.
    host: subsets and labels on the CPU, and what the scenario hides.
    statistics: whose mean and std networks normalise by: "all" for the dataset's own, or what a split says.
    """

    key: str
    dataset: ImageDataset
    train: DeviceImages
    test: DeviceImages
    subsets: Mapping[str, Tensor]
    targets: Tensor
    test_targets: Tensor
    host: Subsets
    statistics: str = "all"

    def split(self, name: str) -> tuple[DeviceImages, Tensor, Tensor]:
        """Images, rows and targets of "test", or of a subset of the train split."""
        if name == "test":
            return self.test, self._test_rows, self.test_targets
        rows = self.subsets[name]
        return self.train, rows, self.targets[rows]

    def class_sizes(self, subset: str) -> tuple[int, ...]:
        """How many images of each class a subset has. Waits for no device."""
        labels = self.host.targets[self.host.indices[subset]]
        return tuple(np.bincount(labels, minlength=self.num_classes).tolist())

    @cached_property
    def _test_rows(self) -> Tensor:
        return torch.arange(len(self.test), device=self.test_targets.device)

    @cached_property
    def kept(self) -> Kept:
        """All of it that is on the device, as it is when this is first asked for."""
        subsets = {f"the rows of subset '{name}'": rows for name, rows in self.subsets.items()}
        images = {"the images of the train split": self.train.images, "the images of the test split": self.test.images}
        labels = {"the labels of the train split": self.targets, "the labels of the test split": self.test_targets}
        return Kept({**images, **labels, **subsets})

    @property
    def num_classes(self) -> int:
        return len(self.dataset.classes)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """What networks do that have no preprocessing of their own."""
        if self.statistics == "all":
            return Preprocessing(self.dataset.mean, self.dataset.std)
        return STATISTICS[self.statistics](self.dataset.splits["train"].images[self.host.indices["public"]])


@dataclass(frozen=True)
class _Loaded:
    """A dataset and its splits on the device, which scenarios share."""

    dataset: ImageDataset
    train: DeviceImages
    test: DeviceImages


class DataStore:
    """What a worker has loaded. root: the data folder; download: whether the network may be used."""

    def __init__(self, registry: Registry, root: Path, device: torch.device, download: bool) -> None:
        self.registry = registry
        self.root = root
        self.device = device
        self.download = download
        self._loaded: dict[str, _Loaded] = {}
        self._data: dict[str, Data] = {}
        self._warnings: list[str] = []
        self._warned: set[str] = set()

    def keep(self, cells: Iterable[Cell]) -> None:
        """Lets go of all that none of these cells needs. It is loaded anew when it is asked for again."""
        cells = list(cells)
        wanted = {key for cell in cells for key in (_key(cell), _part_key(cell))}
        images = {_images_key(cell) for cell in cells}
        self._data = {key: data for key, data in self._data.items() if key in wanted}
        self._loaded = {key: loaded for key, loaded in self._loaded.items() if key in images}

    @property
    def keys(self) -> frozenset[str]:
        """Of what there is."""
        return frozenset(self._data)

    def forget(self) -> None:
        """Has all of it loaded anew when it is next asked for."""
        self._loaded.clear()
        self._data.clear()

    def warnings(self) -> list[str]:
        """What was found in data that was loaded since the last call, a line each; no line twice."""
        found, self._warnings = self._warnings, []
        return found

    def of(self, cell: Cell) -> Data:
        """The cell's data; made once for all cells of the same dataset and scenario."""
        key = _key(cell)
        if key not in self._data:
            scenario, validation = cell.document["scenario"], cell.document["evaluation"]["validation"]
            loaded = self._load(cell)
            targets = loaded.dataset.splits["train"].targets
            host = apply(scenario, targets, len(loaded.dataset.classes), validation)
            self._data[key] = self._under(key, loaded, host, scenario.get("statistics", "all"))
        part = PrivatePart.of(cell.document["subset"])
        return self._data[key] if part is None else self._with_part(self._data[key], cell, part)

    def _with_part(self, data: Data, cell: Cell, part: PrivatePart) -> Data:
        """The same with one more subset, that of the cell, and the images shared."""
        name = cell.document["subset"]
        key = _part_key(cell)
        if key not in self._data:
            rows = private_part(cell.document["scenario"], data.host.indices, part)
            subsets = {**data.subsets, name: torch.from_numpy(rows).to(self.device)}
            host = replace(data.host, indices={**data.host.indices, name: rows})
            self._data[key] = replace(data, key=key, subsets=subsets, host=host)
        return self._data[key]

    def _under(self, key: str, loaded: _Loaded, host: Subsets, statistics: str) -> Data:
        return Data(
            key=key,
            dataset=loaded.dataset,
            train=loaded.train,
            test=loaded.test,
            subsets={name: torch.from_numpy(rows).to(self.device) for name, rows in host.indices.items()},
            targets=torch.from_numpy(host.targets).to(self.device),
            test_targets=torch.from_numpy(loaded.dataset.splits["test"].targets).to(self.device),
            host=host,
            statistics=statistics,
        )

    def _load(self, cell: Cell) -> _Loaded:
        key = _images_key(cell)
        if key not in self._loaded:
            spec = self.registry.get("dataset", cell.dataset).spec
            request = DataRequest(self.root, self.download, dict(cell.dataset_parameters))
            with settings_kept():
                dataset: ImageDataset = spec.load(request)
                info: DatasetInfo = spec.describe(request)
            _check_described(cell, dataset, info)
            _check_content(cell, dataset)
            found = content_warnings(dataset.splits, dataset.classes, dataset.names)
            lines = [dataset_warning(cell.dataset, line) for line in found]
            self._warnings += [line for line in lines if line not in self._warned]
            self._warned.update(lines)
            train, test = (DeviceImages(dataset, split, self.device) for split in ("train", "test"))
            self._loaded[key] = _Loaded(dataset, train, test)
        return self._loaded[key]


def _images_key(cell: Cell) -> str:
    """Cells for which it is equal share what was loaded."""
    return canonical({"dataset": cell.document["dataset"], "parameters": dict(cell.dataset_parameters)})


def _key(cell: Cell) -> str:
    """Names the data of a scenario."""
    scenario, validation = cell.document["scenario"], cell.document["evaluation"]["validation"]
    return canonical({"dataset": cell.document["dataset"], "scenario": scenario, "validation": validation})


def _part_key(cell: Cell) -> str:
    """Names the same with the cell's own part of the private images."""
    return canonical({"whole": _key(cell), "subset": cell.document["subset"]})


def _check_described(cell: Cell, dataset: ImageDataset, info: DatasetInfo) -> None:
    """CellError when what was loaded is not what `describe` says, or that is not what the plan was made with."""
    planned = cell.document["dataset"]["identity"]
    if info.identity != planned:
        digests = f"its identity is {info.identity[:20]}..., the plan was made with {planned[:20]}..."
        raise CellError("DataChanged", f"dataset '{cell.dataset}' changed after the plan was made: {digests}")
    train = dataset.splits["train"].images
    facts = (
        ("classes", len(dataset.classes), info.num_classes),
        ("training images", len(train), info.train_size),
        ("images of", list(train.shape[1:]), list(info.input_shape)),
    )
    for what, found, said in facts:
        if found != said:
            numbers = f"{found} {what}, {said}" if isinstance(found, int) else f"{what} {found}, {said}"
            raise CellError("WrongDataset", f"dataset '{cell.dataset}' loads {numbers} were described")


def _check_content(cell: Cell, dataset: ImageDataset) -> None:
    """CellError when what was decoded is not what the plan was made with. Identities of another kind tell nothing."""
    planned = cell.document["dataset"]["identity"]
    if not planned.startswith(CONTENT):
        return
    found = content_identity(dataset.splits)
    if found != planned:
        digests = f"what was loaded has {found[:20]}..., the plan was made with {planned[:20]}..."
        raise CellError("DataChanged", f"dataset '{cell.dataset}' holds other pixels or labels: {digests}")
