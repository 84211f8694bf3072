"""What a worker keeps between jobs."""

from __future__ import annotations

from pathlib import Path

from kdharness.data.prepare import DataStore
from kdharness.device.device import Device
from kdharness.engine.networks import NetworkFactory
from kdharness.engine.teachers import TeacherStore
from kdharness.errors import CellError
from kdharness.measure.costs import CostCache
from kdharness.planning.cell import Cell
from kdharness.registry.manager import Registry
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
    ) -> None:
        self.registry = registry
        self.folder = folder
        self.device = device
        self.data = DataStore(registry, data_root, device.torch, download)
        self.networks = NetworkFactory(registry, device)
        self.teachers = TeacherStore(self.networks, folder, device, teacher_top1_floor)
        self.costs = CostCache(device)

    def check_plugins(self, cell: Cell) -> None:
        """A plugin that was edited after the plan was made would train new code under the old key: CellError."""
        document = cell.document
        parts = [("dataset", document["dataset"]), ("method", document["method"]), ("model", document["student"])]
        others = [*document["teachers"], *document.get("networks", ())]
        for kind, part in [*parts, *(("model", other) for other in others)]:
            if self.registry.stamp(self.registry.get(kind, part["name"])) != part["plugin"]:
                text = f"the plugin of {kind} '{part['name']}' changed after the plan was made; run the command again"
                raise CellError("PluginChanged", text)
