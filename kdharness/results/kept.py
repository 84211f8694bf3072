"""What was last read of a large folder, kept beside it (`.kept/`) for as long as no record and no plan of it changes.

Nothing needs it: what is torn, of another state or of other code is read anew. A file counts as unchanged while its
inode, size and times are the same, the time of its last change among them, which nobody sets by hand: so what comes
with a folder from another machine is never believed. `kdharness verify` reads everything whatever is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdharness.errors import UserError
from kdharness.protocol.claim import Claim
from kdharness.results.files import write_atomic

if TYPE_CHECKING:
    import pandas as pd

FOLDER = ".kept"
# A smaller folder is read as fast.
LEAST_CELLS = 1000
SCHEMA = 2


@dataclass(frozen=True)
class Head:
    """What there is to say of a folder beside its tables.

    counts: planned cells by status.
    references: the reference methods of the newest plan; () where there is none.
    claims: what it puts to the test.
    ablates: whether some plan takes a method apart.
    left_out: how many records no plan produces any more, or have sources with other weights now; 0 without a plan.
    notes: by benchmark and dataset.
    note: that of all.
    """

    counts: Mapping[str, int]
    references: tuple[str, ...] = ()
    claims: tuple[Claim, ...] = ()
    ablates: bool = False
    left_out: int = 0
    notes: Mapping[tuple[str, str], str] = field(default_factory=dict)
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        notes = [[*whose, note] for whose, note in self.notes.items()]
        return {**vars(self), "notes": notes, "claims": [claim.to_json() for claim in self.claims]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Head:
        """LookupError, TypeError, ValueError or AttributeError for what is none."""
        return cls(
            counts=dict(data["counts"]),
            references=tuple(data["references"]),
            claims=tuple(map(Claim.model_validate, data["claims"])),
            ablates=data["ablates"],
            left_out=data["left_out"],
            notes={(benchmark, dataset): note for benchmark, dataset, note in data["notes"]},
            note=data["note"],
        )


@dataclass(frozen=True)
class Kept:
    """folder: where it lies. stamp: of the records and plans as they are now."""

    folder: Path
    stamp: str

    @classmethod
    def of(cls, path: Path, files: Iterable[str]) -> Kept:
        """files: of the benchmark's folder at `path`, whose state decides."""
        return cls(path / FOLDER, stamp_of(files))

    @cached_property
    def head(self) -> Head | None:
        """None where there is none of this state; likewise the others."""
        with suppress(LookupError, TypeError, ValueError, AttributeError):
            return Head.from_json(self._read("head.json"))
        return None

    def doubts(self) -> tuple[str, ...] | None:
        """Also None where a file beside the records has changed."""
        data = self._read("doubts.json")
        with suppress(LookupError, TypeError, ValueError):
            if data["of"] == stamp_of(data["files"]):
                return tuple(data["doubts"])
        return None

    def table(self, name: str) -> pd.DataFrame | None:
        """As it was made, to the last bit."""
        from kdharness.results.kept_tables import read_table  # loads pandas

        return read_table(self._table(name), self.stamp)

    def keep(self, head: Head) -> None:
        """Where that can be; likewise the others."""
        with suppress(UserError):
            self._write("head.json", head.to_json())

    def keep_table(self, name: str, table: pd.DataFrame) -> None:
        from kdharness.results.kept_tables import write_table  # loads pandas

        with suppress(UserError):
            write_table(self._table(name), self.stamp, table)

    def keep_doubts(self, doubts: Sequence[str], files: Sequence[str], before: str) -> None:
        """files: that were looked at. before: their stamp when that began."""
        with suppress(UserError):
            self._write("doubts.json", {"doubts": list(doubts), "files": files, "of": before})

    def _table(self, name: str) -> Path:
        return self.folder / f"{name}.npz"

    def _read(self, name: str) -> Any:
        """{} where there is none of this state."""
        with suppress(OSError, ValueError, RecursionError):
            data = json.loads((self.folder / name).read_bytes())
            if isinstance(data, dict) and data.get("stamp") == self.stamp:
                return data
        return {}

    def _write(self, name: str, data: Mapping[str, Any]) -> None:
        write_atomic(self.folder / name, json.dumps({"stamp": self.stamp, **data}))


def stamp_of(files: Iterable[str]) -> str:
    """files: whole paths. Changes when one of the files does, and with the code that reads them."""
    found = hashlib.sha256(f"{SCHEMA} {_code()}".encode())
    for path in files:
        found.update(f"\n{path} {_state(path)}".encode(errors="surrogateescape"))
    return found.hexdigest()


def _state(path: Path | str) -> str:
    try:
        about = os.stat(path)
    except OSError:
        return "absent"
    return f"{about.st_ino} {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"


@cache
def _code() -> str:
    """Of this package's files, which may be edited without a release."""
    root = Path(__file__).parents[1]
    states = (f"{path} {_state(path)}" for path in sorted(root.rglob("*.py")))
    return hashlib.sha256("\n".join(states).encode(errors="surrogateescape")).hexdigest()
