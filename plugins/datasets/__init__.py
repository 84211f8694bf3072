"""The built-in datasets."""

from __future__ import annotations

from collections.abc import Iterable

from kdharness.api import DatasetSpec, hookimpl, module_specs


@hookimpl
def kdharness_datasets() -> Iterable[DatasetSpec]:
    return module_specs(__name__, "kdharness_datasets")
