"""Where things come from: records of sources, of what is registered, and of what is broken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

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
        if self.kind == "file":
            return self.file
        return " ".join(part for part in (self.distribution, self.version, f"({self.file})") if part)


@dataclass(frozen=True)
class Registered(Generic[S_co]):
    """A spec record and its source. parts: of methods that are one, each by its name."""

    spec: S_co
    source: Source
    parts: Mapping[str, Registered[S_co]] = field(default_factory=dict)


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
