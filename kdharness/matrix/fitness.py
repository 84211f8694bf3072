"""Whether a method can serve a pair on a dataset, found without data on the meta device."""

from __future__ import annotations

from kdharness.api.data import DatasetInfo
from kdharness.api.method import Method
from kdharness.api.staged import StagedModel
from kdharness.matrix.blueprint import Blueprint, reason_to_skip, shape_of, trial_model
from kdharness.matrix.cell import Cell, canonical
from kdharness.registry.manager import Registry


class Fitness:
    """Answers are remembered: seeds and many methods share them."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._reasons: dict[str, str | None] = {}
        self._models: dict[str, StagedModel | str] = {}

    def reason(self, cell: Cell, method: Method, info: DatasetInfo) -> str | None:
        """Why the cell cannot be trained, or None."""
        models = [cell.student, *(t.model for t in cell.teachers), *cell.networks]
        key = canonical(
            {"method": cell.method, "parameters": dict(cell.parameters), "models": models, "data": info.identity}
        )
        if key not in self._reasons:
            self._reasons[key] = self._find(cell, method, info)
        return self._reasons[key]

    def _find(self, cell: Cell, method: Method, info: DatasetInfo) -> str | None:
        recipe = cell.recipe
        sizes = {"train": info.train_size, "teacher": info.train_size}
        blueprint = Blueprint(info.num_classes, info.input_shape, sizes, recipe["epochs"], recipe["batch_size"])
        models: list[StagedModel] = []
        for name in (cell.student, *(t.model for t in cell.teachers), *cell.networks):
            model = self._model(name, blueprint)
            if isinstance(model, str):
                return model
            models.append(model)
        teachers, others = models[1 : len(cell.teachers) + 1], models[len(cell.teachers) + 1 :]
        try:
            return reason_to_skip(method, models[0], teachers, blueprint, others)
        except Exception:  # noqa: BLE001 - a plugin may raise anything; the cell is planned, and fails with a traceback
            return None

    def _model(self, name: str, blueprint: Blueprint) -> StagedModel | str:
        """The network on the meta device, or why it cannot be made for this data."""
        key = f"{name} {blueprint.num_classes} {blueprint.input_shape}"
        if key not in self._models:
            self._models[key] = self._built(name, blueprint)
        return self._models[key]

    def _built(self, name: str, blueprint: Blueprint) -> StagedModel | str:
        spec, reason = self.registry.get("model", name).spec, ""
        # Some factories look at numbers, which the meta device has not; then the CPU, though slower, decides.
        for device in ("meta", "cpu"):
            try:
                model = trial_model(spec, blueprint, device)
                shape_of(model)
                return model
            except Exception as error:  # noqa: BLE001 - a plugin's factory may raise anything; its message is the reason
                reason = " ".join(str(error).split())[:200]
        shape = "x".join(map(str, blueprint.input_shape))
        return f"model '{name}' cannot take {shape} images: {reason}"
