"""What the metadata of installed packages says of plugins. Some of it is broken, in any way that a file can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path

from kdharness.failures import Failure, attempt
from kdharness.registry.source import Broken, Source


@dataclass(frozen=True)
class Package:
    """An installed package. editable: its files may change while its version stays."""

    name: str
    version: str
    editable: bool


class BrokenMetadata(Exception):
    """What is wrong with a package's metadata."""


Declared = list[tuple[EntryPoint, Package]]


def declared_plugins(group: str) -> tuple[Declared, list[Broken]]:
    """The entry points of a group, in order of package and name, and what cannot be read of packages that have some.

    Of several installations of a package the first on the path counts.
    """
    found: Declared = []
    broken: list[Broken] = []
    seen: set[str] = set()
    for distribution in _distributions():
        place = str(getattr(distribution, "_path", ""))
        name = Path(place).stem.partition("-")[0]  # as importlib knows it without reading the metadata
        if name.lower() in seen:
            continue
        seen.add(name.lower())
        declared = attempt(partial(_declared, distribution, group))
        if not isinstance(declared, Failure):
            found += declared
        elif attempt(partial(_mentions, Path(place), group)) is True:
            error = declared.error.removeprefix(f"{BrokenMetadata.__name__}: ")
            broken.append(Broken(name, Source(name, "", place, name), error, declared.traceback))
    return sorted(found, key=lambda each: (each[1].name, each[0].name, each[0].value)), broken


def _distributions() -> Iterator[Distribution]:
    """All that are installed, up to where looking for them fails."""
    found = iter(distributions())
    while not isinstance(distribution := attempt(partial(next, found, None)), Failure) and distribution is not None:
        yield distribution


def _declared(distribution: Distribution, group: str) -> Declared:
    """A package's entry points of the group."""
    own = [entry_point for entry_point in distribution.entry_points if entry_point.group == group]
    for entry_point in own:
        _check(entry_point)
    if not own:
        return []
    package = Package(_stated(distribution, "Name"), _stated(distribution, "Version"), is_editable(distribution))
    return [(entry_point, package) for entry_point in own]


def _check(entry_point: EntryPoint) -> None:
    """BrokenMetadata for an entry point that names nothing."""
    said = f"{entry_point.name} = {entry_point.value}".strip()
    if not entry_point.name or isinstance(attempt(lambda: entry_point.module), Failure):
        raise BrokenMetadata(f"its entry point '{said}' is not of the form 'name = module' or 'name = module:object'")


def _stated(distribution: Distribution, field: str) -> str:
    found = attempt(lambda: distribution.metadata[field])
    if isinstance(found, Failure):
        raise BrokenMetadata(f"its metadata cannot be read: {found.error}")
    if not isinstance(found, str) or not found.strip():
        raise BrokenMetadata(f"its metadata has no {field}")
    return found


def _mentions(folder: Path, group: str) -> bool:
    """Whether a package whose metadata cannot be read may have entry points of the group."""
    return f"[{group}]".encode() in (folder / "entry_points.txt").read_bytes()


def is_editable(distribution: Distribution) -> bool:
    """Whether the package's files may change while its version stays.

    Editable installs say so in direct_url.json (PEP 610). Metadata without RECORD lies in a source tree.
    """
    url = attempt(lambda: json.loads(distribution.read_text("direct_url.json") or "{}")["dir_info"]["editable"])
    return url is True or attempt(lambda: distribution.read_text("RECORD")) is None
