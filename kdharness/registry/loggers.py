"""Loggers that a command names: whether they can be had, and their start."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from functools import partial

from kdharness.api.specs import LoggerSpec
from kdharness.errors import UserError
from kdharness.failures import Failure, attempt
from kdharness.registry.manager import Registry
from kdharness.registry.source import Registered

OPTION = "--log"


def check_loggers(names: Iterable[str], registry: Registry) -> None:
    """UserError for a name that no plugin provides, and for a logger whose modules are not installed."""
    for name in names:
        _found(name, registry)


def start_loggers(names: Iterable[str], registry: Registry) -> None:
    """From now on they hear of events. UserError for one that does not start."""
    for name in dict.fromkeys(names):
        found = _found(name, registry)
        made = attempt(found.spec.factory)
        if not isinstance(made, Failure):
            made = attempt(partial(registry.attach, name, made, found.source))
        if isinstance(made, Failure):
            raise UserError(f"logger '{name}' of {found.source} does not start: {made.error}") from made.exception


def _found(name: str, registry: Registry) -> Registered[LoggerSpec]:
    found: Registered[LoggerSpec] = registry.get("logger", name, OPTION)
    missing = [module for module in found.spec.needs if _is_missing(module)]
    if missing:
        advice = f": {found.spec.install}" if found.spec.install else ""
        raise UserError(f"{OPTION}: logger '{name}' needs {', '.join(missing)}{advice}")
    return found


def _is_missing(module: str) -> bool:
    found = attempt(lambda: importlib.util.find_spec(module))
    return found is None or isinstance(found, Failure)
