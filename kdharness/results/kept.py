"""What was last read of a large folder, kept beside it (`.kept/`) for as long as no record and no plan of it changes.

Nothing needs it: what is torn, of another state or of other code is read anew. A file counts as unchanged while its
inode, size and times are the same, the time of its last change among them, which nobody sets by hand: so what comes
with a folder from another machine is never believed. `kdharness verify` reads everything whatever is kept.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdharness.errors import UserError
from kdharness.results.files import write_atomic

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

FOLDER = ".kept"
# A smaller folder is read as fast.
LEAST_CELLS = 1000
SCHEMA = 1


@dataclass(frozen=True)
class Head:
    """What there is to say of a folder beside its table.

    counts: planned cells by status. references: of the newest plan. notes: by benchmark and dataset. note: of all.
    """

    counts: Mapping[str, int]
    references: tuple[str, ...]
    notes: Mapping[tuple[str, str], str]
    note: str


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
        data = self._read("head.json")
        with suppress(LookupError, TypeError, ValueError, AttributeError):
            notes = {(benchmark, dataset): note for benchmark, dataset, note in data["notes"]}
            return Head(dict(data["counts"]), tuple(data["references"]), notes, data["note"])
        return None

    def doubts(self) -> tuple[str, ...] | None:
        """Also None where a file beside the records has changed."""
        data = self._read("doubts.json")
        with suppress(LookupError, TypeError, ValueError):
            if data["of"] == stamp_of(data["files"]):
                return tuple(data["doubts"])
        return None

    def table(self) -> pd.DataFrame | None:
        """As `frame_of` made it, to the last bit."""
        import numpy as np

        try:
            with np.load(self.folder / "table.npz", allow_pickle=False) as arrays:
                head = json.loads(arrays["head"].tobytes())
                return _frame(arrays, head["columns"]) if head["stamp"] == self.stamp else None
        except (OSError, LookupError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
            return None

    def keep(self, head: Head, table: pd.DataFrame) -> None:
        """Writes both, where that can be."""
        import numpy as np

        arrays, columns = _arrays(table)
        text = json.dumps({"stamp": self.stamp, "columns": columns})
        notes = [[*whose, note] for whose, note in head.notes.items()]
        about = {"counts": dict(head.counts), "references": head.references, "notes": notes, "note": head.note}
        with suppress(UserError):
            write_atomic(self.folder / "table.npz", lambda file: np.savez(file, head=_bytes(text), **arrays))  # type: ignore[arg-type]
            self._write("head.json", about)

    def keep_doubts(self, doubts: Sequence[str], files: Sequence[str], before: str) -> None:
        """files: that were looked at. before: their stamp when that began."""
        with suppress(UserError):
            self._write("doubts.json", {"doubts": list(doubts), "files": files, "of": before})

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


def _arrays(table: pd.DataFrame) -> tuple[dict[str, np.ndarray[Any, Any]], list[tuple[str, str]]]:
    """The values of all columns, and each one's name and kind. Texts are numbered: most occur many times."""
    import numpy as np
    import pandas as pd

    arrays: dict[str, np.ndarray[Any, Any]] = {}
    columns = []
    for place, name in enumerate(table.columns):
        column = table[name]
        if column.dtype == "Int64":
            kind, arrays[f"missing{place}"] = "integer", column.isna().to_numpy()
            arrays[f"values{place}"] = column.to_numpy(dtype=np.int64, na_value=0)
        elif column.dtype == np.float64:
            kind, arrays[f"values{place}"] = "number", column.to_numpy()
        else:
            codes, texts = pd.factorize(column)
            kind, arrays[f"values{place}"] = "text", codes.astype(np.int32)
            arrays[f"texts{place}"] = _bytes(json.dumps(list(texts)))
        columns.append((str(name), kind))
    return arrays, columns


def _frame(arrays: Mapping[str, np.ndarray[Any, Any]], columns: Sequence[tuple[str, str]]) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    found: dict[str, pd.Series[Any]] = {}
    for place, (name, kind) in enumerate(columns):
        values = arrays[f"values{place}"]
        if kind == "integer":
            found[name] = pd.Series(pd.arrays.IntegerArray(values, arrays[f"missing{place}"]))
        elif kind == "number":
            found[name] = pd.Series(values)
        else:
            texts = np.array(json.loads(arrays[f"texts{place}"].tobytes()), dtype=object)
            found[name] = pd.Series(texts[values], dtype="object")
    return pd.DataFrame(found, columns=[name for name, _ in columns])


def _bytes(text: str) -> np.ndarray[Any, Any]:
    import numpy as np

    return np.frombuffer(text.encode(), dtype=np.uint8)
