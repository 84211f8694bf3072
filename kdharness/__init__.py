"""kdharness: a benchmark harness for knowledge distillation. Importing it loads no torch, and no pandas."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kdharness.frames import columns as columns, load as load

    __version__: str

__all__ = ["__version__", "columns", "load"]

_LAZY = ("columns", "load")


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return globals().setdefault(name, _version())
    if name not in _LAZY:
        raise AttributeError(f"module 'kdharness' has no attribute '{name}'")
    return getattr(importlib.import_module("kdharness.frames"), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # takes longer than all else here

    try:
        return version("kdharness")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
