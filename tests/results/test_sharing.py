"""Equal parts of records and plans are held once, and nothing of them changes by it."""

from __future__ import annotations

import json
from pathlib import Path

import fabricate
import pytest

from kdharness.results.sharing import Shared
from kdharness.results.store import ResultsFolder


def test_equal_parts_are_one_object(tmp_path: Path) -> None:
    contents = fabricate.tiny_world(tmp_path).load()
    (one, other), planned = (fabricate.cell("kd", seed).key for seed in (0, 1)), contents.planned
    first, second = contents.records[one], contents.records[other]
    assert first.cell.document["recipe"] is second.cell.document["recipe"]
    assert first.cell is planned[one].cell
    assert first.cell.parameters is second.cell.parameters
    assert first.cell.pair is second.cell.pair
    assert first.measured is second.measured
    assert first.cell.document["identity"] != second.cell.document["identity"]


@pytest.mark.parametrize(
    ("one", "other"), [({"a": 4}, {"a": 4.0}), ([True], [1]), ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
)
def test_what_is_written_otherwise_stays_so(one: object, other: object) -> None:
    shared = Shared()
    assert [json.dumps(shared.of(each)) for each in (one, other)] == [json.dumps(one), json.dumps(other)]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"cell": 3},
        {"cell": {"document": [1]}, "values": None, "metrics": [1, {"a": "b"}]},
        {"cell": {}, "metrics": 2},
    ],
)
def test_what_is_no_record_or_plan_is_left_as_it_is(data: dict[str, object]) -> None:
    assert Shared().record(data) == data
    assert Shared().planned({"cell": data, "skip": ""}) == {"cell": data, "skip": ""}
    assert Shared().planned(data) is data


def test_cells_that_differ_in_anything_are_apart() -> None:
    shared, whole = Shared(), fabricate.cell("kd", 0)
    data = json.loads(json.dumps(whole.to_json()))
    one = shared.cell(data)
    assert (one, one is shared.cell(json.loads(json.dumps(data)))) == (whole, True)
    for name, value in {"weight_files": {"a": "b"}, "seed": 1, "parameters": {"temperature": 4}}.items():
        other = shared.cell({**data, name: value})
        assert (getattr(other, name), other is one) == (value, False)
    teacher = {"model": "conv32", "cell": "a", "sha256": "", "path": "", "chosen": "", "network": {}}
    told = [shared.cell({**data, "teachers": [{**teacher, "network": network}]}) for network in ({}, {"a": 1})]
    assert [cell.teachers[0].network for cell in told] == [{}, {"a": 1}]


def test_a_planned_cell_is_made_while_its_plan_is_parsed(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    parsed = json.loads(folder.plans.paths()[0].read_text(), object_hook=Shared().planned)
    assert tuple(parsed["cells"]) == folder.plans.read()[0].cells
    assert parsed["command"] == []


def test_a_plan_that_was_spaced_anew_is_read_the_same(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    path = folder.plans.paths()[0]
    plans = folder.plans.read()
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    again = ResultsFolder(folder.path).load()
    assert again.plans == plans
    assert len(again.plans[0].cells) > 1
