"""Reading many JSON files, some of which others may have damaged."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from kdharness.errors import UserError

Read = TypeVar("Read")


class JsonReader:
    """Reads JSON objects of known schema versions.

    warn: called with one line for each file that cannot be used, once per file.
    """

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._warned: set[str] = set()

    def read(self, path: Path, parse: Callable[[Mapping[str, Any]], Read], schemas: Collection[int]) -> Read | None:
        """What `parse` makes of the object; None when there is no file, or none that can be read (a warning).

        UserError for another schema version than these.
        """
        try:
            data = json.loads(path.read_bytes())
            if not isinstance(data, dict):
                raise ValueError("not an object")
            found = data.get("schema")
            if isinstance(found, int) and found not in schemas:
                raise UserError(f"{path} has schema version {found}, this release of kdharness reads {max(schemas)}")
            return parse(data)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError) as error:
            self.warn(f"{path} cannot be read and counts as absent ({error})")
            return None

    def warn(self, message: str) -> None:
        """Says it, if it was not said before."""
        if message not in self._warned:
            self._warned.add(message)
            self._warn(message)


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
