"""Equal parts of many records and plans, held in memory once: of a large folder most parts are equal."""

from __future__ import annotations

import marshal
import sys
from collections.abc import Mapping
from typing import Any


class Shared:
    """What was met so far. Nobody changes what a record or a plan holds."""

    def __init__(self) -> None:
        self._known: dict[bytes, Any] = {}

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

    def cell(self, data: Any) -> Any:
        """A cell's; of its document, which no other cell has, the parts."""
        if not isinstance(data, dict):
            return data
        document = {"document": self.fields(data["document"])} if "document" in data else {}
        return {**self.fields({k: v for k, v in data.items() if k != "document"}), **document}

    def record(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A record's, as its file holds it."""
        found = {**data, "cell": self.cell(data.get("cell")), "values": self.fields(data.get("values"))}
        if isinstance(data.get("metrics"), list):
            found["metrics"] = [self.fields(row) for row in data["metrics"]]
        return {name: value for name, value in found.items() if name in data}

    def plan(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A plan's, likewise."""
        cells = data.get("cells")
        if not isinstance(cells, list):
            return dict(data)
        return {**data, "cells": [self._planned(each) for each in cells]}

    def _planned(self, data: Any) -> Any:
        return {**data, "cell": self.cell(data["cell"])} if isinstance(data, dict) and "cell" in data else data
