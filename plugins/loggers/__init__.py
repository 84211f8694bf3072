"""The built-in loggers."""

from __future__ import annotations

from collections.abc import Iterable

from kdharness.api import LoggerSpec, hookimpl, module_specs


@hookimpl
def kdharness_loggers() -> Iterable[LoggerSpec]:
    return module_specs(__name__, "kdharness_loggers")
