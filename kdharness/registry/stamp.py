"""What of a plugin enters a cell's key: a package with an integer or its version, or a digest of the source."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from kdharness.registry.source import Source

# What can change a method's numbers: Python, and the native code that torch compiles for it.
SUFFIXES = frozenset({".py", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp"})
DIGITS = 16


def stamp(source: Source, revision: int | None) -> dict[str, str | int]:
    """The identity of a plugin's code. revision: what its spec declares."""
    if source.kind == "file":
        return {"digest": source.digest[:DIGITS]}
    if source.distribution == "kdharness":
        return {"package": source.distribution, "revision": 1 if revision is None else revision}
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
