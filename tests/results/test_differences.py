"""Two folders held against each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import pytest

from kdharness.planning.cell import Cell, digest
from kdharness.results.contents import Contents, Reading
from kdharness.results.differences import Differences, differences, document_changes
from kdharness.results.record import Record, Status
from kdharness.results.store import ResultsFolder
from kdharness.results.table import write_csv


def folder(path: Path, *records: Record) -> Contents:
    return fabricate.write(path, [record.cell for record in records], records).load()


def held(tmp_path: Path, here: list[Record], there: list[Record], tolerance: float = 0.0) -> Differences:
    return differences([folder(tmp_path / "a", *here)], [folder(tmp_path / "b", *there)], tolerance)


def counts(found: Differences) -> list[int]:
    parts = (found.same, found.near, found.other, found.fates, found.moved, found.only_here, found.only_there)
    return list(map(len, parts))


def test_equal_folders_are_the_same_whatever_the_time(tmp_path: Path) -> None:
    here = fabricate.record(fabricate.cell("kd"), 90.0, train_seconds=1.0, peak_memory_bytes=1, x_latency_ratio=2.0)
    there = fabricate.record(fabricate.cell("kd"), 90.0, train_seconds=9.0, peak_memory_bytes=2, x_latency_ratio=3.0)
    assert counts(held(tmp_path, [here], [there])) == [1, 0, 0, 0, 0, 0, 0]


def test_by_how_much_and_since_which_release(tmp_path: Path) -> None:
    cell = fabricate.cell("kd")
    here = fabricate.record(cell, 90.0, nll=0.5, x_top3=99.0)
    there = fabricate.record(cell, 90.25, nll=0.5, kdharness_version="0.2.0")
    found = held(tmp_path, [here], [there])
    assert counts(found) == [0, 0, 1, 0, 0, 0, 0]
    pair = found.other[0]
    assert pair.numbers["top1"] == (90.0, 90.25)
    assert set(pair.numbers) == {"top1", "x_top3", "student test top1"}
    assert pair.most == float("inf")  # x_top3 is in one alone
    assert pair.origin == (("kdharness_version", "0.1.0", "0.2.0"),)


@pytest.mark.parametrize(("tolerance", "where"), [(0.2, "other"), (0.25, "near"), (1.0, "near")])
def test_a_tolerance_holds_what_is_near(tmp_path: Path, tolerance: float, where: str) -> None:
    cell = fabricate.cell("kd")
    found = held(tmp_path, [fabricate.record(cell, 90.0)], [fabricate.record(cell, 90.25)], tolerance)
    assert len(getattr(found, where)) == 1
    assert sum(counts(found)) == 1


def test_other_weights_with_the_same_numbers_are_not_the_same(tmp_path: Path) -> None:
    record = fabricate.record(fabricate.teacher_cell(), 97.0)

    def of(digit: str) -> Contents:
        other = replace(record, files={"model.safetensors": digit * 64})
        return Contents(tmp_path, lambda: Reading(records={record.cell.key: other}))

    found = differences([of("a")], [of("b")])
    assert counts(found) == [0, 1, 0, 0, 0, 0, 0]
    assert found.near[0].weights


def test_what_became_of_a_cell(tmp_path: Path) -> None:
    cell = fabricate.cell("kd")
    found = held(tmp_path, [fabricate.record(cell, 90.0)], [fabricate.record(cell, None, Status.FAILED, "nan")])
    assert counts(found) == [0, 0, 0, 1, 0, 0, 0]


def of_document(cell: Cell, **parts: Any) -> Cell:
    document = {**cell.document, **parts}
    return replace(cell, document=document, key=digest(document))


def test_another_key_at_the_same_address_says_what_differs(tmp_path: Path) -> None:
    cell = fabricate.cell("kd")
    other = of_document(cell, recipe={"epochs": 3}, new={"a": 1})
    found = held(tmp_path, [fabricate.record(cell)], [fabricate.record(other)])
    assert counts(found) == [0, 0, 0, 0, 1, 0, 0]
    assert found.moved[0].changes == (("recipe.epochs", 2, 3), ("new", None, {"a": 1}))


def test_what_is_in_one_alone(tmp_path: Path) -> None:
    here = [fabricate.record(fabricate.cell("kd", seed)) for seed in (0, 1)]
    there = [here[0], fabricate.record(fabricate.cell("at"))]
    found = held(tmp_path, here, there)
    assert counts(found) == [1, 0, 0, 0, 0, 1, 1]
    assert (found.only_here[0]["seed"], found.only_there[0]["method"]) == (1, "at")


def test_several_at_one_address_are_not_guessed(tmp_path: Path) -> None:
    cell = fabricate.cell("kd")
    here = [fabricate.record(of_document(cell, recipe={"epochs": n})) for n in (2, 3)]
    there = [fabricate.record(of_document(cell, recipe={"epochs": 4}))]
    a = [folder(tmp_path / "a", here[0]), folder(tmp_path / "c", here[1])]
    assert counts(differences(a, [folder(tmp_path / "b", *there)])) == [0, 0, 0, 0, 0, 2, 1]


def test_somebody_else_s_table_has_its_rows_alone(tmp_path: Path) -> None:
    whole = folder(tmp_path / "a", fabricate.record(fabricate.cell("kd"), 90.0))
    (tmp_path / "b").mkdir()
    write_csv(whole.frame, tmp_path / "b" / "results.csv")
    table = ResultsFolder(tmp_path / "b").load()
    assert counts(differences([whole], [table])) == [1, 0, 0, 0, 0, 0, 0]
    other = whole.frame.assign(cell="0" * 20, protocol="p9", top1=91.0)
    write_csv(other, tmp_path / "b" / "results.csv")
    found = differences([whole], [ResultsFolder(tmp_path / "b").load()])
    assert found.moved[0].changes == (("protocol", "p1", "p9"),)


def test_documents() -> None:
    here = {"a": {"b": 1, "c": [1, 2]}, "d": "x", "e": [1]}
    there = {"a": {"b": 1, "c": [1, 3]}, "e": [1, 2]}
    assert list(document_changes(here, there)) == [("a.c[1]", 2, 3), ("d", "x", None), ("e", [1], [1, 2])]
    assert list(document_changes(here, here)) == []
