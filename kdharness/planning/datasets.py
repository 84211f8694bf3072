"""Datasets as far as a plan knows them: described, not loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kdharness.api.data import DataRequest, DatasetInfo, DatasetMissing
from kdharness.api.specs import DatasetSpec
from kdharness.errors import UserError
from kdharness.failures import Failure, attempt, message_of
from kdharness.planning.asked import DataPlace
from kdharness.planning.catalogue import Installed
from kdharness.planning.neutral import key_part
from kdharness.protocol.variant import Setup, shown


@dataclass(frozen=True)
class KnownDataset:
    """A dataset with its parameters.

    document: its part of a cell's identity. deviations: how it departs from the benchmark, as text.
    """

    info: DatasetInfo
    document: Mapping[str, Any]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    deviations: tuple[str, ...] = ()


def describe_dataset(installed: Installed[DatasetSpec], setup: Setup, place: DataPlace, is_own: bool) -> KnownDataset:
    """is_own: whether the benchmark has the dataset. UserError for data that is not there."""
    spec, parameters = installed.spec, setup.values
    info = attempt(lambda: _checked(spec.describe(DataRequest(place.root, place.download, parameters))))
    if isinstance(info, Failure):
        raise UserError(f"dataset '{spec.name}': {_told(spec, info)}") from info.exception
    shared = {key: value for key, value in parameters.items() if key not in spec.local_parameters}
    document = {
        "name": spec.name,
        "identity": info.identity,
        "parameters": key_part(shared, spec.parameters),
        "plugin": dict(installed.stamp),
    }
    changed = [f"{spec.name}.{key}={shown(v)}" for key, v in shared.items() if v != setup.own[key].value]
    deviations = (*changed, *([] if is_own else [f"dataset={spec.name}"]))
    return KnownDataset(info, document, parameters, deviations)


def dataset_warning(name: str, line: str) -> str:
    """A line on a dataset, the same for plan and worker: what both say is told once."""
    return f"dataset '{name}': {line}"


def _checked(info: object) -> DatasetInfo:
    """TypeError for what is no description of a dataset."""
    if not isinstance(info, DatasetInfo) or not isinstance(info.identity, str):
        raise TypeError(f"it must give a DatasetInfo with an identity, and gave a {type(info).__name__}")
    return info


def _told(spec: DatasetSpec, failure: Failure) -> str:
    """What is missing or wrong in a dataset's own words; of anything else, that the plugin failed."""
    if isinstance(failure.exception, DatasetMissing | ValueError):
        return message_of(failure.exception).removeprefix(f"{spec.name}: ")  # plugins say it too
    return f"its describe() failed: {failure.error}"
