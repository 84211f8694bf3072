"""The lock file of the built-ins: which revision stands for which code.

A built-in whose code equals the lock's is known by its revision alone, whether its files may change or not. One that
was edited has the digest of its code beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from kdharness.errors import UserError

FILE = "lock.json"


@dataclass(frozen=True)
class Step:
    """One state of a built-in's code.

    revision: that its spec declared.
    digest: of its file and of all files of the package that this one imports.
    unchanged: why its numbers are those of the step before, where the revision is too.
    """

    revision: int
    digest: str
    unchanged: str = ""


@dataclass(frozen=True)
class LockedFile:
    """A file as it was locked.

    content: the digest of its bytes, by which it is known again without being parsed.
    tree: the digest of its syntax tree.
    imports: the files of the package that it imports.
    """

    content: str
    tree: str
    imports: tuple[str, ...]


@dataclass(frozen=True)
class Lock:
    """What a package's lock file holds.

    files: by path below the package.
    trails: by built-in ("method kd"), the steps of its code, the oldest first.
    """

    files: Mapping[str, LockedFile] = field(default_factory=dict)
    trails: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Lock:
        """An empty one where there is no file. UserError for a file that is no lock."""
        if not path.is_file():
            return cls()
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            files = {name: LockedFile(**{**f, "imports": tuple(f["imports"])}) for name, f in data["files"].items()}
            trails = {name: tuple(Step(**step) for step in steps) for name, steps in data["trails"].items()}
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise UserError(f"{path} is not a lock file: {type(error).__name__}: {error}") from None
        return cls(files, trails)

    def holds(self, name: str, step: Step) -> bool:
        """Whether this is the locked code of a built-in."""
        last = self.trails.get(name, (None,))[-1]
        return last is not None and (last.revision, last.digest) == (step.revision, step.digest)

    @property
    def text(self) -> str:
        """The file's: a line for each file and for each step, so that changes of two hands meet in few lines."""
        files = (f"{json.dumps(name)}: {json.dumps(asdict(file))}" for name, file in sorted(self.files.items()))
        trails = (f"{json.dumps(name)}: [\n{_lines(map(_text, t))}\n]" for name, t in sorted(self.trails.items()))
        return f'{{\n"files": {{\n{_lines(files)}\n}},\n"trails": {{\n{_lines(trails)}\n}}\n}}\n'


def _lines(parts: Iterable[str]) -> str:
    return ",\n".join(parts)


def _text(step: Step) -> str:
    return json.dumps({name: value for name, value in asdict(step).items() if value != ""})
