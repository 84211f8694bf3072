"""What the hooks of plugins return, and what is wrong with it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from kdharness.api.hooks import ModuleFailed, ModuleSpecs
from kdharness.api.specs import MethodSpec
from kdharness.failures import Failure, attempt
from kdharness.registry.kinds import Kind, checked_specs, definition
from kdharness.registry.loading import Plugin
from kdharness.registry.misspelt import misspelt
from kdharness.registry.source import Registered


@dataclass(frozen=True)
class Implementation:
    """One plugin's function for one hook."""

    plugin: Plugin
    hook: str
    function: Callable[..., Any]
    arguments: tuple[str, ...]


def each_failure(failure: Failure) -> list[Failure]:
    """One for every module that failed, where a package's hook asked several; else the failure itself."""
    group = failure.exception
    found = group.exceptions if isinstance(group, BaseExceptionGroup) else ()
    if not found or not all(isinstance(part, ModuleFailed) for part in found):
        return [failure]
    parts = [(str(part), Failure.of(part), part.__cause__ or part) for part in found]
    return [replace(whole, error=f"{file}: {Failure.of(cause).error}") for file, whole, cause in parts]


def misspelt_names(record: Registered[Any]) -> list[str]:
    """A line on names in a method's class that are nearly those of a Method."""
    if not isinstance(record.spec, MethodSpec) or not isinstance(record.spec.factory, type):
        return []
    from kdharness.api.method import Method  # here, for it loads torch

    found = attempt(partial(misspelt, record.spec.factory, Method))
    if isinstance(found, Failure) or not found:
        return []
    pairs = ", ".join(f"'{name}' (did you mean '{meant}'?)" for name, meant in found)
    return [f"method '{record.spec.name}' of {record.source}: nothing calls or reads {pairs}"]


def gather(kind: Kind, implementation: Implementation, records: list[Registered[Any]]) -> None:
    """Appends what the hook returns to `records`, up to where it raises."""
    source, returned = implementation.plugin.source, implementation.function()
    for spec in checked_specs(kind, returned):
        own = returned.file if isinstance(returned, ModuleSpecs) else ""
        records.append(Registered(spec, replace(source, file=own or _defining_file(kind, spec, implementation))))


def _defining_file(kind: Kind, spec: Any, implementation: Implementation) -> str:
    """The file of the class or function behind the spec; where that is not the plugin's own, the file of the hook."""
    package = implementation.plugin.source.module.partition(".")[0]
    for candidate in (definition(kind, spec), implementation.function):
        module = getattr(candidate, "__module__", None) or ""
        if module.partition(".")[0] == package:
            file = attempt(partial(inspect.getsourcefile, candidate))
            if isinstance(file, str):
                return file
    return implementation.plugin.source.file
