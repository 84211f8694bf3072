"""Reading many JSON files, some of which others may have damaged."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kdharness.errors import UserError
from kdharness.failures import one_line
from kdharness.plain_files import open_plain
from kdharness.results.seal import check_seal
from kdharness.results.sharing import Shared

Read = TypeVar("Read")

# No record or plan comes near it, and a file that is larger would fill the memory.
MOST_BYTES = 2**30
# A version beyond this was never written by a newer release: the file is damaged.
NEWEST_SCHEMA = 1000


@dataclass(frozen=True)
class Fault:
    """Why a file that is there cannot be used. refused: by the system, so that nobody knows what it holds."""

    reason: str
    refused: bool = False


class JsonReader:
    """Reads JSON objects of known schema versions.

    warn: called with one line for each file that cannot be used, once per file.
    faults: by path of each file that could not be used when it was last read.
    shared: what their readers share of many files.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._warned: set[str] = set()
        self.faults: dict[Path, Fault] = {}
        self.shared = Shared()

    def read(self, path: Path, parse: Callable[[Mapping[str, Any]], Read], schemas: Collection[int]) -> Read | None:
        """What `parse` makes of the object; None when there is no file, or none that can be read (a warning).

        schemas: () for a file that has no versions. UserError for a newer version than these.
        """
        return self._read(path, lambda data, text: parse(data), schemas)

    def read_sealed(
        self, path: Path, parse: Callable[[Mapping[str, Any], bool], Read], schemas: Collection[int]
    ) -> Read | None:
        """Likewise of a file with a digest, which is damaged where its values are others. parse: is also told whether
        there is one.
        """
        return self._read(path, lambda data, text: parse(data, check_seal(data, text)), schemas)

    def _read(
        self, path: Path, parse: Callable[[Mapping[str, Any], bytes], Read], schemas: Collection[int]
    ) -> Read | None:
        """parse: gets the object and the text."""
        self.faults.pop(path, None)
        try:
            data, text = json_object(path)
            found = data.get("schema")
            if schemas and type(found) is int and max(schemas) < found <= NEWEST_SCHEMA:
                raise UserError(f"{path} has schema version {found}, this release of kdharness reads {max(schemas)}")
            return parse(data, text)
        except FileNotFoundError:
            return None
        # What a damaged file may hold has no end, and what it raises where it is used neither.
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            refused = isinstance(error, OSError) and error.errno is not None
            self.faults[path] = Fault(_reason(error), refused)
            self.warn(f"{path} cannot be read and counts as absent ({self.faults[path].reason})")
            return None

    def warn(self, message: str) -> None:
        """Says it, if it was not said before."""
        if message not in self._warned:
            self._warned.add(message)
            self._warn(message)


def json_object(path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON object in a file, and its text. OSError for what is no plain file, ValueError for what is no object,
    RecursionError for one that is too deep.
    """
    with open_plain(path, MOST_BYTES) as file:
        text = file.read(MOST_BYTES + 1)
    data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("not an object")
    return data, text


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, OSError):
        return error.strerror or one_line(error)
    return one_line(error)


@contextmanager
def collector_paused() -> Iterator[None]:
    """For a stretch of work that keeps what it makes: the search for garbage in all of it, again and again, takes
    longer than the reading of a large folder.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
