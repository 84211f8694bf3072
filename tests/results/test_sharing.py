"""Equal parts of records and plans are held once, and nothing of them changes by it."""

from __future__ import annotations

import json
from pathlib import Path

import fabricate
import pytest

from kdharness.results.sharing import Shared


def test_equal_parts_are_one_object(tmp_path: Path) -> None:
    contents = fabricate.tiny_world(tmp_path).load()
    (one, other), planned = (fabricate.cell("kd", seed).key for seed in (0, 1)), contents.planned
    first, second = contents.records[one], contents.records[other]
    assert first.cell.document["recipe"] is second.cell.document["recipe"]
    assert first.cell.document["recipe"] is planned[one].cell.document["recipe"]
    assert first.cell.parameters is second.cell.parameters
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
    assert Shared().plan({"cells": data}) == {"cells": data}
    assert Shared().plan({"cells": [data, 1]}) == {"cells": [data, 1]}
