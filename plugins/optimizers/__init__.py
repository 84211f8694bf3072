"""The built-in optimisers."""

from __future__ import annotations

from collections.abc import Iterable

from kdharness.api import OptimizerSpec, hookimpl, module_specs


@hookimpl
def kdharness_optimizers() -> Iterable[OptimizerSpec]:
    return module_specs(__name__, "kdharness_optimizers")
