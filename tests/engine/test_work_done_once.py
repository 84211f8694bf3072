"""How often a group does what its cells share, counted in calls: pictures, uploads, looks at held-out images."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from kdharness.data.images import DeviceImages
from kdharness.data.views import EpochView
from kdharness.device.device import EVALUATION_BATCH
from kdharness.engine.member import Member
from kdharness.measure import evaluate
from kdharness.planning.cell import Cell
from kdharness.testing import Lab

METHODS = ("vanilla", "kd", "at", "sp")
EPOCHS, BATCHES = 2, 2  # of 50 out of 100 images


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, list[Cell]]:
    """A teacher that was trained, and cells that learn from it."""
    lab = Lab(tmp_path_factory.mktemp("trained") / "lab")
    plan = lab.plan(methods=METHODS)
    lab.train([p.cell for p in plan.cells if p.cell.role == "teacher" and p.cell.scenario == "few100"])
    chosen = [p.cell for p in plan.cells if p.cell.role == "student" and p.cell.scenario == "few100"]
    assert len(chosen) == len(METHODS)
    return lab, chosen


@pytest.fixture
def group(trained: tuple[Lab, list[Cell]], tmp_path: Path) -> tuple[Lab, list[Cell]]:
    """The cells, and a process in which nobody has looked at the teacher yet. No metric runs networks."""
    lab = Lab(tmp_path / "lab", metrics=("top1",))
    lab.take(trained[0], trained[1])
    return lab, trained[1]


def parts_of_test(lab: Lab, cells: list[Cell]) -> list[int]:
    """How many images are evaluated at a time."""
    return [len(part) for part in torch.arange(len(lab._world.data.of(cells[0]).test)).split(EVALUATION_BATCH)]


def counted(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[int]:
    """A list that grows with each call; of the number of images where that is what is asked for."""
    calls: list[int] = []
    original: Callable[..., object] = getattr(owner, name)

    def counting(self: object, *given: object) -> object:
        first = given[0]
        calls.append(len(first) if isinstance(first, Tensor) else 0)
        return original(self, *given)

    monkeypatch.setattr(owner, name, counting)
    return calls


@contextmanager
def evaluations(sizes: list[int]) -> Iterator[Counter[int]]:
    """By network, how many images it was shown in eval mode, in batches of these sizes."""
    shown: Counter[int] = Counter()
    alive: list[nn.Module] = []  # so that no two have one id

    def count(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        if type(module).__name__ == "SmallConv" and not module.training and len(args[0]) in sizes:
            alive.append(module)
            shown[id(module)] += len(args[0])

    with register_module_forward_pre_hook(count):
        yield shown


def test_pictures_of_a_batch_are_made_once_for_all(
    group: tuple[Lab, list[Cell]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, cells = group
    training = counted(monkeypatch, EpochView, "images")
    evaluation = counted(monkeypatch, DeviceImages, "pixels")
    lab.train(cells)
    assert training == [50] * EPOCHS * BATCHES
    assert evaluation == parts_of_test(lab, cells) * (
        EPOCHS + 1
    )  # and once for the teacher, which the students are measured against


def test_each_network_looks_once_at_each_held_out_image_after_each_epoch(group: tuple[Lab, list[Cell]]) -> None:
    lab, cells = group
    sizes = parts_of_test(lab, cells)
    assert 50 not in sizes  # as training batches are
    with evaluations(sizes) as shown:
        lab.train(cells)
    assert sorted(shown.values()) == [sum(sizes), *[EPOCHS * sum(sizes)] * len(cells)]  # the teacher once


def test_a_split_goes_to_the_device_once_for_all(
    group: tuple[Lab, list[Cell]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, cells = group
    uploads = counted(monkeypatch, DeviceImages, "__init__")
    lab.train(cells)
    assert len(uploads) == 2  # training and test


def test_a_cell_is_entered_once_for_many_batches_and_gives_the_same(
    group: tuple[Lab, list[Cell]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To enter one takes as long as a small network's batch. Where few fit side by side it is entered more often."""
    lab, cells = group
    sizes = parts_of_test(lab, cells)
    entered, bits = [], []
    for room in (evaluate.SIDE_BY_SIDE_BYTES, 3 * sizes[0] * 8 * 8 * 4, 1):
        with monkeypatch.context() as patch:
            patch.setattr(evaluate, "SIDE_BY_SIDE_BYTES", room)
            calls: list[Member] = []
            isolated = Member.isolated
            patch.setattr(Member, "isolated", lambda self, seen=calls, own=isolated: seen.append(self) or own(self))
            lab.train(cells)
        entered.append(len(calls))
        bits.append([lab.bits(cell.key) for cell in cells])
    each = EPOCHS * len(cells)
    assert entered[1] - entered[0] == each * (math.ceil(len(sizes) / 3) - 1)
    assert entered[2] - entered[0] == each * (len(sizes) - 1)
    assert bits[1] == bits[0]
    assert bits[2] == bits[0]
