"""Where things come from: records of sources, of what is registered, and of what is broken."""

from __future__ import annotations

import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
S_co = TypeVar("S_co", covariant=True)


@dataclass(frozen=True)
class Source:
    """Where a thing came from.

    distribution: the installed package; "" for a single file.
    version: likewise.
    file: the path of the file that defines it.
    module: the importable name of the plugin's module.
    entry_point: the name that its package registered it by.
    editable: its files may change while its version stays (an editable install of PEP 610, metadata of a source tree).
    kind: whether it is an entry point or a single file.
    digest: SHA-256 of a single file as it was loaded.
    """

    distribution: str
    version: str
    file: str
    module: str
    entry_point: str = ""
    editable: bool = False
    kind: Literal["entry_point", "file"] = "entry_point"
    digest: str = ""

    def __str__(self) -> str:
        return f"{self.distribution} {self.version} ({self.file})" if self.kind == "entry_point" else self.file


@dataclass(frozen=True)
class Registered(Generic[S_co]):
    """A spec record and its source."""

    spec: S_co
    source: Source


@dataclass(frozen=True)
class Broken:
    """A plugin that failed, or one hook of it.

    name: the plugin's entry point or file.
    source: where it came from.
    error: one line.
    traceback: all of it.
    hook: the hook that failed; "" when the plugin could not be loaded at all.
    """

    name: str
    source: Source
    error: str
    traceback: str
    hook: str = ""

    def __str__(self) -> str:
        where = f"in {self.hook}" if self.hook else "to load"
        return f"plugin '{self.name}' of {self.source} failed {where}: {self.error}"


@dataclass(frozen=True)
class Failure:
    """An exception from a plugin: one line, and its traceback."""

    error: str
    traceback: str
    exception: BaseException

    @classmethod
    def of(cls, exception: BaseException) -> Failure:
        message = textwrap.shorten(str(exception), 200, placeholder=" ...")
        name = type(exception).__name__
        text = "".join(traceback.format_exception(exception))
        return cls(f"{name}: {message}" if message else name, text, exception)

    @property
    def each(self) -> tuple[Failure, ...]:
        """One for every module that failed, where a package's hook asked several; else itself."""
        if not isinstance(self.exception, BaseExceptionGroup):
            return (self,)
        parts = (Failure.of(exception) for exception in self.exception.exceptions)
        return tuple(replace(part, error=part.error.removeprefix("ModuleFailed: ")) for part in parts)


def attempt(call: Callable[[], T]) -> T | Failure:
    """`call()`, or how it failed. For code of plugins: what it raises (even sys.exit) must not stop the tool."""
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as exception:  # noqa: BLE001 - see above; the traceback is kept
        return Failure.of(exception)
