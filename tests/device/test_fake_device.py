"""What the engine asks of a device, whichever it is, and what it makes of a device's errors."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_device import LOST, NO_MEMORY, FakeDevice
from torch import nn

from kdharness.api.executors import CellAborted, CellFinished, Event
from kdharness.data.batches import EpochBatches
from kdharness.data.prepare import DataStore
from kdharness.device import door
from kdharness.engine import group, world
from kdharness.engine.builder import build
from kdharness.engine.cell_state import CellState
from kdharness.planning.cell import Cell
from kdharness.results.record import Status
from kdharness.testing import Lab

FAULTY = '''
import sys
from torch import nn
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, Reads, hookimpl

class Faulty(Method):
    """Raises what it is told in its third step."""
    name = "faulty"
    reads = Reads(teachers="none")
    says: str = ""
    hides: str = ""
    steps = 0

    def losses(self, batch, student, teacher):
        self.steps += 1
        if self.says and self.steps == 3:
            self.fail()
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

    def predictor(self, student, teachers):
        return nn.Sequential(student)

    def fail(self):
        if not self.hides:
            raise RuntimeError(self.says)
        try:
            raise RuntimeError(self.says)
        except RuntimeError as error:
            if self.hides == "exit":
                sys.exit("no idea what happened")
            raise ValueError("no idea what happened") from (error if self.hides == "cause" else None)

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Faulty)]
'''


@pytest.fixture
def faulty_lab(make_lab: Callable[..., Lab], tmp_path: Path) -> Callable[..., Lab]:
    file = tmp_path / "faulty.py"
    file.write_text(FAULTY)
    return lambda name, **rest: make_lab(name, plugin_files=(file,), **rest)


def cells_of(lab: Lab, says: str, *beside: str, settings: tuple[str, ...] = ()) -> list[Cell]:
    settings = (f"faulty.says={says}", *settings)
    plan = lab.plan(methods=("faulty", *beside), settings=settings, scenarios=("few100",))
    return [planned.cell for planned in plan.cells if planned.cell.role == "student"]


def test_on_a_device_that_computes_as_the_cpu_does_the_bits_are_the_same(faulty_lab: Callable[..., Lab]) -> None:
    device = FakeDevice()
    fake, real = faulty_lab("fake", device=device), faulty_lab("real")
    cells = cells_of(fake, "", "vanilla")
    fake.train(cells)
    real.train(cells)
    assert [fake.bits(cell.key) for cell in cells] == [real.bits(cell.key) for cell in cells]
    assert {"precision fp32", "synchronize", "evaluation_batch"} <= set(device.asked)
    assert "release_memory" not in device.asked


def test_memory_is_what_a_step_makes_beside_what_stands(
    faulty_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, gradients and momentum are four bytes each; running statistics are few."""
    step = nullcontext(SimpleNamespace(peak=10_000_000, counts=True))
    monkeypatch.setattr(FakeDevice, "memory_meter", lambda device: step)
    fake = faulty_lab("fake", device=FakeDevice())
    (cell,) = cells_of(fake, "")
    values = fake.train([cell])[cell.key].values
    standing = values["peak_memory_bytes"] - 10_000_000
    assert 1 <= standing / (3 * 4 * values["student_parameters"]) < 1.1


def test_memory_that_runs_out_is_given_back_and_the_cell_is_tried_among_fewer(faulty_lab: Callable[..., Lab]) -> None:
    device = FakeDevice()
    fake = faulty_lab("fake", device=device)
    faulty, vanilla = cells_of(fake, NO_MEMORY, "vanilla")
    records = fake.train([faulty, vanilla])
    assert [event.key for event in fake.events if isinstance(event, CellAborted)] == [faulty.key]
    assert {key: record.status for key, record in records.items()} == {vanilla.key: Status.OK}
    assert device.asked.count("release_memory") == 1
    assert fake.train([faulty], alone=True)[faulty.key].status is Status.OOM


def test_a_fatal_error_is_no_cells_own(faulty_lab: Callable[..., Lab]) -> None:
    """It passes through the group, and every cell stays as if the process had been killed."""
    fake = faulty_lab("fake", device=FakeDevice())
    cells = cells_of(fake, LOST, "vanilla")
    with pytest.raises(RuntimeError, match=LOST):
        fake.train(cells)
    assert not [event for event in fake.events if isinstance(event, CellAborted | CellFinished)]
    assert {fake.folder.read_record(cell.key).status for cell in cells} == {Status.INTERRUPTED}  # type: ignore[union-attr]


@pytest.mark.parametrize("hides", ["cause", "context", "exit"])
def test_an_error_that_a_method_puts_another_in_place_of(faulty_lab: Callable[..., Lab], hides: str) -> None:
    """Else a cell would be blamed for a lost device, or counted as failed where it only has too little memory."""
    fake = faulty_lab("fake", device=FakeDevice())
    settings = (f"faulty.hides={hides}",)
    with pytest.raises((ValueError, SystemExit)):
        fake.train(cells_of(fake, LOST, "vanilla", settings=settings))
    assert not [event for event in fake.events if isinstance(event, CellAborted | CellFinished)]
    if hides != "exit":
        (cell,) = cells_of(fake, NO_MEMORY, settings=settings)
        assert fake.train([cell])[cell.key].status is Status.OOM


@pytest.mark.parametrize("place", ["data", "batch"])
def test_memory_that_runs_out_for_what_cells_share_is_all_of_theirs(
    faulty_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def no_memory(*arguments: object) -> None:
        raise RuntimeError(NO_MEMORY)

    fake = faulty_lab("fake", device=FakeDevice())
    cells = cells_of(fake, "", "vanilla")
    owner, name = {"data": (DataStore, "of"), "batch": (EpochBatches, "samples")}[place]
    monkeypatch.setattr(owner, name, no_memory)
    assert fake.train(cells) == {}
    assert [e.key for e in fake.events if isinstance(e, CellAborted)] == [cell.key for cell in cells]
    record = fake.train(cells[:1], alone=True)[cells[0].key]
    assert (record.status, record.error_message) == (Status.OOM, NO_MEMORY)


def test_what_a_method_makes_for_evaluation_is_put_on_the_device(
    faulty_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hold tensors that nothing else of the cell does."""
    fake = faulty_lab("fake", device=FakeDevice())
    states: list[CellState] = []
    put: list[nn.Module] = []

    def noting(*arguments: Any) -> CellState:
        states.append(build(*arguments))
        return states[-1]

    monkeypatch.setattr(group, "build", noting)
    monkeypatch.setattr(FakeDevice, "put", lambda device, module: put.append(module) or module)
    fake.train(cells_of(fake, ""))
    assert {id(states[0].predictor), id(states[0].method), id(states[0].student)} <= {id(module) for module in put}


def test_a_cell_is_built_in_its_own_precision(faulty_lab: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in that of the group before: its teachers are asked then, and its method may run networks."""
    device = FakeDevice()
    fake = faulty_lab("fake", device=device)
    at_build: list[str] = []

    def noting(*arguments: Any) -> CellState:
        at_build.append([asked for asked in device.asked if asked.startswith("precision")][-1])
        return build(*arguments)

    monkeypatch.setattr(group, "build", noting)
    for precision in ("bf16", "fp32"):
        fake.train(cells_of(fake, "", settings=(f"recipe.precision={precision}",)))
    assert at_build == ["precision bf16", "precision fp32"]


def test_the_same_error_fails_its_cell_on_a_device_that_survives_it(faulty_lab: Callable[..., Lab]) -> None:
    real = faulty_lab("real")
    faulty, vanilla = cells_of(real, LOST, "vanilla")
    records = real.train([faulty, vanilla])
    assert (records[faulty.key].status, records[vanilla.key].status) == (Status.FAILED, Status.OK)


# -- at the door -------------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[FakeDevice]:
    """The fake devices that were opened. The door gives one for "fake:0"."""
    found: list[FakeDevice] = []

    class Noted(FakeDevice):
        def __init__(self, name: str) -> None:
            super().__init__(name)
            found.append(self)

    monkeypatch.setitem(door.KINDS, "fake", Noted)
    monkeypatch.setattr(world, "_worlds", {})
    return found


def train_at_the_door(lab: Lab, cells: list[Cell]) -> list[Event]:
    events: list[Event] = []
    cell_group, settings = lab.group(cells)
    group.train_group(cell_group, settings, "fake:0", events.append, lab.beat)
    return events


def test_a_process_opens_its_device_once_and_uses_it_before_anything_else(
    faulty_lab: Callable[..., Lab], opened: list[FakeDevice]
) -> None:
    lab = faulty_lab("fake")
    cells = cells_of(lab, "")
    for _ in range(2):
        train_at_the_door(lab, cells)
    (device,) = opened
    assert device.name == "fake:0"
    assert device.asked[0] == "use"
    assert device.asked.count("use") == 1


def test_a_lost_device_is_told_as_such(faulty_lab: Callable[..., Lab], opened: list[FakeDevice]) -> None:
    from kdharness.errors import DeviceLost

    lab = faulty_lab("fake")
    with pytest.raises(DeviceLost, match=LOST):
        train_at_the_door(lab, cells_of(lab, LOST))
    with pytest.raises(DeviceLost):
        train_at_the_door(lab, cells_of(lab, LOST, settings=("faulty.hides=exit",)))
