"""The records of one kind by name: who has a name alone, and what a name is called that several claim."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kdharness.errors import UnknownName, UserError
from kdharness.registry.kinds import Kind, same_definition
from kdharness.registry.source import Registered, Source


@dataclass(frozen=True)
class Collection:
    """All records of a kind, in order of names and of plugins; what is registered twice is here once."""

    kind: Kind
    records: tuple[Registered[Any], ...]

    @classmethod
    def of(cls, kind: Kind, records: Iterable[Registered[Any]]) -> Collection:
        """Of all that hooks returned."""
        kept: list[Registered[Any]] = []
        for record in records:
            if not any(_same(kind, record, other) for other in kept):
                kept.append(record)
        return cls(kind, tuple(sorted(kept, key=lambda record: record.spec.name)))

    @cached_property
    def by_name(self) -> Mapping[str, Registered[Any]]:
        """Those whose name nobody else claims."""
        return {r.spec.name: r for r in self.records if r.spec.name not in self.clashes}

    @cached_property
    def known(self) -> Mapping[str, Registered[Any]]:
        """Those, and "package/name" of each that shares its name."""
        shared = {name: r for name, r in self._qualified.items() if r.spec.name in self.clashes}
        return {**self.by_name, **shared}

    @cached_property
    def clashes(self) -> Mapping[str, list[Source]]:
        """Who claims a name, by each that several claim."""
        sources: dict[str, list[Source]] = {}
        for record in self.records:
            sources.setdefault(record.spec.name, []).append(record.source)
        return {name: found for name, found in sources.items() if len(found) > 1}

    @cached_property
    def aliases(self) -> Mapping[str, str]:
        """Every "package/name", and the name of `known` that it stands for."""
        return {q: q if r.spec.name in self.clashes else r.spec.name for q, r in self._qualified.items()}

    @cached_property
    def _qualified(self) -> Mapping[str, Registered[Any]]:
        """By "package/name", but for a name that one package claims twice."""
        names = [f"{_package(record.source)}/{record.spec.name}" for record in self.records]
        return {name: r for name, r in zip(names, self.records, strict=True) if names.count(name) == 1}

    def name_of(self, name: str) -> str:
        """The name of `known` that a name or "package/name" stands for; itself where it stands for nothing."""
        package, slash, short = name.rpartition("/")
        return self.aliases.get(f"{_normal(package)}/{short}", name) if slash else name

    def get(
        self, name: str, where: str, suspects: Sequence[str], elsewhere: Callable[[], str] = lambda: ""
    ) -> Registered[Any]:
        """UserError when nobody provides it or several claim it.

        suspects: lines on what may have held it. elsewhere: what other kind of thing is called so.
        """
        if name in self.clashes:
            raise UserError(self.clash_line(name, where))
        found = self.known.get(self.name_of(name))
        if found is not None:
            return found
        short = name.rpartition("/")[2]
        others = [q for q, r in self._qualified.items() if "/" in name and r.spec.name == short]
        error = UnknownName(self.kind.name, name, [*self.known, *self.clashes, *others], where, elsewhere())
        raise UserError(f"{error}\n{'; '.join(suspects)}") if suspects else error

    def clash_line(self, name: str, where: str = "") -> str:
        """Who claims a name, and what to do."""
        place = f" ({where})" if where else ""
        claimants = " and ".join(f"by {source}" for source in self.clashes[name])
        qualified = " or ".join(q for q, r in self._qualified.items() if r.spec.name == name)
        ways = f"say {qualified}, " if qualified else ""
        line = f"{self.kind.name} '{name}'{place} is claimed twice, {claimants}"
        return f"{line}; {ways}rename one, or leave out its plugin"


def _same(kind: Kind, one: Registered[Any], other: Registered[Any]) -> bool:
    """Whether a package registered one thing through two entry points."""
    places = [(r.spec.name, r.source.distribution, r.source.file) for r in (one, other)]
    return places[0] == places[1] and same_definition(kind, one.spec, other.spec)


def _package(source: Source) -> str:
    """The package's name as "package/name" has it; of a single file the file's, without .py."""
    return _normal(source.distribution or Path(source.file).stem)


def _normal(package: str) -> str:
    """As installers compare them, and without dots: --set takes what is before the first for the owner."""
    return re.sub(r"[-_.]+", "-", package).lower()
