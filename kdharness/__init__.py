"""kdharness: a benchmark harness for knowledge distillation. Importing it loads no torch."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("kdharness")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
