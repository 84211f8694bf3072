"""The built-in methods."""

from __future__ import annotations

from collections.abc import Iterable

from kdharness.api import MethodSpec, hookimpl, module_specs


@hookimpl
def kdharness_methods() -> Iterable[MethodSpec]:
    return module_specs(__name__, "kdharness_methods")
