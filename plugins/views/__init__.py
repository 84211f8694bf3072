"""The built-in views."""

from __future__ import annotations

from collections.abc import Iterable

from kdharness.api import ViewSpec, hookimpl, module_specs


@hookimpl
def kdharness_views() -> Iterable[ViewSpec]:
    return module_specs(__name__, "kdharness_views")
