"""Losses that train nothing are told, and a step that stops being finite is the earliest one's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from kdharness.engine.losses import LossTerms
from kdharness.errors import CellError
from kdharness.results.record import Record, Status
from kdharness.testing import Lab

PLUGIN = '''
import torch
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, Phase, Player, Reads, hookimpl

class Idle(Method):
    """Has losses of a kind."""
    name = "idle"
    reads = Reads(teachers="none")
    terms = {"ce": "task", "side": "distill"}
    kind: str = "none"

    def build(self, context):
        self.steps = 0
        self.extra = torch.nn.Linear(2, 2)

    def phases(self):
        if self.kind == "frozen":
            return [Phase("own", fraction=0.5, players=(Player(parts=("method",)),)), Phase("all", fraction=0.5)]
        if self.kind in ("later", "zero_last", "zero_before_own"):
            own = Phase("own", fraction=0.5, players=(Player(parts=("method",)),))
            return [Phase("first", fraction=0.5), own if self.kind == "zero_before_own" else Phase("all", fraction=0.5)]
        return [Phase()]

    def losses(self, batch, student, teacher):
        self.steps += 1
        ce = F.cross_entropy(student.logits, batch.targets)
        side = student.logits.square().mean()
        if self.kind == "detached":
            side = side.detach()
        if self.kind == "detached_once" and self.steps == 2:
            side = side.detach()
        if self.kind == "zero":
            side = torch.zeros(())
        if self.kind == "constant":
            side = torch.tensor(0.5)
        if self.kind == "integer":
            side = (student.logits.argmax(1) == batch.targets).sum()
        if self.kind == "all_detached":
            ce, side = ce.detach(), side.detach()
        if self.kind == "nothing":
            return {}
        if self.kind == "all_zero":
            ce, side = 0 * ce, 0 * side
        if self.kind == "begins_at_zero" and self.steps == 1:
            ce, side = 0 * ce, 0 * side
        if self.kind in ("later", "zero_before_own") and batch.step.phase == "first":
            ce, side = 0 * ce, 0 * side
        if self.kind == "zero_last" and batch.step.phase == "all":
            ce, side = 0 * ce, 0 * side
        if self.kind == "extra_only":
            ce, side = 0 * ce, self.extra.weight.square().sum()
        if self.kind == "cut_off":
            return {"side": self.extra(student.logits.detach()[:, :2]).square().mean()}
        if self.kind == "frozen":
            side = self.extra.weight.square().sum()
        return {"ce": ce, "side": side}

class Resting(Idle):
    """Steps with a rate of zero."""
    name = "resting"
    kind: str = "all_zero"

    def update(self, step):
        for group in step.optimizers["main"].param_groups:
            group["lr"] = 0.0
        super().update(step)

class Direct(Idle):
    """Makes the optimiser's step itself."""
    name = "direct"

    def update(self, step):
        step.zero_grad()
        step.backward()
        step.optimizers["main"].step()

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Idle), MethodSpec.of(Resting), MethodSpec.of(Direct)]
'''


@pytest.fixture
def trained(make_lab: Callable[..., Lab], tmp_path: Path) -> Callable[..., Record]:
    (tmp_path / "idle.py").write_text(PLUGIN)
    lab = make_lab(plugin_files=(tmp_path / "idle.py",), metrics=("top1",))

    def train(kind: str, *settings: str, method: str = "idle") -> Record:
        given = ("recipe.batch_size=25", f"{method}.kind={kind}", *settings)
        plan = lab.plan(methods=(method,), scenarios=("few100",), settings=given)
        return next(iter(lab.train_plan(plan).values()))

    return train


KINDS = ["none", "detached_once", "zero", "constant", "frozen", "later", "begins_at_zero"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_meant_trains(trained: Any, kind: str) -> None:
    record = trained(kind)
    assert record.status is Status.OK, record.traceback


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (
            "detached",
            "the loss term 'side' has no gradient in any step of epoch 1, so it trains nothing",
        ),
        ("integer", "losses()['side'] must be floating point, got int64, which has no gradient"),
        ("all_detached", "no term of losses() needs a gradient (ce, side): nothing is trained"),
        ("nothing", "losses() has no terms: nothing is trained"),
    ],
)
def test_what_trains_nothing_is_told(trained: Any, kind: str, says: str) -> None:
    record = trained(kind)
    assert (record.status, record.error_type) == (Status.FAILED, "MethodError")
    assert record.error_message.startswith(says)


def test_a_rate_of_zero_says_nothing_of_the_losses(trained: Any) -> None:
    assert trained("all_zero", method="resting").status is Status.OK


ZERO = "every gradient of every parameter of the student was exactly zero"


@pytest.mark.parametrize(
    ("kind", "epoch", "means"),
    [
        ("all_zero", 1, "ce 0, side 0"),
        ("zero_last", 2, "ce 0, side 0"),
        ("zero_before_own", 1, "ce 0, side 0"),
        ("extra_only", 1, "ce 0, side "),
        ("cut_off", 1, "side "),
    ],
)
def test_a_student_that_no_step_moves_is_told(trained: Any, kind: str, epoch: int, means: str) -> None:
    record = trained(kind)
    assert (record.status, record.error_type) == (Status.FAILED, "MethodError")
    assert record.error_message.startswith(f"in epoch {epoch} {ZERO} (the means of the loss terms: {means}")
    assert record.error_message.endswith("nothing is trained; are all weights of its terms zero?")


def test_whoever_makes_the_step(trained: Any) -> None:
    assert trained("none", method="direct").status is Status.OK
    assert ZERO in trained("all_zero", method="direct").error_message


def test_weights_of_a_built_in_method_that_are_all_zero(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(metrics=("top1",))
    zero = ("kd.ce_weight=0", "kd.weight=0")
    plan = lab.plan(methods=("kd", "vanilla"), scenarios=("few100",), settings=zero)
    records = {r.cell.method: r for key, r in lab.train_plan(plan).items() if r.cell.role == "student"}
    assert records["vanilla"].status is Status.OK
    assert records["kd"].status is Status.FAILED
    assert records["kd"].error_message.startswith(f"in epoch 1 {ZERO} (the means of the loss terms: ce 0, kd 0)")


def test_a_term_that_is_left_out_may_be_all_there_is(trained: Any) -> None:
    assert trained("none", "idle.without=ce").status is Status.OK


def means(*steps: dict[str, float], before: dict[str, float] | None = None) -> dict[str, float]:
    """Of an epoch with these values."""
    terms = LossTerms("made", {}, frozenset())
    terms.begin_epoch()
    for step in steps:
        terms.remember({name: _loss(value) for name, value in step.items()})
    return terms.means(2, True, before or {})


def _loss(value: float) -> Tensor:
    return torch.tensor(value, requires_grad=True)


def test_the_means() -> None:
    assert means({"a": 1.0, "b": 2.0}, {"a": 3.0}) == {"a": 2.0, "b": 2.0}


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        # The first in the dict is not the first in time.
        (({"a": 1.0, "b": 2.5}, {"a": 1.0, "b": INF}, {"a": NAN, "b": NAN}),
         "'b' became inf in epoch 2, step 2 (before: 2.5)"),
        # A term that begins later is counted in steps of the epoch, not in its own.
        (({"a": 1.0}, {"a": 1.0}, {"a": 4.0, "b": 2.0}, {"a": NAN, "b": NAN}),
         "'a' became nan in epoch 2, step 4 (before: 4), and with it 'b'"),
        (({"a": 1.0}, {"a": NAN}, {"a": NAN, "b": NAN}), "'a' became nan in epoch 2, step 2 (before: 1)"),
        (({"a": -INF, "b": 1.0},), "'a' became -inf in epoch 2, step 1 (mean of epoch 1: 0.25)"),
        (({"a": 1.0, "b": NAN},), "'b' became nan in epoch 2, step 1"),
    ],
)  # fmt: skip
def test_the_earliest_step_of_all_terms_is_blamed(steps: tuple[dict[str, float], ...], says: str) -> None:
    with pytest.raises(CellError) as caught:
        means(*steps, before={"a": 0.25})
    assert str(caught.value) == f"the loss term {says}"
