"""What pretrained weights behind a cell saw, in every table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import pytest

from kdharness.planning.cell import Cell, TeacherSource
from kdharness.planning.plan import PlannedCell
from kdharness.results.foreign_rows import read_rows
from kdharness.results.rows import rows_of
from kdharness.results.seen_data import seen_data
from kdharness.results.table import frame_of, write_csv
from kdharness.stats.board import leaderboard

SAID = {"resnet50": "ImageNet-1k", "vit": "Instagram-3.6B+ImageNet-1k"}


def network(name: str, *, pretrained: bool = True) -> dict[str, Any]:
    return {"name": name, **({"weights": {"release": "v1"}} if pretrained else {})}


def cell(student: dict[str, Any], *teachers: dict[str, Any], **changes: Any) -> Cell:
    made = fabricate.cell("kd", teacher=None, **changes)
    document = {**made.document, "student": student, "teachers": list(teachers)}
    return replace(made, document=document, seen_data=SAID)


@pytest.mark.parametrize(
    ("made", "seen"),
    [
        (cell(network("conv16", pretrained=False)), ""),
        (cell(network("resnet50")), "ImageNet-1k"),
        (cell(network("conv16", pretrained=False), network("resnet50")), "ImageNet-1k"),
        (cell(network("resnet50"), network("vit")), "ImageNet-1k+Instagram-3.6B"),
        (cell(network("mine")), "unknown"),
        (cell(network("conv16", pretrained=False), network("mine"), network("resnet50")), "ImageNet-1k+unknown"),
        (fabricate.cell(teacher=TeacherSource("conv32", sha256="ab12")), "unknown"),
        (fabricate.cell(), ""),
    ],
)
def test_of_the_students_weights_and_of_those_of_who_taught_it(made: Cell, seen: str) -> None:
    assert seen_data(made, {}) == seen


def test_through_an_assistant_and_round_a_ring() -> None:
    assistant = cell(network("conv24", pretrained=False), network("resnet50"), role="step")
    student = replace(cell(network("conv16", pretrained=False)), start=TeacherSource("conv24", assistant.key))
    assert seen_data(student, {assistant.key: assistant}) == "ImageNet-1k"
    ring = replace(assistant, teachers=(TeacherSource("conv16", student.key),))
    assert seen_data(student, {ring.key: ring, student.key: student}) == "ImageNet-1k"


def test_rows_and_leaderboards_say_it_and_older_tables_do_not_know(tmp_path: Path) -> None:
    made = cell(network("resnet50"))
    frame = frame_of(rows_of({made.key: PlannedCell(made)}, {made.key: fabricate.record(made, 91.0)}))
    assert frame["seen_data"].to_list() == ["ImageNet-1k"]
    assert leaderboard(frame)["seen_data"].to_list() == ["ImageNet-1k"]
    write_csv(frame.drop(columns=["seen_data"]), tmp_path / "results.csv")
    assert frame_of(read_rows(tmp_path / "results.csv"))["seen_data"].to_list() == ["unknown"]


def test_a_cell_keeps_it_in_its_file() -> None:
    made = cell(network("resnet50"))
    assert Cell.from_json(made.to_json()).seen_data == SAID


@pytest.mark.parametrize("teachers", [["a1b2c3"], "a1b2c3", 3, None, [None, ["vit"]]])
def test_a_document_that_says_it_otherwise_breaks_nothing(teachers: object) -> None:
    """Release 0.1.0 wrote keys; a damaged one holds anything."""
    made = fabricate.cell("kd", teacher=None)
    assert seen_data(replace(made, document={**made.document, "student": "x", "teachers": teachers}), {}) == ""
