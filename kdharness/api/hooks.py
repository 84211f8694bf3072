"""The marker for plugin hooks, and a helper for packages that keep one plugin per file."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterator
from typing import Any

import pluggy

from kdharness.api.versions import check_file, check_stated

hookimpl = pluggy.HookimplMarker("kdharness")


class ModuleFailed(Exception):
    """A module of a package of plugins did not load, or its hook raised, which is the cause."""


def module_specs(package: str, hook: str) -> Iterator[Any]:
    """The records that each module of `package` returns from its own `hook`, modules in name order.

    With it a package needs one hook in its `__init__`, and a new plugin is a new file. A module that fails does not
    keep the others from being asked; what failed is raised in the end, as an ExceptionGroup of ModuleFailed.
    """
    failed = []
    folder = importlib.import_module(package).__path__
    for found in sorted(pkgutil.iter_modules(folder), key=lambda m: m.name):
        try:
            records = _records(f"{package}.{found.name}", hook)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a file may raise anything, sys.exit too; see above
            failure = ModuleFailed(f"{found.name}.py: {type(error).__name__}: {error}")
            failure.__cause__ = error
            failed.append(failure)
        else:
            yield from records
    if failed:
        raise ExceptionGroup(f"{len(failed)} modules of {package} failed", failed)


def _records(module: str, hook: str) -> list[Any]:
    """What a module's hook returns; nothing where it has none. NewerApi for one that wants a newer kdharness."""
    try:
        loaded = importlib.import_module(module)
    except Exception:
        spec = importlib.util.find_spec(module)
        check_file(spec.origin if spec is not None else None)
        raise
    check_stated(loaded)
    function = getattr(loaded, hook, None)
    return [] if function is None else list(function())
