"""Whether the files of weights that a plan names hold the networks that it wants from them. Loads torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdharness.planning.cell import Cell, canonical
from kdharness.planning.compatibility import blueprint_of, trial_model
from kdharness.planning.networks import configured
from kdharness.planning.plan import Plan
from kdharness.planning.resolve import Resolved
from kdharness.weights.fitting import check_fit
from kdharness.weights.reading import INITIAL_FILE, TEACHER_FILE, WeightsFile, load_weights


@dataclass(frozen=True)
class Given:
    """A file of weights. what: as messages call it. chosen: the place of the state dict that is meant, "" for any."""

    path: Path
    what: str
    chosen: str


def check_given_weights(plan: Plan, resolved: Resolved) -> tuple[str, ...]:
    """What a user should know of how the files are read, in lines.

    UserError for the first file that cannot be read or does not fit, on any of the datasets.
    """
    seen: set[str] = set()
    read: dict[Given, WeightsFile] = {}
    lines: dict[str, None] = {}
    for cell in (planned.cell for planned in plan.cells if not planned.skip):
        info = resolved.datasets[cell.dataset].info
        for given, network in _given(cell):
            facts = {"network": network, "classes": info.num_classes, "shape": info.input_shape}
            key = canonical({"given": [str(given.path), given.what, given.chosen], **facts})
            if key not in seen:
                seen.add(key)
                if given not in read:
                    read[given] = load_weights(given.path, given.what, given.chosen)
                lines |= dict.fromkeys(_check(cell, network, read[given], resolved))
    return tuple(lines)


def _given(cell: Cell) -> Iterator[tuple[Given, Mapping[str, Any]]]:
    """Each file, and the network that is to come from it."""
    for source in cell.teachers:
        if source.sha256:
            yield Given(Path(source.path), TEACHER_FILE, source.chosen), source.network
    for network in (cell.document["student"], *cell.document.get("networks", ())):
        weights = network.get("weights", {})
        if weights.get("sha256") in cell.weight_files:
            path = Path(cell.weight_files[weights["sha256"]])
            yield Given(path, INITIAL_FILE, weights.get("chosen", "")), network


def _check(cell: Cell, network: Mapping[str, Any], file: WeightsFile, resolved: Resolved) -> tuple[str, ...]:
    spec = configured(resolved.models.get(network["name"]).spec, network)
    try:
        model = trial_model(spec, blueprint_of(cell, resolved.datasets[cell.dataset].info))
    except Exception:  # noqa: BLE001 - a plugin's factory may raise anything, on a device without storage above all
        return ()
    new_classifier = network.get("weights", {}).get("new_classifier", False)
    return check_fit(model, file, but_for=spec.classifier if new_classifier and file.what == INITIAL_FILE else "")
