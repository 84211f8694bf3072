"""Equal parts of many records and plans, held in memory once: of a large folder most parts are equal."""

from __future__ import annotations

import hashlib
import marshal
import sys
from collections.abc import Callable, Mapping
from typing import Any

from kdharness.planning.cell import Cell
from kdharness.planning.plan import PlannedCell

PLANNED = {"cell", "skip"}
# What many records have in common beside their cells' parts.
ALIKE = ("error_type", "error_message", "traceback", "sources")


class Shared:
    """What was met so far. Nobody changes what a record or a plan holds."""

    def __init__(self) -> None:
        self._known: dict[bytes, Any] = {}
        self._made: dict[tuple[Callable[[Any], Any], bytes], Any] = {}
        self._cells: dict[bytes, Cell] = {}

    def of(self, value: Any) -> Any:
        """The first value that was exactly this one, types included: 4 is not 4.0."""
        if isinstance(value, str):
            return sys.intern(value)
        if isinstance(value, dict | list):
            return self._known.setdefault(marshal.dumps(value, 2), value)
        return value

    def fields(self, data: Any) -> Any:
        """An object with each of its values shared; what is none as it is."""
        if not isinstance(data, dict):
            return data
        return {sys.intern(name): self.of(value) for name, value in data.items()}

    def made(self, make: Callable[[Any], Any], data: Any) -> Any:
        """What the function made of exactly this before, else what it makes of it now."""
        what = make, marshal.dumps(data, 2)
        if what not in self._made:
            self._made[what] = make(data)
        return self._made[what]

    def cell(self, data: Any) -> Any:
        """The cell, one for a plan and a record that say the same of it. What is none of today's is left as it is."""
        if not isinstance(data, dict):
            return data
        what = hashlib.blake2b(marshal.dumps(data, 2), digest_size=16).digest()
        if what not in self._cells:
            try:
                # No other cell has the same document, but most of its parts.
                document = {"document": self.fields(data["document"])}
                own = self.fields({name: value for name, value in data.items() if name != "document"})
                self._cells[what] = Cell.from_json({**own, **document}, self.made)
            except (ValueError, LookupError, TypeError, AttributeError):
                return data  # who reads it says what is wrong, or it is of a former release
        return self._cells[what]

    def record(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A record's, as its file holds it, with its cell."""
        found = {**data, "cell": self.cell(data.get("cell")), "values": self.fields(data.get("values"))}
        found |= {name: self.of(data.get(name)) for name in ALIKE}
        if isinstance(data.get("metrics"), list):
            found["metrics"] = [self.fields(row) for row in data["metrics"]]
        if isinstance(data.get("measured"), list):
            found["measured"] = self.made(tuple, data["measured"])
        return {name: value for name, value in found.items() if name in data}

    def planned(self, data: dict[str, Any]) -> Any:
        """A cell of a plan, as soon as it is parsed: of a large plan the plain data takes several times as much. Any
        other object as it is.
        """
        if data.keys() != PLANNED or not isinstance(cell := self.cell(data["cell"]), Cell):
            return data
        return PlannedCell(cell, data["skip"])
