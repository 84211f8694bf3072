"""Cells whose noise is secret: two trainings differ, nothing keeps the noise, and what was begun is counted."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from kdharness.planning.cell import Cell
from kdharness.results.record import Record, Status
from kdharness.testing import Lab

NOISY = """
import torch, torch.nn.functional as F
from torch import nn
from kdharness.api import Method, MethodSpec, hookimpl

class Noisy(Method):
    name = "noisy"
    secret_noise = True

    def build(self, context):
        self.source = context.secret_generator(device=True)
        self.released = nn.Buffer(torch.zeros(()))

    def before_epoch(self, epoch):
        self.begun = epoch.begun

    def losses(self, batch, student, teacher):
        noise = torch.randn(teacher.logits.shape, generator=self.source, device=teacher.logits.device)
        self.released += len(noise) * self.begun
        return {"match": F.mse_loss(student.logits, teacher.logits + noise)}

    def measurements(self):
        return {"released": float(self.released)}

class Hiding(Noisy):
    name = "hiding"
    terms = {"match": "distill", "rest": "task"}
    withheld = ("match",)
    burst: bool = False

    def losses(self, batch, student, teacher):
        loss = F.mse_loss(student.logits, teacher.logits)
        loss = loss * float("nan") if self.burst and self.begun_epochs > 1 else loss
        return {"match": loss, "rest": batch.task_loss(student.logits)}

    def before_epoch(self, epoch):
        self.begun_epochs = epoch.epoch + 1

class Wrong(Noisy):
    name = "wrong"
    withheld = ("mach",)

class Sly(Noisy):
    name = "sly"
    secret_noise = False

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Noisy), MethodSpec.of(Sly), MethodSpec.of(Hiding), MethodSpec.of(Wrong)]
"""
IMAGES = 100


class Stop(BaseException):
    """Kills a run."""


@pytest.fixture
def made(make_lab: Callable[..., Lab], tmp_path: Path) -> tuple[Lab, Cell]:
    """A lab with a trained teacher, and the cell of the noisy method in three epochs."""
    (tmp_path / "noisy.py").write_text(NOISY)
    lab = make_lab(plugin_files=(tmp_path / "noisy.py",), checkpoint_seconds=0.0)
    plan = lab.plan(methods=("noisy",), scenarios=("few100",), epochs=3)
    teacher, cell = (planned.cell for planned in plan.cells)
    lab.train([teacher])
    return lab, cell


def killed_in_epoch(lab: Lab, cell: Cell, epoch: int) -> None:
    """Kills a training when this epoch (from 1) is over and before it is saved."""

    def stop(event: Any) -> None:
        if getattr(event, "epoch", 0) == epoch:
            raise Stop

    lab.on_event = stop
    with contextlib.suppress(Stop):
        lab.train([cell], anew=False)
    lab.on_event = lambda event: None


def trained(lab: Lab, cell: Cell, anew: bool = False) -> Record:
    record = lab.train([cell], anew=anew)[cell.key]
    assert record.status is Status.OK, record.error_message
    return record


def test_the_plan_knows_it(made: tuple[Lab, Cell]) -> None:
    lab, cell = made
    assert cell.secret
    assert Cell.from_json(json.loads(json.dumps(cell.to_json()))).secret
    assert not lab.plan(methods=("kd",)).cells[-1].cell.secret


def test_two_trainings_differ_and_both_are_counted(made: tuple[Lab, Cell]) -> None:
    lab, cell = made
    once = trained(lab, cell)
    first = lab.folder.cell(cell.key).model.read_bytes()
    again = trained(lab, cell, anew=True)
    assert lab.folder.cell(cell.key).model.read_bytes() != first
    assert once.values["x_noisy_released"] == 3 * IMAGES
    assert again.values["x_noisy_released"] == 2 * 3 * IMAGES


@pytest.mark.parametrize(("epoch", "kills", "expected"), [(1, 1, 4), (2, 1, 4), (2, 2, 5), (3, 3, 6)])
def test_what_a_killed_run_released_is_counted(made: tuple[Lab, Cell], epoch: int, kills: int, expected: int) -> None:
    lab, cell = made
    for _ in range(kills):
        killed_in_epoch(lab, cell, epoch)
    assert trained(lab, cell).values["x_noisy_released"] == expected * IMAGES


def test_what_was_trained_without_a_checkpoint_is_counted_too(made: tuple[Lab, Cell]) -> None:
    lab, cell = made
    killed_in_epoch(lab, cell, 3)
    lab.folder.cell(cell.key).checkpoint.unlink()
    # Epochs 1, 2 and 3 were all made twice.
    assert trained(lab, cell).values["x_noisy_released"] == 6 * IMAGES


def test_the_count_is_on_disk_before_an_epoch_begins(made: tuple[Lab, Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    lab, cell = made
    seen = []
    monkeypatch.setattr(
        "kdharness.engine.member.Member.request",
        lambda self: seen.append(lab.folder.cell(cell.key).begun.read_text()) or 1 / 0,
    )
    lab.train([cell])
    assert seen == ['{"0": 1}']


def test_a_count_that_cannot_be_read_stops_the_cell(made: tuple[Lab, Cell]) -> None:
    lab, cell = made
    for damage in ("", "[]", '{"0": -1}', '{"0": true}', "{"):
        lab.folder.cell(cell.key).begun.parent.mkdir(parents=True, exist_ok=True)
        lab.folder.cell(cell.key).begun.write_text(damage)
        record = lab.train([cell])[cell.key]
        assert (record.status, record.error_type) == (Status.FAILED, "ReleasesUnknown")
        assert "begun.json cannot be read" in record.error_message


def test_no_state_of_the_noise_is_kept(made: tuple[Lab, Cell], monkeypatch: pytest.MonkeyPatch) -> None:
    lab, cell = made
    states: list[bytes] = []
    draw = torch.randn

    def noted(*shape: Any, generator: Any = None, **rest: Any) -> Any:
        if generator is not None:
            states.append(generator.get_state().numpy()[24 : 24 + 64].tobytes())
        return draw(*shape, generator=generator, **rest)

    monkeypatch.setattr(torch, "randn", noted)
    killed_in_epoch(lab, cell, 3)
    assert len(states) >= 3
    assert len(set(states)) == len(states), "each step has a new state"
    files = [path.read_bytes() for path in lab.path.rglob("*") if path.is_file()]
    assert lab.folder.cell(cell.key).checkpoint.is_file()
    assert not any(state in content for state in states for content in files)


def test_a_generator_that_was_not_declared_is_refused(made: tuple[Lab, Cell]) -> None:
    lab, _ = made
    cell = lab.plan(methods=("sly",), scenarios=("few100",), epochs=3).cells[-1].cell
    record = lab.train([cell])[cell.key]
    assert (record.status, record.error_type) == (Status.FAILED, "MethodError")
    assert "secret_noise" in record.error_message


def test_other_cells_count_nothing(lab: Lab) -> None:
    cell = lab.plan(methods=("vanilla",), scenarios=("few100",)).cells[-1].cell
    lab.train([cell])
    assert not lab.folder.cell(cell.key).begun.exists()


def hiding(lab: Lab, *settings: str) -> Record:
    cell = lab.plan(methods=("hiding",), scenarios=("few100",), epochs=3, settings=settings).cells[-1].cell
    return lab.train([cell])[cell.key]


def test_withheld_terms_train_and_are_told_nowhere(made: tuple[Lab, Cell]) -> None:
    lab, _ = made
    lab.events.clear()
    record = hiding(lab)
    assert record.status is Status.OK, record.error_message
    told = [event.values for event in lab.events if hasattr(event, "values")]
    assert [set(values) for values in told] == [{"rest"}] * 3
    history = lab.folder.cell(record.cell.key).history.read_text()
    assert "rest" in history
    assert "match" not in history
    assert "match" not in lab.folder.cell(record.cell.key).record.read_text().replace('"match": "distill"', "")


def test_nor_does_a_failure_tell_them(made: tuple[Lab, Cell]) -> None:
    lab, _ = made
    record = hiding(lab, "hiding.burst=true")
    assert record.error_type == "NonFiniteLoss"
    assert "the loss term 'match' became nan in epoch 2, step 1" in record.error_message
    assert "before" not in record.error_message
    assert "mean of epoch" not in record.error_message


def test_a_term_that_is_not_there_cannot_be_withheld(made: tuple[Lab, Cell]) -> None:
    lab, _ = made
    (planned,) = [p for p in lab.plan(methods=("wrong",), scenarios=("few100",)).cells if p.cell.method == "wrong"]
    assert "withholds the term 'mach'" in planned.skip
