"""What a page keeps for whoever looks closer: protocol and circumstances, tracebacks, the tables themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from kdharness.report.leaderboard import tables_of
from kdharness.results.contents import Contents
from kdharness.results.table import DOCUMENT_PARTS, csv_text
from kdharness.stats.board import NONE
from kdharness.stats.outcomes import Problem
from kdharness.stats.plugin_columns import PluginColumns
from kdharness.stats.rankings import Ranking, rows_by_setting
from kdharness.text import printable, seeds_text

# Label and text.
Fact = tuple[str, str]


@dataclass(frozen=True)
class Appendix:
    """facts: of each ranking, in their order. tracebacks: by cell of each problem. tables: CSV texts by file name."""

    facts: tuple[tuple[Fact, ...], ...] = ()
    tracebacks: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)

    def of_ranking(self, place: int) -> tuple[Fact, ...]:
        return self.facts[place] if self.facts else ()


def appendix_of(
    contents: Contents,
    frame: pd.DataFrame,
    rankings: Sequence[Ranking],
    problems: Iterable[Problem],
    added: PluginColumns = NONE,
) -> Appendix:
    """frame: the folder's table, of which the rankings are made. added: the leaderboard's columns of plugins."""
    rows = {each: rows_by_setting(frame, each) for each in {ranking.deviations for ranking in rankings}}
    documents = contents.documents_frame.set_index("cell")
    facts = (_facts(documents, r, rows[r.deviations][tuple(r.names.values())]) for r in rankings)
    return Appendix(
        tuple(tuple(each) for each in facts),
        {problem.cell: text for problem in problems if (text := _traceback(contents, problem.cell))},
        {name: csv_text(table) for name, table in tables_of(contents, added).items() if len(table)},
    )


def _traceback(contents: Contents, cell: str) -> str:
    """Line by line, each printable."""
    record = contents.record(cell)
    return "\n".join(map(printable, record.traceback.splitlines())) if record is not None else ""


def _facts(documents: pd.DataFrame, ranking: Ranking, rows: pd.DataFrame) -> Iterator[Fact]:
    """The protocol as its cells were identified by, then the circumstances they were measured in."""
    names, ok = ranking.names, rows[rows["status"] == "ok"]
    yield "protocol", names["protocol"]
    said = documents.reindex(rows["cell"])
    for label in DOCUMENT_PARTS:
        texts = _distinct(json.loads(text) for text in said[label].dropna().unique() if text)
        if texts:
            yield label, " | ".join(texts)
    yield "seeding", names["seeding"]
    yield "seeds", seeds_text(rows["seed"].dropna())
    yield "cells", f"{len(ok)} of {len(rows)} are ok"
    for label, column in CIRCUMSTANCES:
        texts = _distinct(ok[column])
        if texts:
            yield label, " | ".join(texts)
    finished = sorted(_distinct(ok["finished_at"]))
    if finished:
        yield "measured", f"{finished[0]} to {finished[-1]}"


CIRCUMSTANCES = (
    ("epochs", "epochs"), ("selection", "selection"), ("teachers' weights", "teacher_digest"), ("device", "device"),
    ("precision", "precision"), ("fingerprint", "fingerprint"), ("kdharness", "kdharness_version"),
    ("torch", "torch_version"),
)  # fmt: skip


def _distinct(values: Iterable[Any]) -> list[str]:
    """Each text once."""
    return list(dict.fromkeys(text for value in values if (text := _text(value))))


def _text(value: Any) -> str:
    """'epochs 100, lr 0.1' of a part of a document."""
    if isinstance(value, Mapping):
        return printable(", ".join(f"{key} {_text(each)}" for key, each in value.items() if _text(each)))
    if isinstance(value, list):
        return json.dumps(value)
    return "" if value is None or value is pd.NA else printable(str(value))
