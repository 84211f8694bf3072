"""A checkpoint holds everything: one source of state at a time, a cell stopped after each of its epochs."""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdharness.api.executors import EpochFinished
from kdharness.results.record import Record
from kdharness.testing import Lab

PLUGIN = '''
import json, random, time
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, Phase, Player, Reads, hookimpl

class Stateful(Method):
    """Its loss depends on one kind of state, `source`."""
    name = "stateful"
    reads = Reads(teachers="none")
    source: str = "torch"
    lasting: bool = True

    def build(self, context):
        self.named = [context.generator("first"), context.generator("second")]
        self.plain = 0.0
        self.register_buffer("counted", torch.zeros(()))
        self.adapter = nn.Linear(context.num_classes, context.num_classes)
        self.norm = nn.BatchNorm1d(context.num_classes)
        self.drop = nn.Dropout(0.5)
        self.drawn = 0.0

    def phases(self):
        adam = {"optimizer": "adam", "lr": 1e-3}
        main, own = Player("main", ("student",)), Player("own", ("method",), adam, lasting=self.lasting)
        return [
            Phase("first", epochs=2, players=(main, own)),
            Phase("second", epochs=2, players=(main,)),
            Phase("third", epochs=1, players=(main, own)),
        ]

    def draw(self):
        self.plain += 1.0
        self.counted += 1
        return {
            "torch": lambda: float(torch.randn(())),
            "numpy": lambda: float(np.random.randn()),
            "numpy_int": lambda: float(np.random.randint(1000)) / 1000,
            "python": lambda: random.gauss(0.0, 1.0),
            "python_int": lambda: random.randrange(1000) / 1000,
            "first": lambda: float(torch.rand((), generator=self.named[0])),
            "second": lambda: float(torch.rand((), generator=self.named[1])),
            "extra": lambda: 0.01 * self.plain,
            "buffer": lambda: 0.01 * float(self.counted),
        }.get(self.source, lambda: 0.0)()

    def losses(self, batch, student, teacher):
        self.drawn = self.draw()
        logits = self.adapter(student.logits)
        if self.source == "norm":
            logits = logits + F.batch_norm(student.logits, self.norm.running_mean, self.norm.running_var)
            self.norm(student.logits)
        if self.source == "dropout":
            logits = self.drop(logits)
        ce = F.cross_entropy(logits, batch.targets)
        return {"ce": ce + 0.1 * self.drawn * student.logits.square().mean()}

    def curves(self):
        return {"drawn": self.drawn, "adapted": float(self.adapter.weight.detach().abs().sum())}

    def measurements(self):
        return {"counted": float(self.counted)}

    def get_extra_state(self):
        return {"plain": self.plain}

    def set_extra_state(self, state):
        self.plain = state["plain"]

class Passing(Method):
    """A term that only its first phase has, and that no declaration names."""
    name = "passing"
    reads = Reads(teachers="none")

    def phases(self):
        return [Phase("first", epochs=1), Phase("second", epochs=2)]

    def losses(self, batch, student, teacher):
        ce = F.cross_entropy(student.logits, batch.targets)
        return {"ce": ce, "early": student.logits.square().mean()} if batch.step.phase == "first" else {"ce": ce}

class Slow(Method):
    """Takes its time in the first epoch alone."""
    name = "slow"
    reads = Reads(teachers="none")

    def losses(self, batch, student, teacher):
        time.sleep(0.1 if batch.step.epoch == 0 else 0.0)
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Stateful), MethodSpec.of(Passing), MethodSpec.of(Slow)]
'''
SOURCES = (
    "torch", "numpy", "numpy_int", "python", "python_int", "first", "second", "extra", "buffer", "norm", "dropout",
    "none",
)  # fmt: skip


@pytest.fixture
def lab_of(make_lab: Callable[..., Lab], tmp_path: Path) -> Callable[..., Lab]:
    (tmp_path / "stateful.py").write_text(PLUGIN)
    return lambda name, **rest: make_lab(
        name, plugin_files=(tmp_path / "stateful.py",), metrics=("top1", "gradient_norm"), **rest
    )


def cell_of(lab: Lab, method: str, *settings: str, **rest: Any) -> Any:
    plan = lab.plan(methods=(method,), scenarios=("few100",), settings=settings, **rest)
    (cell,) = (p.cell for p in plan.cells)
    return cell


def train(lab: Lab, cell: Any) -> Record:
    record = lab.train([cell])[cell.key]
    assert record.status == "ok", record.traceback
    return record


def train_in_parts(lab: Lab, cell: Any, epochs: int) -> Record:
    """Stopped by an interrupt after each epoch, with a checkpoint of the epoch before."""
    stopped: list[int] = []

    def stop(event: object) -> None:
        if isinstance(event, EpochFinished) and event.epoch > 1 and event.epoch not in stopped:
            stopped.append(event.epoch)
            raise KeyboardInterrupt

    lab.on_event = stop
    for _ in range(epochs - 1):
        with pytest.raises(KeyboardInterrupt):
            lab.train([cell])
    record = train(lab, cell)
    assert stopped == list(range(2, epochs + 1))
    return record


def timeless(record: Record) -> str:
    values = {k: v for k, v in record.values.items() if not k.endswith(("seconds", "second", "ratio"))}
    return json.dumps([sorted(values.items()), sorted(map(str, record.metrics))])


def curve(lab: Lab, cell: Any, metric: str) -> list[float]:
    with lab.folder.cell(cell.key).history.open() as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["metric"] == metric]


@pytest.mark.parametrize(("source", "lasting"), [*((source, True) for source in SOURCES), ("none", False)])
def test_each_kind_of_state_is_taken_up_where_it_was(lab_of: Any, source: str, lasting: bool) -> None:
    """Default generators (NumPy's and Python's keep half a pair of normal draws), the method's own, buffers, running
    statistics, what it adds by hand, and optimisers that last over phases or begin anew.
    """
    whole, parts = lab_of("whole"), lab_of("parts", checkpoint_seconds=0.0)
    # Three steps make an odd number of normal draws: half a pair is left over at the end of an epoch.
    settings = (f"stateful.source={source}", f"stateful.lasting={lasting}", "recipe.batch_size=34")
    cell = cell_of(whole, "stateful", *settings)
    expected = train(whole, cell)
    found = train_in_parts(parts, cell, 5)
    assert curve(parts, cell, "drawn") == curve(whole, cell, "drawn")
    assert parts.bits(cell.key) == whole.bits(cell.key)
    assert timeless(found) == timeless(expected)
    if source not in ("none", "norm", "dropout"):
        assert len(set(curve(whole, cell, "drawn"))) == 5, "the source must have a state"


def test_a_term_that_an_earlier_phase_had_is_remembered(lab_of: Any) -> None:
    """Or the last phase takes what `without` names for a mistake."""
    lab = lab_of("lab", checkpoint_seconds=0.0)
    cell = cell_of(lab, "passing", "passing.without=early")
    train_in_parts(lab, cell, 3)


def test_time_and_images_of_all_attempts_count(lab_of: Any) -> None:
    lab = lab_of("lab", checkpoint_seconds=0.0)
    cell = cell_of(lab, "slow", epochs=3)
    began = time.monotonic()
    values = train_in_parts(lab, cell, 3).values
    assert 0.2 <= values["train_seconds"] < time.monotonic() - began
    images = values["images_per_second"] * values["alone_seconds"]
    assert images == pytest.approx(300)


def test_a_cell_that_ended_leaves_no_checkpoint(lab_of: Any) -> None:
    lab = lab_of("lab", checkpoint_seconds=0.0)
    cell = cell_of(lab, "passing")
    train_in_parts(lab, cell, 3)
    assert not lab.folder.cell(cell.key).checkpoint.exists()
    assert {path.name for path in lab.folder.cell(cell.key).folder.iterdir()} == {
        "record.json", "history.csv", "model.safetensors", "predictions.npz",
    }  # fmt: skip


def test_checkpoints_are_saved_as_often_as_asked(lab_of: Any) -> None:
    """Every so many seconds at most, and never after the last epoch."""
    for seconds, expected in ((0.0, [False, True, True]), (1e9, [False] * 3)):
        lab = lab_of(f"every_{seconds}", checkpoint_seconds=seconds)
        cell = cell_of(lab, "slow", epochs=3)
        there: list[bool] = []

        def look(event: object, lab: Lab = lab, cell: Any = cell, there: list[bool] = there) -> None:
            if isinstance(event, EpochFinished):
                there.append(lab.folder.cell(cell.key).checkpoint.exists())

        lab.on_event = look
        train(lab, cell)
        assert there == expected
