"""Folders of release 0.1.0 are still read, and never mixed with today's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdharness.planning.cell import Cell
from kdharness.planning.former import upgraded
from kdharness.planning.plan import Plan
from kdharness.results.record import Record
from kdharness.results.store import ResultsFolder
from kdharness.stats.settings import comparable

OLD: dict[str, Any] = {
    "key": "k" * 20, "benchmark": "digits", "protocol": "p1", "deviations": "", "dataset": "digits",
    "dataset_parameters": {}, "scenario": "split10", "role": "student", "method": "rona", "variant": "",
    "parameters": {}, "method_package": "kdharness", "method_revision": "1", "student": "conv16",
    "teachers": [
        {"model": "conv32", "cell": "a" * 20, "sha256": "", "path": "", "auxiliary": False},
        {"model": "conv32", "cell": "b" * 20, "sha256": "", "path": "", "auxiliary": True},
    ],
    "seed": 3, "regime": "private_data", "document": {"schema": 1, "subset": "train", "recipe": {"epochs": 2}},
    "start": None,
}  # fmt: skip
RECORD = {
    "cell": OLD, "status": "ok", "values": {"top1": 90.0}, "metrics": [], "error_type": "", "error_message": "",
    "traceback": "", "started_at": "", "finished_at": "", "attempts": 1, "schema": 1,
}  # fmt: skip
PLAN = {
    "benchmark": "digits", "cells": [{"cell": OLD, "skip": ""}], "summary": "", "note": "", "references": ["vanilla"],
    "metrics": [], "warnings": [], "command": [], "created_at": "", "claims": [], "ablated": "", "parts": {},
    "schema": 2,
}  # fmt: skip


def test_what_helped_was_no_teacher_of_the_pair() -> None:
    cell = Cell.from_json(upgraded(OLD))
    assert str(cell.pair) == "conv32:conv16"
    assert [source.cell for source in cell.reference_teachers] == ["a" * 20]
    assert [source.cell for source in cell.teachers] == ["a" * 20, "b" * 20]


def test_a_former_folder_gives_its_table(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "digits", warn=pytest.fail)
    for path, content in ((folder.plans.folder / "1.json", PLAN), (folder.cell(OLD["key"]).record, RECORD)):
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    frame = folder.load().frame
    assert frame.loc[0, ["teacher", "student", "top1", "status"]].to_list() == ["conv32", "conv16", 90.0, "ok"]
    assert len(comparable(frame)[0]) == 1


def test_what_is_read_is_written_as_it_is_today() -> None:
    assert Record.from_json(Record.from_json(RECORD).to_json()) == Record.from_json(RECORD)
    assert Plan.from_json(Plan.from_json(PLAN).to_json()) == Plan.from_json(PLAN)
