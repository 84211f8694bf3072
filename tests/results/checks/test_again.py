"""Which cells are trained again, with what, and what is said of how they come out."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kdharness.results.checks.again import SPREADS, compared, draw, prepare, tolerance
from kdharness.results.checks.finding import Finding, Kind
from kdharness.results.contents import Contents, Reading
from kdharness.results.record import Record
from kdharness.results.store import ResultsFolder


@pytest.fixture
def contents(results: Path) -> Contents:
    return ResultsFolder(results).load()


def taught(contents: Contents) -> Record:
    return next(r for r in contents.records.values() if r.cell.method == "kd")


def test_a_draw_is_its_seeds_and_of_what_is_there(contents: Contents) -> None:
    one, same, other = (draw(contents, 3, seed).records for seed in (1, 1, 2))
    assert [r.cell.key for r in one] == [r.cell.key for r in same] != [r.cell.key for r in other]
    assert len({r.cell.key for r in draw(contents, 100, 0).records}) == len(contents.records) == 7


def test_what_cannot_be_trained_again_is_left_out_with_a_reason(contents: Contents) -> None:
    (teacher,) = taught(contents).cell.requires
    contents.files_of(teacher).model.unlink()
    lost = draw(contents, 100, 0)
    assert lost.left_out == {"the weights of what they were taught by are not here": 2}
    assert not any(record.cell.requires for record in lost.records)
    own = {k: replace(r, cell=replace(r.cell, secret=True)) for k, r in contents.records.items()}
    reading = Reading(contents.plans, own)
    secret = draw(replace(contents, read=lambda: reading), 100, 0)
    assert secret.records == ()
    assert secret.left_out == {"their noise is secret: no other training gives their numbers": 7}


def test_a_teacher_goes_along_as_it_is(contents: Contents, tmp_path: Path) -> None:
    record, folder = taught(contents), ResultsFolder(tmp_path / "again")
    plan = prepare(contents, [record], folder, {"top1", "nll"})
    (teacher,) = record.cell.requires
    assert [entry.cell.key for entry in plan.cells] == [teacher, record.cell.key]
    assert plan.metrics == ("nll", "top1")
    assert list(folder.records()) == [teacher]
    assert folder.weights_fault(contents.records[teacher]) == ""


def trained(contents: Contents, record: Record, tmp_path: Path) -> ResultsFolder:
    """The folder as if training had given the same."""
    folder = ResultsFolder(tmp_path / "again")
    shutil.copytree(contents.files_of(record.cell.key).folder, folder.cell(record.cell.key).folder)
    return folder


def test_the_same_bits_and_others(contents: Contents, tmp_path: Path) -> None:
    record = taught(contents)
    folder = trained(contents, record, tmp_path)
    assert compared(contents, record, folder) == f"trained again, the same bits: {record.cell.label}"
    history = folder.cell(record.cell.key).history
    history.write_text(history.read_text().replace("10,test", "9,test"))
    found = compared(contents, record, folder)
    assert isinstance(found, Finding)
    assert (found.kind, found.where) == (Kind.DIFFERS, f"cells/{record.cell.key}")
    assert found.what.endswith("history.csv")


def test_another_machine_may_differ_by_what_two_seeds_do(contents: Contents, tmp_path: Path) -> None:
    record = taught(contents)
    folder = trained(contents, record, tmp_path)
    accuracies = [r.values["top1"] for r in contents.records.values() if r.cell.method == "kd"]
    spread = abs(accuracies[0] - accuracies[1]) / math.sqrt(2)
    most = tolerance(contents, record)
    assert math.isclose(most, max(1.0, SPREADS * spread))
    for apart, kind in ((0.99 * most, str), (1.01 * most, Finding)):
        values = {**record.values, "fingerprint": "another", "top1": record.values["top1"] + apart}
        folder.write_record(replace(record, values=values))
        assert isinstance(compared(contents, record, folder), kind)


def test_what_could_not_be_trained_is_wrong(contents: Contents, tmp_path: Path) -> None:
    found = compared(contents, taught(contents), ResultsFolder(tmp_path / "again"))
    assert isinstance(found, Finding)
    assert found.kind is Kind.MISSING
    assert found.what.endswith("could not be trained again")
