"""Whether the files of weights that a plan names hold the networks that it wants from them. Loads torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kdharness.planning.cell import Cell, canonical
from kdharness.planning.compatibility import blueprint_of, trial_model
from kdharness.planning.networks import configured
from kdharness.planning.plan import Plan
from kdharness.planning.resolve import Resolved
from kdharness.weights.fitting import check_fit
from kdharness.weights.reading import INITIAL_FILE, TEACHER_FILE, WeightsFile, load_weights


def check_given_weights(plan: Plan, resolved: Resolved) -> None:
    """UserError for the first file that cannot be read or does not fit, on any of the datasets."""
    seen: set[str] = set()
    read: dict[Path, WeightsFile] = {}
    for cell in (planned.cell for planned in plan.cells if not planned.skip):
        info = resolved.datasets[cell.dataset].info
        for path, what, network in _given(cell):
            facts = {"network": network, "classes": info.num_classes, "shape": info.input_shape}
            key = canonical({"path": str(path), **facts})
            if key not in seen:
                seen.add(key)
                if path not in read:
                    read[path] = load_weights(path, what)
                _check(cell, network, read[path], resolved)


def _given(cell: Cell) -> Iterator[tuple[Path, str, Mapping[str, Any]]]:
    """Path, what it is, and the network that is to come from it."""
    for source in cell.teachers:
        if source.sha256:
            yield Path(source.path), TEACHER_FILE, source.network
    for network in (cell.document["student"], *cell.document.get("networks", ())):
        digest = network.get("weights", {}).get("sha256")
        if digest in cell.weight_files:
            yield Path(cell.weight_files[digest]), INITIAL_FILE, network


def _check(cell: Cell, network: Mapping[str, Any], file: WeightsFile, resolved: Resolved) -> None:
    spec = configured(resolved.models.get(network["name"]).spec, network)
    try:
        model = trial_model(spec, blueprint_of(cell, resolved.datasets[cell.dataset].info))
    except Exception:  # noqa: BLE001 - a plugin's factory may raise anything, on a device without storage above all
        return
    new_classifier = network.get("weights", {}).get("new_classifier", False)
    check_fit(model, file, but_for=spec.classifier if new_classifier and file.what == INITIAL_FILE else "")
