"""The built-in metrics."""

from __future__ import annotations

from collections.abc import Iterable

from kdharness.api import MetricSpec, hookimpl, module_specs


@hookimpl
def kdharness_metrics() -> Iterable[MetricSpec]:
    return module_specs(__name__, "kdharness_metrics")
