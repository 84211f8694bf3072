"""Optimisers of plugins: their parameters, their state, and what goes wrong with them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from kdharness.api.executors import EpochFinished
from kdharness.engine.optimizers import norms_and_biases, restore
from kdharness.errors import UserError
from kdharness.testing import Lab

PLUGIN = '''
import torch
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, OptimizerSpec, Parameter, Phase, Player, Reads, hookimpl

class Odd(torch.optim.Optimizer):
    """Steps against the sign of a running mean; keeps doubles, counts and a number."""

    def __init__(self, params, lr, weight_decay, beta, nudge):
        super().__init__(params, dict(lr=lr, weight_decay=weight_decay, beta=beta, nudge=nudge))

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                if not state:
                    state.update(mean=torch.zeros_like(p, dtype=torch.float64), seen=torch.zeros((), dtype=torch.int64))
                    state["last"] = 0.0
                state["mean"].mul_(group["beta"]).add_((p.grad + group["weight_decay"] * p).double() / 3)
                state["seen"] += 1
                state["last"] = float(state["mean"].sum())
                p.sub_(group["lr"] * ((state["mean"] + group["nudge"] * state["seen"] + state["last"]).tanh().float()))

class OneMomentum(torch.optim.SGD):
    """Names gradients, and its step takes none."""
    gradients = ("task", "distill")

    def step(self, closure=None):
        pass

class Chooser(Method):
    """Trains with the optimiser that it is told."""
    name = "chooser"
    reads = Reads(teachers="none")
    kind: str = "odd"
    nudge: float = -1.0
    declares: str = ""
    late: bool = False
    parts: bool = False
    field: str = ""

    def build(self, context):
        self.built = True

    def optimizers(self, pair):
        return [self.declares] if self.declares else []

    def phases(self):
        if self.late:
            assert self.built
        own = {"nudge": self.nudge} if self.nudge >= 0 else {}
        own |= {self.field: 3} if self.field else {}
        return [Phase(players=(Player(optimizer={"optimizer": self.kind, "lr": 1e-3, **own}),))]

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

    def update(self, step):
        super().update(step)
        self.group = {k: v for k, v in step.optimizers["main"].param_groups[0].items() if k != "params"}
        if self.parts:
            step.apply(gradients={"task": step.gradients(step.recompute()["ce"])})

    def curves(self):
        return {"nudge": self.group.get("nudge", -1.0), "beta": self.group.get("beta", -1.0)}

class Wrong(Chooser):
    """Declares one that there is not."""
    name = "wrong"
    declares: str = "adm"

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Chooser), MethodSpec.of(Wrong)]

@hookimpl
def kdharness_optimizers():
    yield OptimizerSpec("odd", Odd, parameters=(Parameter("beta", float, 0.5), Parameter("nudge", float, 0.25)))
    yield OptimizerSpec("plain", lambda parameters, lr: torch.optim.SGD(parameters, lr))
    yield OptimizerSpec("half", lambda parameters, lr: OneMomentum(parameters, lr), reads=())
    yield OptimizerSpec("none", lambda parameters, **given: None)
'''


@pytest.fixture
def lab_of(make_lab: Callable[..., Lab], tmp_path: Path) -> Callable[..., Lab]:
    (tmp_path / "odd.py").write_text(PLUGIN)
    return lambda name="lab", **rest: make_lab(name, plugin_files=(tmp_path / "odd.py",), metrics=("top1",), **rest)


def plan_of(lab: Lab, *settings: str, method: str = "chooser", **rest: Any) -> Any:
    return lab.plan(methods=(method,), scenarios=("few100",), settings=settings, **rest)


def cell_of(lab: Lab, *settings: str, **rest: Any) -> Any:
    return plan_of(lab, *settings, **rest).cells[-1].cell


def curve(lab: Lab, cell: Any, metric: str) -> float:
    with lab.folder.cell(cell.key).history.open() as file:
        return [float(row["value"]) for row in csv.DictReader(file) if row["metric"] == metric][-1]


def test_its_parameters_come_from_benchmark_command_and_player(lab_of: Any) -> None:
    lab = lab_of()
    plain, set_, player = (
        cell_of(lab, *settings)
        for settings in ((), ("odd.beta=0.75", "odd.nudge=2"), ("odd.nudge=2", "chooser.nudge=0.5"))
    )
    records = lab.train([plain, set_, player])
    assert {record.status.value for record in records.values()} == {"ok"}
    found = [(curve(lab, cell, "beta"), curve(lab, cell, "nudge")) for cell in (plain, set_, player)]
    assert found == [(0.5, 0.25), (0.75, 2.0), (0.5, 0.5)]


def test_what_it_is_enters_the_key(lab_of: Any) -> None:
    lab = lab_of()
    plain, changed = cell_of(lab), cell_of(lab, "odd.beta=0.75")
    assert set(plain.document["optimizers"]) == {"odd", "sgd"}
    assert plain.document["optimizers"]["odd"]["parameters"] == {"beta": 0.5, "nudge": 0.25}
    assert "digest" in plain.document["optimizers"]["odd"]["plugin"]
    assert plain.key != changed.key
    assert plain.protocol != changed.protocol
    assert "odd.beta=0.75" in changed.deviations
    whole = cell_of(lab, "recipe.optimizer=odd", method="vanilla")
    assert set(whole.document["optimizers"]) == {"odd"}


def test_its_state_is_resumed_bit_for_bit(lab_of: Any) -> None:
    """Doubles and whole numbers, which torch itself would turn into what the parameters are."""
    whole, parts = lab_of("whole"), lab_of("parts", checkpoint_seconds=0.0)
    cell = cell_of(whole, "recipe.optimizer=odd", "recipe.lr=0.001", method="vanilla", epochs=3)
    whole.train([cell])

    def stop(event: object) -> None:
        if isinstance(event, EpochFinished) and event.epoch == stopped[-1]:
            stopped.append(event.epoch + 1)
            raise KeyboardInterrupt

    stopped = [2]
    parts.on_event = stop
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            parts.train([cell])
    parts.train([cell])
    assert parts.bits(cell.key) == whole.bits(cell.key)


def test_restored_state_has_its_own_types() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    optimizer.state[weight] = {"half": torch.ones(2, dtype=torch.float64) / 3, "seen": torch.tensor(3), "plain": 0.1}
    other = torch.optim.SGD([weight], lr=0.2)
    restore(other, optimizer.state_dict())
    found = other.state[weight]
    assert (found["half"].dtype, found["seen"].dtype, found["plain"]) == (torch.float64, torch.int64, 0.1)
    assert torch.equal(found["half"], optimizer.state[weight]["half"])
    found["half"] += 1
    assert float(optimizer.state[weight]["half"][0]) == pytest.approx(1 / 3), "it is a copy"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (("recipe.optimizer=odder",), "unknown optimizer 'odder' (--set recipe.optimizer); did you mean 'odd'?"),
        (("odd.betta=1",), "unknown parameter of optimizer 'odd' 'betta' (--set odd.betta); did you mean 'beta'?"),
        (("odd.beta=much",), "optimizer 'odd': parameter 'beta': 'much' is not a valid float"),
        (("adam.eps=1e-3",), "--set adam.eps: no cell trains with optimizer 'adam' (they use odd, sgd)"),
    ],
)
def test_mistakes_of_the_command_line_are_one_line(lab_of: Any, settings: tuple[str, ...], says: str) -> None:
    with pytest.raises(UserError) as error:
        plan_of(lab_of(), *settings)
    assert str(error.value).startswith(says)


def test_a_method_that_names_none_is_skipped_with_the_nearest(lab_of: Any) -> None:
    (planned,) = plan_of(lab_of(), method="wrong").cells
    assert "unknown optimizer 'adm'; did you mean 'adam'" in planned.skip


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            ("late=True", "kind=adam"),
            "a player names the optimizer 'adam', which neither the recipe nor ",
        ),
        (("late=True", "kind=oddd"), "unknown optimizer 'oddd'; did you mean 'odd'?"),
        (("kind=adam", "nudge=1"), "unknown parameter of optimizer 'adam' 'nudge'"),
        (("kind=none",), "the optimizer 'none' made a NoneType, and no torch Optimizer"),
        (
            ("kind=adam", "field=epochs"),
            "player 'main' of phase 'train' replaces 'epochs' of the recipe",
        ),
        (
            ("kind=plain", "declares=plain"),
            "the factory of optimizer 'plain' takes no 'weight_decay': its spec says reads=('weight_decay',), "
            "and may say reads=()",
        ),
        (
            ("kind=half", "declares=half"),
            "the optimizer 'half' has `gradients`, and its step(closure=None) takes none: it is "
            "step(closure=None, gradients=None)",
        ),
        (("parts=True",), "update() gives gradients by name, which Odd, the optimizer of player 'main', does not take"),
    ],
)
def test_mistakes_of_a_method_end_its_cell_alone(lab_of: Any, settings: tuple[str, ...], says: str) -> None:
    lab = lab_of()
    cells = [cell_of(lab, *(f"chooser.{s}" for s in settings)), cell_of(lab, method="vanilla")]
    records = lab.train(cells)
    assert [records[cell.key].status.value for cell in cells] == ["failed", "ok"]
    assert records[cells[0].key].error_message.startswith(says)


def test_what_phases_name_late_may_be_declared(lab_of: Any) -> None:
    lab = lab_of()
    cell = cell_of(lab, "chooser.late=True", "chooser.kind=adam", "chooser.declares=adam")
    assert lab.train([cell])[cell.key].status.value == "ok"


def test_norms_biases_and_vectors_are_told_apart() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LayerNorm((4, 6, 6)), nn.Linear(4, 2))
    network.scale = nn.Parameter(torch.ones(()))  # type: ignore[assignment]
    spared = norms_and_biases([network])
    names = {name for name, parameter in network.named_parameters() if id(parameter) in spared}
    assert names == {"0.bias", "1.weight", "1.bias", "2.weight", "2.bias", "3.bias", "scale"}


def test_listing_tells_what_an_optimiser_reads(capsys: pytest.CaptureFixture[str]) -> None:
    from kdharness.cli.main import execute

    assert execute(["list", "optimizers", "--json"]) == 0
    found = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {"adam", "adamw", "dot", "sgd"} <= set(found)
    assert found["sgd"]["reads"] == ["weight_decay", "momentum", "nesterov"]
    assert [p["name"] for p in found["adam"]["parameters"]] == ["betas", "eps"]
