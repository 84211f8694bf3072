"""The code of a package of plugins that has a lock file: the digest of each plugin's own part of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from kdharness.registry.lock import FILE, Lock, LockedFile
from kdharness.registry.syntax import DIGITS, syntax_of


class PackageCode:
    """The files of a package, each read once, and parsed where it is not the locked one.

    name: the package's. root: its folder.
    """

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root.resolve()
        self.lock = Lock.read(self.root / FILE)
        self._files: dict[str, LockedFile] = {}
        self._digests: dict[Path, str] = {}

    def digest(self, path: Path) -> str:
        """Of a file and of all files of the package that it imports, directly or not."""
        if path not in self._digests:
            self._digests[path] = self._digest(path)
        return self._digests[path]

    def _digest(self, path: Path) -> str:
        wanted, found = [path.resolve().relative_to(self.root).as_posix()], set()
        while wanted:
            name = wanted.pop()
            if name not in found:
                found.add(name)
                wanted += self.file(name).imports
        text = "".join(f"{name}\0{self.file(name).tree}\n" for name in sorted(found))
        return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]

    def file(self, name: str) -> LockedFile:
        """What there is to know of a file. name: its path below the package."""
        if name not in self._files:
            content = (self.root / name).read_bytes()
            digest = hashlib.sha256(content).hexdigest()[:DIGITS]
            locked = self.lock.files.get(name)
            is_known = locked is not None and locked.content == digest and self._exist(locked.imports)
            self._files[name] = locked if locked is not None and is_known else self._parsed(name, content, digest)
        return self._files[name]

    def _exist(self, names: tuple[str, ...]) -> bool:
        return all((self.root / name).is_file() for name in names)

    def _parsed(self, name: str, content: bytes, digest: str) -> LockedFile:
        parts = [self.name, *Path(name).with_suffix("").parts]
        is_package = parts[-1] == "__init__"
        module = ".".join(parts[:-1] if is_package else parts)
        syntax = syntax_of(content, module, is_package)
        # The packages around a file run before it does.
        imported = {file for each in (module, *syntax.imports) for file in self._run_by(each)}
        return LockedFile(digest, syntax.tree, tuple(sorted(imported - {name})))

    def _run_by(self, module: str) -> Iterator[str]:
        """The files of the package that run when a module is imported; none for modules of others."""
        top, *parts = module.split(".")
        if top != self.name:
            return
        for length in range(len(parts) + 1):
            below = Path(*parts[:length])
            for file in (below / "__init__.py", below.with_suffix(".py")) if length else (below / "__init__.py",):
                if (self.root / file).is_file():
                    yield file.as_posix()
