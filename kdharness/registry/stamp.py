"""What of a plugin enters a cell's key: a package with an integer or its version, or a digest of the source."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kdharness.registry.code import PackageCode
from kdharness.registry.kinds import kind_of
from kdharness.registry.lock import Step
from kdharness.registry.source import Registered, Source

# What can change a method's numbers: Python, and the native code that torch compiles for it.
SUFFIXES = frozenset({".py", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp"})
DIGITS = 16
OWN, PLUGINS = "kdharness", "kdharness_plugins"

# A text or a number by name of the fact; a Stamp by name of the part, where several methods are one.
Stamp = dict[str, Any]


class Stamps:
    """The identities of plugins' code, each found once."""

    def __init__(self) -> None:
        self._found: dict[tuple[Source, int | None], Stamp] = {}

    def of(self, registered: Registered[Any]) -> Stamp:
        """package and revision or version, or a digest of the source; of an edited built-in both."""
        if registered.source.distribution == OWN:
            return self._built_in(registered)
        revision: int | None = getattr(registered.spec, "revision", None)
        # The digest covers a whole package, so the file of the one record does not matter to it.
        key = (replace(registered.source, file=""), revision)
        if key not in self._found:
            self._found[key] = _stamp(registered.source, revision)
        return dict(self._found[key])

    def _built_in(self, registered: Registered[Any]) -> Stamp:
        step = self.step(registered)
        found: Stamp = {"package": OWN, "revision": step.revision}
        return found if self._code.lock.holds(lock_name(registered), step) else {**found, "digest": step.digest}

    def step(self, registered: Registered[Any]) -> Step:
        """The revision of a built-in, and the digest of its code as it is now."""
        revision: int | None = registered.spec.revision
        return Step(1 if revision is None else revision, self._code.digest(Path(registered.source.file)))

    @cached_property
    def _code(self) -> PackageCode:
        return PackageCode(PLUGINS, Path(next(iter(sys.modules[PLUGINS].__path__))))


def lock_name(registered: Registered[Any]) -> str:
    """What the lock file calls a built-in."""
    return f"{kind_of(registered.spec).name} {registered.spec.name}"


def _stamp(source: Source, revision: int | None) -> Stamp:
    """Of what is not built in. revision: what its spec declares."""
    if source.kind == "file":
        return {"digest": source.digest[:DIGITS]}
    if source.editable:
        return {"digest": source_digest(source)[:DIGITS]}
    if revision is not None:
        return {"package": source.distribution, "revision": revision}
    return {"package": source.distribution, "version": source.version}


def source_digest(source: Source) -> str:
    """SHA-256 over relative paths and contents of the source files of the package (or module) that holds the plugin."""
    found = hashlib.sha256()
    for name, path in sorted(_source_files(source).items()):
        content = path.read_bytes()
        found.update(f"{name}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


def _source_files(source: Source) -> dict[str, Path]:
    roots = _package_folders(source.module)
    if not roots:
        return {Path(source.file).name: Path(source.file)}
    return {
        path.relative_to(root).as_posix(): path
        for root in roots
        for path in root.rglob("*")
        if path.suffix in SUFFIXES and path.is_file()
    }


def _package_folders(module: str) -> list[Path]:
    """The folders of the outermost package that holds `module`, namespace packages aside: others share them."""
    parts = module.split(".")
    for length in range(1, len(parts) + 1):
        package = sys.modules.get(".".join(parts[:length]))
        if package is not None and getattr(package, "__file__", None):
            return [Path(folder) for folder in getattr(package, "__path__", ())]
    return []
