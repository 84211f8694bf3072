"""What a worker keeps between jobs: plugins, datasets on the device, teachers."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from kdharness.api.data import Augmentation, DataRequest, ImageDataset
from kdharness.api.declarations import ModelSpec
from kdharness.api.staged import StagedModel
from kdharness.data.images import DeviceImages
from kdharness.data.subsets import Subsets, apply
from kdharness.device.random import RandomState, default_generators_kept
from kdharness.engine.teachers import Ensemble, Teacher
from kdharness.errors import CellError
from kdharness.measure.costs import NetworkCosts, count_parameters
from kdharness.planning.cell import Cell, TeacherSource, canonical
from kdharness.protocol.seeds import stream
from kdharness.registry.manager import Registry
from kdharness.results.store import ResultsFolder


@dataclass(frozen=True)
class Data:
    """A dataset under one scenario, on the device. subsets: int64 positions by name; targets: the train split's
    labels as training sees them.
    """

    key: str
    dataset: ImageDataset
    train: DeviceImages
    test: DeviceImages
    subsets: Mapping[str, torch.Tensor]
    targets: torch.Tensor
    test_targets: torch.Tensor
    plain: Subsets

    def split(self, name: str) -> tuple[DeviceImages, torch.Tensor, torch.Tensor]:
        """Images, rows and targets of "test", or of a subset of the train split."""
        if name == "test":
            return self.test, torch.arange(len(self.test), device=self.test_targets.device), self.test_targets
        rows = self.subsets[name]
        return self.train, rows, self.targets[rows]

    @property
    def num_classes(self) -> int:
        return len(self.dataset.classes)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width


class World:
    """One per worker process."""

    def __init__(
        self, registry: Registry, folder: ResultsFolder, data_root: Path, device: torch.device, download: bool
    ) -> None:
        self.registry = registry
        self.folder = folder
        self.data_root = data_root
        self.device = device
        self.download = download
        self.teachers: dict[str, Any] = {}
        self._datasets: dict[str, ImageDataset] = {}
        self._data: dict[str, Data] = {}
        self._costs: dict[str, NetworkCosts] = {}
        self._ensembles: dict[tuple[int, ...], Ensemble] = {}
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = False
            torch.backends.cudnn.deterministic = True

    def data(self, cell: Cell) -> Data:
        """The cell's data; made once for all cells of the same dataset and scenario."""
        identity = cell.document["dataset"]
        scenario, validation = cell.document["scenario"], cell.document["evaluation"]["validation"]
        key = canonical({"dataset": identity, "scenario": scenario, "validation": validation})
        if key not in self._data:
            dataset = self._dataset(cell)
            padding = dataset.augmentation.crop_padding
            plain = apply(scenario, dataset.splits["train"].targets, len(dataset.classes), validation)
            self._data[key] = Data(
                key=key,
                dataset=dataset,
                train=DeviceImages(dataset, "train", self.device, padding),
                test=DeviceImages(dataset, "test", self.device),
                subsets={name: torch.from_numpy(rows).to(self.device) for name, rows in plain.indices.items()},
                targets=torch.from_numpy(plain.targets).to(self.device),
                test_targets=torch.from_numpy(dataset.splits["test"].targets).to(self.device),
                plain=plain,
            )
        return self._data[key]

    def _dataset(self, cell: Cell) -> ImageDataset:
        key = canonical({"dataset": cell.document["dataset"], "parameters": dict(cell.dataset_parameters)})
        if key not in self._datasets:
            spec = self.registry.get("dataset", cell.dataset).spec
            request = DataRequest(self.data_root, self.download, dict(cell.dataset_parameters))
            self._datasets[key] = spec.load(request)
        return self._datasets[key]

    def check_plugins(self, cell: Cell) -> None:
        """A plugin that was edited after the plan was made would train new code under the old key: CellError."""
        document = cell.document
        parts = [("dataset", document["dataset"]), ("method", document["method"]), ("model", document["student"])]
        others = [*document["teachers"], *document.get("networks", ())]
        for kind, part in [*parts, *(("model", other) for other in others)]:
            if self.registry.stamp(self.registry.get(kind, part["name"])) != part["plugin"]:
                text = f"the plugin of {kind} '{part['name']}' changed after the plan was made; run the command again"
                raise CellError("PluginChanged", text)

    def model_spec(self, name: str) -> ModelSpec:
        spec: ModelSpec = self.registry.get("model", name).spec
        return spec

    def new_model(self, name: str, data: Data, role: str, seed: int) -> StagedModel:
        """A network initialised from the stream of (model, role, seed), whatever method asks for it."""
        spec = self.model_spec(name)
        # Methods ask for networks while their own generators are in place, which must go on as if they had not.
        own = RandomState(stream("initialisation", name, role, seed), self.device)
        with default_generators_kept(self.device), own.active():
            network = spec.factory(data.num_classes, data.input_shape)
        return StagedModel(network, spec, data.input_shape).to(self.device)

    def ensemble(self, teachers: Sequence[Teacher]) -> Ensemble:
        """The teachers as one; the same one for all cells that have them, so that a batch is averaged once."""
        key = tuple(id(t) for t in teachers)
        if key not in self._ensembles:
            self._ensembles[key] = Ensemble(teachers)
        return self._ensembles[key]

    def network_costs(self, model: StagedModel) -> NetworkCosts:
        """What a network of this architecture costs; measured once per worker."""
        key = f"{model.spec.name} {model.input_shape} {count_parameters(model)}"
        if key not in self._costs:
            self._costs[key] = NetworkCosts.of(model, model.input_shape, self.device)
        return self._costs[key]

    def teacher_path(self, source: TeacherSource) -> Path:
        return Path(source.path) if source.sha256 else self.folder.model_path(source.cell)

    def augmentation(self, view: str, recipe_augmentation: str, data: Data) -> Augmentation:
        """The crop and flip of one declared view."""
        kind = {"recipe": recipe_augmentation, "weak": "standard", "none": "none"}[view]
        return data.dataset.augmentation if kind == "standard" else Augmentation()

    def fingerprint(self, precision: str) -> str:
        """Within one fingerprint the same cell gives the same bits."""
        if self.device.type == "cuda":
            cudnn = torch.backends.cudnn.version()
            where = f"{torch.cuda.get_device_name(self.device)} cuda{torch.version.cuda} cudnn{cudnn}"
        else:
            threads = torch.get_num_threads()
            where = (
                f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} {threads} thread{'s' * (threads > 1)}"
            )
        return f"{where} torch{torch.__version__} {precision}"


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
