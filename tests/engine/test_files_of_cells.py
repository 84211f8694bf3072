"""What a cell writes is written whole or not at all: a process that dies leaves the former file, never half of one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from kdharness.testing import Lab


def cell_of(lab: Lab) -> Any:
    (planned,) = lab.plan(methods=("vanilla",), scenarios=("few100",), epochs=4).cells
    return planned.cell


class Renames:
    """Stands in for os.replace and os.fsync. `die`: at how many renames onto a name the process ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.replace, self.fsync = os.replace, os.fsync
        self.synced: set[int] = set()
        self.made: list[str] = []
        self.die: dict[str, int] = {}
        monkeypatch.setattr(os, "replace", self._replace)
        monkeypatch.setattr(os, "fsync", self._fsync)

    def _fsync(self, descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        self.synced.add(os.fstat(number).st_ino)
        self.fsync(descriptor)

    def _replace(self, source: Any, target: Any, **rest: Any) -> None:
        name = Path(target).name
        assert os.stat(source).st_ino in self.synced, f"{name} was renamed before it was on the disk"
        assert Path(source).parent == Path(target).parent, "a rename is atomic within one file system only"
        self.made.append(name)
        if self.made.count(name) == self.die.get(name):
            raise KeyboardInterrupt
        self.replace(source, target, **rest)


@pytest.fixture
def renames(monkeypatch: pytest.MonkeyPatch) -> Renames:
    return Renames(monkeypatch)


def left_over(lab: Lab, cell: Any) -> list[str]:
    return [path.name for path in lab.folder.cell(cell.key).folder.rglob("*") if path.name.endswith(".tmp")]


def test_every_file_of_a_cell_takes_its_name_when_it_is_whole(lab: Lab, renames: Renames) -> None:
    lab.checkpoint_seconds = 0.0
    cell = cell_of(lab)
    checkpoint = lab.folder.cell(cell.key).checkpoint.name
    lab.train([cell])
    assert renames.made.count(checkpoint) == 3
    assert {"record.json", "model.safetensors", "predictions.npz"} <= set(renames.made)
    assert not left_over(lab, cell)


def test_a_checkpoint_that_could_not_be_finished_leaves_the_former(
    make_lab: Callable[..., Lab], renames: Renames
) -> None:
    whole, parts = make_lab("whole"), make_lab("parts", checkpoint_seconds=0.0)
    cell = cell_of(whole)
    whole.train([cell])
    path = parts.folder.cell(cell.key).checkpoint
    renames.die = {path.name: 2}
    with pytest.raises(KeyboardInterrupt):
        parts.train([cell])
    assert not left_over(parts, cell)
    assert isinstance(torch.load(path, weights_only=True), dict), "that of the first epoch"
    renames.die = {}
    parts.events.clear()
    parts.train([cell])
    epochs = [event.epoch for event in parts.events if hasattr(event, "epoch")]
    assert epochs == [2, 3, 4]
    assert parts.bits(cell.key) == whole.bits(cell.key)


@pytest.mark.parametrize("name", ["model.safetensors", "predictions.npz"])
def test_results_that_could_not_be_finished_are_not_there(lab: Lab, renames: Renames, name: str) -> None:
    """And the cell does not count as done."""
    cell = cell_of(lab)
    renames.die = {name: 1}
    with pytest.raises(KeyboardInterrupt):
        lab.train([cell])
    folder = lab.folder.cell(cell.key).folder
    assert name not in {path.name for path in folder.iterdir()}
    assert not left_over(lab, cell)
    record = lab.folder.read_record(cell.key)
    assert record is not None
    assert record.status == "interrupted"


def test_weights_are_those_of_the_network(lab: Lab) -> None:
    """By the names of its own state dict, in its types."""
    cell = cell_of(lab)
    lab.train([cell])
    network = lab.registry.get("model", cell.student).spec.factory(10, (1, 8, 8))
    saved = load_file(lab.folder.cell(cell.key).model)
    assert {k: (v.shape, v.dtype) for k, v in saved.items()} == {
        k: (v.shape, v.dtype) for k, v in network.state_dict().items()
    }
