"""What is installed of a kind, as plain data: a plan is expanded without the registry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kdharness.errors import UnknownName, UserError

if TYPE_CHECKING:
    from kdharness.registry.manager import Registry

S = TypeVar("S")


@dataclass(frozen=True)
class Installed(Generic[S]):
    """A spec, the package (or file) it came from, and what of its plugin enters the keys of cells.

    parts: of methods that are trained as one, each by its name.
    """

    spec: S
    package: str
    stamp: Mapping[str, Any]
    parts: Mapping[str, Installed[S]] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        """The package that its code is of, or its file."""
        each = dict.fromkeys(part.provider for part in self.parts.values())
        return "+".join(each) or str(self.stamp.get("package", self.package))

    @property
    def revision(self) -> str:
        """What its plugin declares, else a version or digest; of an edited built-in "1+0a1b…", with its digest."""
        if self.parts:
            return ", ".join(f"{name} {part.revision}" for name, part in self.parts.items())
        return "+".join(str(self.stamp[part]) for part in ("revision", "version", "digest") if part in self.stamp)


@dataclass(frozen=True)
class Catalogue(Generic[S]):
    """Everything of a kind ("method", "model") by name.

    aliases: every "package/name", and the name in `by_name` that it stands for.
    claimed: names that several plugins claim, so that nobody gets them, with the line that says so.
    broken: a line for each plugin that failed and may have held others.
    """

    kind: str
    by_name: Mapping[str, Installed[S]]
    aliases: Mapping[str, str] = field(default_factory=dict)
    claimed: Mapping[str, str] = field(default_factory=dict)
    broken: tuple[str, ...] = ()

    def name_of(self, name: str) -> str:
        """The name in `by_name` that a name or "package/name" stands for."""
        return self.aliases.get(name, name)

    def get(self, name: str) -> Installed[S]:
        """UserError when nobody provides it, or several claim it."""
        name = self.name_of(name)
        if name in self.by_name:
            return self.by_name[name]
        if name in self.claimed:
            raise UserError(self.claimed[name])
        error = UnknownName(self.kind, name, [*self.by_name, *self.claimed])
        raise UserError(f"{error}\n{'; '.join(self.broken)}") if self.broken else error


def catalogue(kind: str, registry: Registry) -> Catalogue[Any]:
    """What the registry has of a kind."""
    by_name: dict[str, Installed[Any]] = {
        name: Installed(found.spec, found.source.distribution or found.source.file, registry.stamp(found))
        for name, found in registry.known(kind).items()
    }
    claimed = {
        name: f"{kind} '{name}' is claimed twice, by {' and by '.join(map(str, sources))}"
        for (of_kind, name), sources in registry.clashes.items()
        if of_kind == kind
    }
    broken = tuple(str(failed) for failed in registry.broken if failed.hook in ("", f"kdharness_{kind}s"))
    return Catalogue(kind, by_name, registry.aliases(kind), claimed, broken)
