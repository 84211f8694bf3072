"""Reading many JSON files, some of which others may have damaged."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kdharness.errors import UserError
from kdharness.failures import one_line
from kdharness.plain_files import open_plain
from kdharness.results.seal import check_seal, is_as_written
from kdharness.results.sharing import Shared

Read = TypeVar("Read")
Json = Mapping[str, Any]
# What takes the place of a JSON object while a file is parsed: itself, or what is made of it.
Part = Callable[[dict[str, Any]], Any]

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
    trusts_digests: whether a file that matches its own digest is held to be as kdharness wrote it. A stranger finds a
        digest for anything.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._warned: set[str] = set()
        self.faults: dict[Path, Fault] = {}
        self.shared = Shared()
        self.trusts_digests = True

    def read(self, path: Path, parse: Callable[[Mapping[str, Any]], Read], schemas: Collection[int]) -> Read | None:
        """What `parse` makes of the object; None when there is no file, or none that can be read (a warning).

        schemas: () for a file that has no versions. UserError for a newer version than these.
        """
        return self._read(path, lambda data, as_written: parse(data), schemas)

    def read_sealed(
        self, path: Path, parse: Callable[[Json, bool], Read], schemas: Collection[int], part: Part | None = None
    ) -> Read | None:
        """Likewise of a file with a digest, which is damaged where its values are others. parse: is also told whether
        there is one. part: of each object in a file that is as it was written.
        """

        def sealed(data: Json, as_written: bool) -> Read:
            return parse(data, (as_written or check_seal(data)) and self.trusts_digests)

        return self._read(path, sealed, schemas, part)

    def _read(
        self, path: Path, parse: Callable[[Json, bool], Read], schemas: Collection[int], part: Part | None = None
    ) -> Read | None:
        """parse: gets the object, and whether it is as it was written."""
        self.faults.pop(path, None)
        try:
            data, as_written = json_object(path, part)
            found = data.get("schema")
            if schemas and type(found) is int and max(schemas) < found <= NEWEST_SCHEMA:
                raise UserError(f"{path} has schema version {found}, this release of kdharness reads {max(schemas)}")
            return parse(data, as_written)
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


def json_object(path: Path, part: Part | None = None) -> tuple[dict[str, Any], bool]:
    """The JSON object in a file, and whether its digest says that it is as it was written. OSError for what is no plain
    file, ValueError for what is no object, RecursionError for one that is too deep.

    part: of each object in a file that is as it was written.
    """
    with open_plain(path, MOST_BYTES) as file:
        text = file.read(MOST_BYTES + 1)
    if as_written := is_as_written(text):
        decoded = text.decode()
        del text  # of a large plan, twice the text is more than all that is made of it
        data = json.loads(decoded, object_hook=part)
    else:
        data = json.loads(text)
    if not isinstance(data, dict):
        raise ValueError("not an object")
    return data, as_written


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "nested too deep"
    if isinstance(error, OSError):
        return error.strerror or one_line(error)
    return one_line(error)
