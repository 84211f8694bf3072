"""What counts as a checkpoint."""

from __future__ import annotations

import contextlib

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
