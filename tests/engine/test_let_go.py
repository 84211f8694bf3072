"""What a process keeps from group to group: what the present cells need, and nothing of the others."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from kdharness.data.images import DeviceImages
from kdharness.planning.cell import Cell
from kdharness.protocol.benchmark import parse
from kdharness.results.record import Status
from kdharness.speed import random_images
from kdharness.testing import Lab
from kdharness.testing.case import SCENARIOS

SIZES = ("few100", "noise40")


def cells_by_role(lab: Lab, **selection: object) -> dict[str, list[Cell]]:
    plan = lab.plan(methods=("kd",), epochs=1, **selection)
    roles = ("teacher", "student")
    return {role: [p.cell for p in plan.cells if p.cell.role == role] for role in roles}


def train(lab: Lab, cells: Sequence[Cell]) -> None:
    for record in lab.train(cells).values():
        assert record.status is Status.OK, record.traceback


@pytest.fixture
def lab(make_lab: Callable[..., Lab]) -> Lab:
    return make_lab(metrics=("top1",))


def test_memory_does_not_grow_with_scenarios(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images stay, for the scenarios of a dataset share them; subsets, labels and teachers go with the last cell."""
    uploads: list[DeviceImages] = []
    upload = DeviceImages.__init__
    monkeypatch.setattr(DeviceImages, "__init__", lambda self, *given: uploads.append(self) or upload(self, *given))
    found = cells_by_role(lab, scenarios=SIZES)
    train(lab, found["teacher"])
    world, gone = lab._world, []
    for scenario in SIZES:
        cells = [cell for cell in found["student"] if cell.scenario == scenario]
        train(lab, cells)
        assert [len(world.data._loaded), len(world.data._data), len(world.teachers._teachers)] == [1, 1, 1]
        data = world.data.of(cells[0])
        gone += [weakref.ref(data), weakref.ref(world.teachers.of(cells[0], data)[0])]
        del data
    gc.collect()
    assert [reference() is None for reference in gone] == [True, True, False, False]
    assert len(uploads) == 2  # training and test, once


def test_what_is_asked_for_again_is_loaded_again_and_gives_the_same_bits(lab: Lab) -> None:
    found = cells_by_role(lab, scenarios=SIZES)
    train(lab, found["teacher"])
    first, second = ([cell for cell in found["student"] if cell.scenario == scenario] for scenario in SIZES)
    train(lab, first)
    bits = [lab.bits(cell.key) for cell in first]
    train(lab, second)
    train(lab, first)
    assert [lab.bits(cell.key) for cell in first] == bits


def test_a_dataset_goes_with_its_last_cell(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(plugin_files=(Path(random_images.__file__),), metrics=("top1",))
    content = {
        "name": "two",
        "datasets": ["digits", random_images.NAME],
        "dataset": {random_images.NAME: {"images": 20, "evaluated": 10}},
        "pairs": ["conv4:conv4"],
        "seeds": [0],
        "recipe": {"epochs": 1, "batch_size": 10},
        "scenario": SCENARIOS,
    }
    plan = lab.plan(parse(content, "two"), methods=("kd",), epochs=None)
    teachers = [p.cell for p in plan.cells if p.cell.role == "teacher"]
    train(lab, teachers)
    assert len(lab._world.data._loaded) == 2  # one group may need several
    (other,) = (cell for cell in teachers if cell.dataset == random_images.NAME)
    images = weakref.ref(lab._world.data.of(other).train)
    assert images() is not None
    train(lab, [p.cell for p in plan.cells if (p.cell.role, p.cell.dataset) == ("student", "digits")])
    gc.collect()
    assert images() is None


def test_a_fault_of_a_dataset_is_told_once_however_often_it_is_loaded(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdharness.data.prepare.content_warnings", lambda *of_data: ["has twins"])
    (cell,) = cells_by_role(lab, scenarios=("few100",))["teacher"]
    store = lab._world.data
    store.of(cell)
    told = store.warnings()
    store.keep([])
    store.of(cell)
    assert [len(told), store.warnings()] == [1, []]
    assert "has twins" in told[0]
