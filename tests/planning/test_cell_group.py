"""A group of cells, and the closed job that carries it."""

from __future__ import annotations

import json
import pickle

import pytest

from kdharness.planning.cell_group import CellGroup

RUNNER = "somewhere:run"


@pytest.fixture
def group(lab) -> CellGroup:
    cells = tuple(planned.cell for planned in lab.plan(methods=("vanilla", "meal"), seeds=(0, 1)).cells)
    return CellGroup(3, cells, {cells[0].key: 2}, alone=True)


def test_a_group_comes_out_of_its_job_as_it_went_in(group):
    job = pickle.loads(pickle.dumps(group.job(RUNNER)))
    again = CellGroup.of(job)
    assert (again.number, again.attempts, again.alone) == (3, {group.cells[0].key: 2}, True)
    # Tuples become lists, which no key and no number can tell.
    assert [json.dumps(cell.to_json()) for cell in again.cells] == [json.dumps(cell.to_json()) for cell in group.cells]
    assert again.job(RUNNER) == job


def test_an_executor_sees_plain_data(group):
    job = group.job(RUNNER)
    assert (job.number, job.alone, job.weight, job.runner) == (3, True, len(group.cells), RUNNER)
    assert job.keys == tuple(cell.key for cell in group.cells)
    assert job.labels == tuple(cell.label for cell in group.cells)
    assert job.attempts == {group.cells[0].key: 2}
    assert job.payload not in repr(job)
