"""A worker's view tables: which teachers they serve, where they lie, and what is to be said of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kdharness.api.executors import TeacherUse
from kdharness.api.specs import ViewInfo
from kdharness.engine.teachers import Teacher
from kdharness.engine.view_table import ViewTable
from kdharness.planning.teacher_uses import pays
from kdharness.registry.manager import Registry


class ViewTables:
    """The tables of one results folder.

    root: where they lie. uses: how often teachers would run; those that it says nothing of run online.
    """

    def __init__(self, root: Path, registry: Registry, uses: Iterable[TeacherUse] = ()) -> None:
        self.root = root
        self.registry = registry
        self.uses = {use.teacher: use for use in uses}
        self._tables: dict[tuple[str, str, ViewInfo, int, int], ViewTable] = {}
        self._said: dict[str, None] = {}
        self._full = False

    def knows(self, teacher: Teacher) -> bool:
        """Whether a teacher could have tables."""
        return bool(teacher.facts) and teacher.source in self.uses and not self._full

    def serves(self, teacher: Teacher, each: int) -> bool:
        """Whether a table of a teacher that it knows pays. each: how many pictures a view has of an image."""
        return pays(self.uses[teacher.source], each)

    def of(self, teacher: Teacher, view: str, info: ViewInfo, size: int, total: int) -> ViewTable:
        """The table of a teacher that is served, on a view, in batches of one size. total: how many pictures it has."""
        key = teacher.facts, view, info, size, total
        if key not in self._tables:
            facts = {**json.loads(teacher.facts), "view": self._view(view, info), "batch": size, "pictures": total}
            self._tables[key] = ViewTable(self.root, facts, total)
        return self._tables[key]

    def _view(self, name: str, info: ViewInfo) -> Mapping[str, Any]:
        stamp = dict(self.registry.stamp(self.registry.get("view", name)))
        return {"name": name, "plugin": stamp, "augmentation": asdict(info.augmentation), "size": list(info.size)}

    def say(self, line: str) -> None:
        """Keeps a line for the user."""
        self._said[f"view table: {line}"] = None

    def give_up(self, why: str) -> None:
        """Tables keep nothing more."""
        self._full = True
        self.say(f"{why}; nothing more is kept of what teachers say")

    def lines(self) -> list[str]:
        """What is to be said since the last call."""
        for table in self._tables.values():
            for line in table.lines():
                self.say(line)
        found, self._said = list(self._said), {}
        return found
