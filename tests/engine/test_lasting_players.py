"""Players whose optimiser outlives its phase."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdharness.api.executors import EpochFinished

METHOD = '''
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, Phase, Player, Reads, hookimpl

class Rounds(Method):
    """Two optimisers in turn, and a third that is new each time."""
    name = "rounds"
    reads = Reads(teachers="none")
    lasting: bool = True
    subset: str = "train"
    odd: bool = False

    def phases(self):
        def phase(name, number):
            parts = ("student",) if not (self.odd and number) else ("student.fc",)
            adam = {"optimizer": "adam", "lr": 1e-3 / (number + 1)}
            return Phase(name, 1, subset=self.subset, players=(Player(name, parts, adam, lasting=self.lasting),))
        return [phase(name, number) for number in range(3) for name in ("a", "b")]

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

    def update(self, step):
        super().update(step)
        ((name, optimizer),) = step.optimizers.items()
        self.shown = {name: float(next(iter(optimizer.state.values()))["step"]), "lr": optimizer.param_groups[0]["lr"]}

    def curves(self):
        return self.shown

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Rounds)]
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "rounds.py"
    path.write_text(METHOD)
    return path


def cell_of(lab: Any, *settings: str, scenario: str = "few100") -> Any:
    plan = lab.plan(methods=("rounds",), settings=settings, scenarios=(scenario,))
    return plan.cells[-1].cell


def train(lab: Any, cell: Any) -> dict[str, list[float]]:
    """By name of a curve, its values in the order of epochs."""
    record = lab.train([cell])[cell.key]
    assert record.status == "ok", record.error_message
    found: dict[str, list[float]] = {}
    for row in csv.DictReader(lab.folder.cell(cell.key).history.open()):
        found.setdefault(row["metric"], []).append(float(row["value"]))
    return found


def test_moments_and_step_counts_go_on(make_lab: Callable[..., Any], plugin: Path) -> None:
    lab = make_lab(plugin_files=(plugin,))
    curves = train(lab, cell_of(lab))
    assert curves["a"] == curves["b"] == [2, 4, 6]
    assert curves["lr"] == pytest.approx([1e-3, 1e-3, 1e-3 / 2, 1e-3 / 2, 1e-3 / 3, 1e-3 / 3])


def test_others_begin_anew(make_lab: Callable[..., Any], plugin: Path) -> None:
    lab = make_lab(plugin_files=(plugin,))
    curves = train(lab, cell_of(lab, "rounds.lasting=false"))
    assert curves["a"] == curves["b"] == [2, 2, 2]


def test_resumed_run_gives_the_same_bits(make_lab: Callable[..., Any], plugin: Path) -> None:
    whole, broken = make_lab("whole", plugin_files=(plugin,)), make_lab("broken", plugin_files=(plugin,))
    cell = cell_of(whole)
    train(whole, cell)

    def stop(event: Any) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 4:
            raise KeyboardInterrupt

    broken.checkpoint_seconds = 0.0
    broken.on_event = stop
    with pytest.raises(KeyboardInterrupt):
        broken.train([cell])
    assert broken.folder.cell(cell.key).checkpoint.exists()
    broken.on_event = lambda event: None
    train(broken, cell)
    assert broken.bits(cell.key) == whole.bits(cell.key)


def test_other_parts_under_the_same_name_are_an_error(make_lab: Callable[..., Any], plugin: Path) -> None:
    lab = make_lab(plugin_files=(plugin,))
    cell = cell_of(lab, "rounds.odd=true")
    record = lab.train([cell])[cell.key]
    assert (record.status, record.error_type) == ("failed", "MethodError")
    assert "lasting player 'a' has other parts" in record.error_message


@pytest.mark.parametrize("subset", ["private", "validation", "teacher_validation", "teacher"])
def test_what_a_scenario_keeps_from_a_cell_cannot_be_asked_for(
    make_lab: Callable[..., Any], plugin: Path, subset: str
) -> None:
    lab = make_lab(plugin_files=(plugin,))
    cell = cell_of(lab, f"rounds.subset={subset}", scenario="split80")
    record = lab.train([cell])[cell.key]
    assert (record.status, record.error_type) == ("failed", "MethodError")
    assert f"gives this cell no subset '{subset}' (it has public, train)" in record.error_message
