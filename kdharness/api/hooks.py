"""The marker for plugin hooks, and a helper for packages that keep one plugin per file."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pluggy

API_VERSION = 1

hookimpl = pluggy.HookimplMarker("kdharness")


def module_specs(package: str, hook: str) -> Iterator[Any]:
    """The records that each module of `package` returns from its own `hook`, modules in name order.

    With it a package needs one hook in its `__init__`, and a new plugin is a new file.
    """
    folder = importlib.import_module(package).__path__
    for found in sorted(pkgutil.iter_modules(folder), key=lambda m: m.name):
        function = getattr(importlib.import_module(f"{package}.{found.name}"), hook, None)
        if function is not None:
            yield from function()
