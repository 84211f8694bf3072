"""Any value at any place of a record, a plan, a progress file or a foreign table: no command ends by it."""

from __future__ import annotations

import copy
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fabricate
import pytest

from kdharness.cli.main import execute
from kdharness.cli.status import counts_table, running_lines
from kdharness.errors import UserError
from kdharness.protocol.claim import Claim
from kdharness.results.store import ResultsFolder
from kdharness.results.table import write_csv

hypothesis = pytest.importorskip("hypothesis", reason="needs the extra 'test'")
strategies = hypothesis.strategies

WORDS = strategies.text(max_size=8)
JSON_VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers(-(2**70), 2**70) | strategies.floats() | WORDS,
    lambda inner: (
        strategies.lists(inner, max_size=3) | strategies.dictionaries(strategies.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
BOUNDED = hypothesis.settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    """A few cells of a plan with a claim, and a run that says it is at work."""
    teacher = fabricate.teacher_cell()
    records = [fabricate.record(teacher, 97.0), *fabricate.records_of({"vanilla": [88.0, 89.0], "kd": [90.0, None]})]
    claim = Claim(text="Soft targets help", better="kd", than="vanilla")
    cells = [*(record.cell for record in records), fabricate.cell("slow")]
    made = fabricate.write(tmp_path / "tiny", cells, records, claims=(claim,), note="A note.")
    made.progress.write({"done": 1, "total": 2, "running": [{"cells": [cells[-1].key], "label": "slow", "epochs": 2}]})
    return made


@pytest.fixture
def documents(folder: ResultsFolder) -> dict[str, tuple[Path, Any]]:
    """A file of each kind and what it holds. Without digests, which would hide that their shape is seen too."""
    record = folder.cell(fabricate.cell("kd").key).record
    paths = {"record": record, "plan": folder.plans.paths()[-1], "progress": folder.progress.path}
    found = {which: (path, json.loads(path.read_text())) for which, path in paths.items()}
    for which in ("record", "plan"):
        del found[which][1]["digest"]
    return found


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything in a JSON document."""
    yield at
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*at, key))


def changed(document: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    made = copy.deepcopy(document)
    inner = made
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return made


def read_whole(folder: Path) -> None:
    """All that the commands take from a folder. UserError for a file of a newer release alone."""
    warnings: list[str] = []
    try:
        contents = ResultsFolder(folder, warnings.append).load()
    except UserError as error:
        if "schema version" in str(error):
            return
        raise
    assert all("\n" not in warning for warning in warnings)
    assert sum(contents.counts.values()) == len(contents.frame) == len(contents.planned)
    assert contents.metrics_frame.columns.to_list() == ["cell", "predictor", "split", "metric", "value"]
    counts_table([contents])
    running_lines(contents)


@pytest.mark.parametrize("which", ["record", "plan", "progress"])
@BOUNDED
@hypothesis.given(data=strategies.data())
def test_any_value_at_any_place_ends_no_command(
    folder: ResultsFolder, documents: dict[str, tuple[Path, Any]], which: str, data: Any
) -> None:
    path, document = documents[which]
    at = data.draw(strategies.sampled_from(list(places(document))))
    try:
        path.write_text(json.dumps(changed(document, at, data.draw(JSON_VALUES))))
        read_whole(folder.path)
    finally:
        path.write_text(json.dumps(document))


@pytest.fixture
def table(folder: ResultsFolder, tmp_path: Path) -> tuple[Path, list[list[str]]]:
    """Somebody's results.csv in a folder without plans and records, and its cells."""
    shared = ResultsFolder(tmp_path / "shared")
    write_csv(folder.load().frame, shared.tables.results)
    with shared.tables.results.open(newline="", encoding="utf-8") as file:
        return shared.tables.results, list(csv.reader(file))


@hypothesis.settings(BOUNDED, max_examples=20)
@hypothesis.given(data=strategies.data())
def test_any_text_in_a_foreign_table_is_a_table_or_one_line(
    table: tuple[Path, list[list[str]]], data: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path, lines = table
    made = copy.deepcopy(lines)
    row = data.draw(strategies.integers(0, len(made) - 1))
    numbers = strategies.sampled_from(["1e999", "-1e999", "nan", "9" * 30, "0x10", "=1+1", "\ufeff", "True", "1_0"])
    made[row][data.draw(strategies.integers(0, len(made[row]) - 1))] = data.draw(WORDS | numbers)
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows(made)
    for command in ("status", "report", "leaderboard"):
        code = execute([command, str(path)])
        said = capsys.readouterr()
        assert code in (0, 2), said.err
        assert code == 0 or said.err.startswith("error: ")
        assert len(said.err.splitlines()) <= 4
