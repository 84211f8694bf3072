"""kdharness: a benchmark harness for knowledge distillation. Importing it loads no torch, and no pandas."""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdharness.frames import columns as columns, load as load

try:
    __version__ = version("kdharness")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__", "columns", "load"]

_LAZY = ("columns", "load")


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'kdharness' has no attribute '{name}'")
    return getattr(importlib.import_module("kdharness.frames"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_LAZY))
