"""Datasets as far as a plan knows them: described, not loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kdharness.api.data import DataRequest, DatasetInfo, DatasetMissing
from kdharness.api.specs import DatasetSpec
from kdharness.errors import UserError
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import Benchmark
from kdharness.protocol.variant import COMMAND, coerced, completed, plain, shown

if TYPE_CHECKING:
    from kdharness.registry.manager import Registry


@dataclass(frozen=True)
class KnownDataset:
    """A dataset with its parameters.

    document: its part of a cell's identity. deviations: how it departs from the benchmark, as text.
    """

    info: DatasetInfo
    document: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()


def resolve_dataset(
    name: str, benchmark: Benchmark, selection: Selection, settings: Mapping[str, str], registry: Registry
) -> KnownDataset:
    """settings: of --set for this dataset. UserError for wrong parameters, and for data that is not there."""
    registered = registry.get("dataset", name)
    spec: DatasetSpec = registered.spec
    own = completed(spec, benchmark.dataset.get(name, {}), benchmark.place)
    asked = {**own, **coerced(spec, settings, COMMAND)}
    parameters = plain(asked)
    try:
        info = spec.describe(DataRequest(selection.data_root, selection.download, parameters))
    except (DatasetMissing, ValueError) as error:
        raise UserError(f"dataset '{name}': {error}") from None
    shared = {key: value for key, value in parameters.items() if key not in spec.local_parameters}
    document = {
        "name": name,
        "identity": info.identity,
        "parameters": shared,
        "plugin": registry.stamp(registered),
    }
    deviations = [f"{name}.{key}={shown(value)}" for key, value in shared.items() if value != own[key].value]
    if name not in benchmark.datasets:
        deviations.append(f"dataset={name}")
    return KnownDataset(info, document, parameters, tuple(deviations))
