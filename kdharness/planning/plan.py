"""The plan: the cells that a command asks for, what each requires, and why some will not run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from kdharness.planning.cell import Cell
from kdharness.planning.former import upgraded
from kdharness.planning.shapes import check_fields, is_bounded
from kdharness.protocol.claim import Claim

# Raised when the form of a plan's file changes; those before are read too.
PLAN_SCHEMA = 3
PLAN_SCHEMAS = (1, 2, PLAN_SCHEMA)


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell of a plan.

    cell: the cell.
    skip: why it will not run; "" when it will.
    """

    cell: Cell
    skip: str = ""


@dataclass(frozen=True)
class Plan:
    """All that a command asks for.

    benchmark: the benchmark's name.
    cells: what is required comes first.
    summary: the benchmark's line for listings.
    note: a sentence that reports show above the table.
    references: the methods that gains are measured against.
    metrics: names of those to compute.
    warnings: one line each.
    command: the arguments that it was made from.
    created_at: ISO 8601 in UTC.
    claims: what reports put to the test.
    ablated: the method whose parts are compared; "" for none.
    parts: by cell key, the parts that the cell stands for in that comparison; the method's name is the whole of it.
        A cell stands for several where a part makes no difference.
    """

    benchmark: str
    cells: tuple[PlannedCell, ...]
    summary: str = ""
    note: str = ""
    references: tuple[str, ...] = ("vanilla", "kd")
    metrics: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    created_at: str = ""
    claims: tuple[Claim, ...] = ()
    ablated: str = ""
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data that shares its parts with the plan."""
        return {
            **{each.name: getattr(self, each.name) for each in fields(self)},
            "cells": [{"cell": planned.cell.to_json(), "skip": planned.skip} for planned in self.cells],
            "claims": [claim.to_json() for claim in self.claims],
            "schema": PLAN_SCHEMA,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], is_sealed: bool = False) -> Plan:
        """ValueError when the data is of another schema version or lacks something. Planned cells may be made already.

        is_sealed: its digest says that it is as it was written, so that types need no look.
        """
        if data.get("schema") not in PLAN_SCHEMAS:
            raise ValueError(f"schema version {data.get('schema')!r}, this release reads {PLAN_SCHEMA}")
        rest: dict[str, Any] = {k: v for k, v in data.items() if k != "schema"}
        try:
            cells = tuple(_planned(each, is_former=data["schema"] != PLAN_SCHEMA) for each in rest.pop("cells"))
            claims = tuple(Claim.model_validate(c) for c in _bounded(rest.pop("claims", ())))
            parts = rest["parts"].items()  # 0.1.0 had one name for each
            rest["parts"] = {key: (names,) if isinstance(names, str) else _listed(names) for key, names in parts}
            names = ("references", "metrics", "warnings", "command")
            rest = {k: _listed(v) if k in names else v for k, v in rest.items()}
            plan = cls(cells=cells, claims=claims, **rest)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a plan: {error}") from None
        if not is_sealed:
            check_fields(plan)
        return plan


def _planned(data: Any, is_former: bool) -> PlannedCell:
    if isinstance(data, PlannedCell):
        return data
    return PlannedCell(Cell.from_json(upgraded(data["cell"]) if is_former else data["cell"]), data["skip"])


def _listed(value: object) -> tuple[Any, ...]:
    """ValueError for what is no list: of a text, a tuple would have the letters."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{value!r:.40} is no list")
    return tuple(value)


def _bounded(value: object) -> tuple[Any, ...]:
    if not is_bounded(value):
        raise ValueError("a number is not finite or too large")
    return _listed(value)
