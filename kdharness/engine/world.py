"""What a worker keeps between jobs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kdharness.api.executors import TeacherUse, WorkerSettings
from kdharness.api.specs import ViewSpec
from kdharness.data.prepare import DataStore
from kdharness.device.device import Device
from kdharness.device.door import open_device
from kdharness.engine.initial_weights import InitialWeights
from kdharness.engine.networks import NetworkFactory
from kdharness.engine.teachers import TeacherStore
from kdharness.engine.view_tables import ViewTables
from kdharness.errors import CellError
from kdharness.measure.costs import CostCache
from kdharness.planning.cell import Cell
from kdharness.registry.manager import Registry
from kdharness.results.kept_outputs import KeptOutputs
from kdharness.results.store import ResultsFolder


class World:
    """Plugins, the results folder and the device; what was loaded onto it: data, teachers, costs of networks."""

    def __init__(
        self,
        registry: Registry,
        folder: ResultsFolder,
        data_root: Path,
        device: Device,
        download: bool = False,
        teacher_top1_floor: float | None = None,
        teacher_claims: tuple[tuple[str, float], ...] = (),
        teacher_uses: tuple[TeacherUse, ...] = (),
    ) -> None:
        self.registry = registry
        self.folder = folder
        self.device = device
        self.data = DataStore(registry, data_root, device.torch, download)
        self.networks = NetworkFactory(registry, device, InitialWeights(data_root, download))
        self.teachers = TeacherStore(self.networks, folder, device, teacher_top1_floor, dict(teacher_claims))
        self.tables = ViewTables(KeptOutputs(folder.path).path, registry, teacher_uses)
        self.costs = CostCache(device)

    def keep(self, cells: Sequence[Cell]) -> None:
        """Lets go of images, labels and teachers that none of these cells needs, so that memory does not grow with
        groups.
        """
        self.data.keep(cells)
        self.teachers.keep(cells, self.data.keys)

    def view(self, name: str) -> ViewSpec:
        """An installed view. UserError where there is none of this name."""
        spec: ViewSpec = self.registry.get("view", name).spec
        return spec

    def check_plugins(self, cell: Cell) -> None:
        """A plugin that was edited after the plan was made would train new code under the old key: CellError."""
        document = cell.document
        parts = [("dataset", cell.dataset, document["dataset"]), ("method", cell.method, document["method"])]
        networks = [document["student"], *document["teachers"], *document.get("networks", ())]
        parts += [("model", network["name"], network) for network in networks]
        parts += [("optimizer", name, part) for name, part in document["optimizers"].items()]
        parts += [("view", name, {"plugin": stamp}) for name, stamp in document.get("views", {}).items()]
        for kind, name, part in parts:
            if self.registry.stamp(self.registry.get(kind, name)) != part["plugin"]:
                text = f"the plugin of {kind} '{name}' changed after the plan was made; run the command again"
                raise CellError("PluginChanged", text)


_worlds: dict[tuple[str, WorkerSettings], World] = {}


def world_of(settings: WorkerSettings, name: str) -> World:
    """What this process keeps for such settings."""
    if (name, settings) not in _worlds:
        registry = Registry.load(settings.plugin_files)
        device = open_device(name)
        device.use()
        _worlds[name, settings] = World(
            registry,
            ResultsFolder(settings.folder, held=settings.lock),
            settings.data_root,
            device,
            settings.download,
            settings.teacher_top1_floor,
            settings.teacher_claims,
            settings.teachers,
        )
    return _worlds[name, settings]
