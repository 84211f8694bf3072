"""The built-in models."""

from __future__ import annotations

from collections.abc import Iterable

from kdharness.api import ModelSpec, hookimpl, module_specs


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    return module_specs(__name__, "kdharness_models")
