"""What counts as a checkpoint."""

from __future__ import annotations

import contextlib
import copy
from unittest.mock import ANY

import pytest
import torch

from kdharness.engine.checkpoint import Checkpoint, packed


def test_what_another_kind_of_device_wrote_counts_as_none(tmp_path):
    """Its generators cannot go on here, and what they held would leak into other cells' draws."""
    path = tmp_path / "checkpoint"
    Checkpoint(path, 0.0, "cuda").save(packed({"device": "cuda", "weights": torch.ones(2)}))
    assert Checkpoint(path, 0.0, "cpu").load() is None
    assert torch.equal(Checkpoint(path, 0.0, "cuda").load()["weights"], torch.ones(2))


def test_a_cell_begun_on_another_device_starts_anew_and_ends_as_if_it_had_not_begun(make_lab):
    straight, resumed = make_lab("straight"), make_lab("resumed", checkpoint_seconds=0.0)
    plan = straight.plan(methods=("vanilla",), scenarios=("few100",), epochs=3)
    (cell,) = (p.cell for p in plan.cells)
    straight.train([cell])

    class Stop(BaseException):
        pass

    def stop(event):
        if getattr(event, "epoch", 0) == 2:
            raise Stop

    resumed.on_event = stop
    with contextlib.suppress(Stop):
        resumed.train([cell])
    path = resumed.folder.cell(cell.key).checkpoint
    state = torch.load(path, weights_only=True)
    assert state["device"] == "cpu"
    torch.save({**state, "device": "cuda"}, path)
    resumed.on_event = lambda event: None
    resumed.train([cell])
    assert resumed.bits(cell.key) == straight.bits(cell.key)
    epochs = [event.epoch for event in resumed.events if hasattr(event, "epoch")]
    assert epochs == [1, 2, 1, 2, 3], "it went on from a checkpoint that is not its own"


def test_what_is_interrupted_leaves_its_curves(make_lab):
    lab = make_lab("interrupted")
    (cell,) = (p.cell for p in lab.plan(methods=("vanilla",), scenarios=("few100",), epochs=3).cells)

    def interrupt(event):
        if getattr(event, "epoch", 0) == 2:
            raise KeyboardInterrupt

    lab.on_event = interrupt
    with contextlib.suppress(KeyboardInterrupt):
        lab.train([cell])
    rows = lab.folder.cell(cell.key).history.read_text().splitlines()
    assert rows[0] == "epoch,split,predictor,metric,value"
    assert {row.split(",")[0] for row in rows[1:]} == {"1", "2"}
    assert lab.folder.read_record(cell.key).status.value == "interrupted"


STATEFUL = """
from torch import nn
from kdharness.api import ModelSpec, hookimpl

class Stateful(nn.Sequential):
    def __init__(self, num_classes, input_shape):
        super().__init__(nn.Flatten(), nn.Linear(64, num_classes))

    def get_extra_state(self):
        return {"steps": 3}

    def set_extra_state(self, state):
        pass

@hookimpl
def kdharness_models():
    return [ModelSpec("stateful", Stateful)]
"""


def test_weights_that_are_no_tensors_end_their_cell_alone(make_lab, tmp_path):
    file = tmp_path / "stateful.py"
    file.write_text(STATEFUL)
    lab = make_lab(plugin_files=(file,))
    cells = [
        planned.cell
        for model in ("stateful", "conv8")
        for planned in lab.plan(methods=("vanilla",), pairs=(f"conv8:{model}",), scenarios=("few100",)).cells
    ]
    records = lab.train(cells)
    assert [records[cell.key].status.value for cell in cells] == ["failed", "ok"]
    message = "its network's weights cannot be kept: '_extra_state' of its state dict is no tensor"
    assert records[cells[0].key].error_message == message


PARTS = {
    "weights": {"student": {"fc": torch.arange(6.0).reshape(2, 3)}},
    "players": {"optimizers": {"all": {"state": {0: {"momentum_buffer": torch.ones(2, dtype=torch.bfloat16)}}}}},
    "history": [(1, "test", "", "top1", 12.5)],
    "dropped": {"ce"},
    "best": None,
}


def _without_momentum(state):
    del state["players"]["optimizers"]["all"]["state"][0]


def _without_curves(state):
    state["history"].pop()


def _without_best(state):
    del state["best"]


def _another_bit(state):
    state["weights"]["student"]["fc"][1, 2] = 6.0


def _another_type(state):
    state["weights"]["student"]["fc"] = state["weights"]["student"]["fc"].double()


@pytest.mark.parametrize("change", [_without_momentum, _without_curves, _without_best, _another_bit, _another_type])
def test_a_checkpoint_that_lacks_something_counts_as_none(tmp_path, change):
    """Though torch reads it: an optimiser without its momentum would go on with other bits, and say nothing."""
    checkpoint = Checkpoint(tmp_path / "checkpoint", 0.0, "cpu")
    checkpoint.save(packed({"device": "cpu", **copy.deepcopy(PARTS)}))
    assert checkpoint.load() == PARTS | {"weights": ANY, "players": ANY}
    state = torch.load(checkpoint.path, weights_only=True)
    change(state)
    torch.save(state, checkpoint.path)
    assert checkpoint.load() is None


@pytest.mark.parametrize("length", [0, 1, 100, 0.5, 0.99])
def test_a_checkpoint_that_was_cut_off_counts_as_none(tmp_path, length):
    checkpoint = Checkpoint(tmp_path / "checkpoint", 0.0, "cpu")
    checkpoint.save(packed({"device": "cpu", **PARTS}))
    content = checkpoint.path.read_bytes()
    checkpoint.path.write_bytes(content[: length if isinstance(length, int) else int(length * len(content))])
    assert checkpoint.load() is None


def test_what_other_weights_taught_counts_as_none(tmp_path):
    checkpoint = Checkpoint(tmp_path / "checkpoint", 0.0, "cpu")
    checkpoint.save(packed({"device": "cpu", "sources": {"teacher": "ab"}, **PARTS}))
    assert checkpoint.load({"teacher": "ab"}) is not None
    assert checkpoint.load({"teacher": "cd"}) is None
    assert checkpoint.load({}) is None
