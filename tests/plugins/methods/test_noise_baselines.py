"""Baselines for wrong labels: bootstrapping, early stopping, smoothed labels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.methods.bootstrapping import Bootstrapping, own_target_loss
from kdharness_plugins.methods.early_stopping import EarlyStopping
from kdharness_plugins.methods.vanilla import Vanilla
from torch import Tensor, nn

from kdharness.api import Batch, BuildContext, MethodSpec, Outputs, StepInfo
from kdharness.testing import Lab, MethodCase, parametrize_with_checks

INFO = StepInfo("train", torch.tensor(0), 1, torch.zeros(()))
LOGITS = torch.tensor([[0.5, 1.5, -1.0], [2.0, 0.0, 1.0]])
TARGETS = torch.tensor([0, 2])


def losses_of(method: Any, logits: Tensor) -> dict[str, Tensor]:
    images = torch.zeros(len(logits), 1, 8, 8)
    nothing: Any = None
    return dict(method.losses(Batch(images, TARGETS, INFO, views=(images,)), Outputs(nothing, logits, {}), None))


# -- bootstrapping ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "beta"), [("soft", 0.95), ("hard", 0.8)])
def test_bootstrapping_is_cross_entropy_against_a_mix_of_labels_and_predictions(kind: str, beta: float) -> None:
    q = LOGITS.softmax(1)
    own = q if kind == "soft" else F.one_hot(torch.tensor([1, 0]), 3)
    mixed = beta * F.one_hot(TARGETS, 3) + (1 - beta) * own
    expected = -(mixed * q.log()).sum(1).mean()
    torch.testing.assert_close(torch.stack(list(losses_of(Bootstrapping(kind=kind), LOGITS).values())).sum(), expected)


def test_a_beta_that_is_given_is_taken() -> None:
    losses = losses_of(Bootstrapping(beta=0.25), LOGITS)
    torch.testing.assert_close(losses["ce"], 0.25 * F.cross_entropy(LOGITS, TARGETS))
    torch.testing.assert_close(losses["bootstrapping"], 0.75 * own_target_loss(LOGITS, hard=False))
    assert losses_of(Bootstrapping(beta=0.0, kind="hard"), LOGITS)["ce"] == 0, "0 is a beta, not the default"


def test_the_soft_form_sharpens_predictions() -> None:
    """A descent of the entropy makes the most probable class more so: gradient flows through the target."""
    logits = LOGITS.clone().requires_grad_()
    own_target_loss(logits, hard=False).backward()
    q, entropy = LOGITS.softmax(1), -(LOGITS.softmax(1) * LOGITS.log_softmax(1)).sum(1, keepdim=True)
    torch.testing.assert_close(logits.grad, -q * (LOGITS.log_softmax(1) + entropy) / 2)
    assert own_target_loss(torch.zeros(2, 4), hard=False).item() == pytest.approx(math.log(4))


# -- early stopping ---------------------------------------------------------------------------------------------------


def stopping(count: int = 100, seed: int = 0, **parameters: Any) -> EarlyStopping:
    method = EarlyStopping(**parameters)
    given = {
        "targets": torch.zeros(count, dtype=torch.int64),
        "make_generator": lambda name, on_device: torch.Generator().manual_seed(seed),
        "new_model": lambda name, role: nn.Linear(1, 2),
        "student": SimpleNamespace(name="linear"),
    }
    method.build(BuildContext(**{field.name: given.get(field.name) for field in dataclasses.fields(BuildContext)}))
    return method


def epoch_of(number: int, student: nn.Module, predict: Callable[[Tensor], Tensor], targets: Tensor) -> Any:
    return SimpleNamespace(epoch=number, student=student, predict=predict, targets=targets)


def test_held_out_images_are_a_share_and_never_train() -> None:
    method = stopping(held_out=0.2)
    nothing: Any = None
    trains, chooses = method.select(nothing), method.get_buffer("chooses")
    assert (len(trains), len(chooses)) == (80, 20)
    assert sorted([*trains.tolist(), *chooses.tolist()]) == list(range(100))
    assert chooses.tolist() != stopping(held_out=0.2, seed=1).get_buffer("chooses").tolist()


@pytest.mark.parametrize(("criterion", "kept"), [("accuracy", 1), ("loss", 2)])
def test_the_earliest_best_epoch_is_kept(criterion: str, kept: int) -> None:
    """Of right answers: none, all, all, half; of losses, the third epoch's is least."""
    method = stopping(held_out=0.5, criterion=criterion)
    margins = ((-1.0, -1.0), (1.0, 1.0), (3.0, 3.0), (9.0, -9.0))
    weights: list[Tensor] = []
    for number, (even, odd) in enumerate(margins):
        student = nn.Linear(1, 2)
        weights.append(student.weight.detach().clone())

        def predict(positions: Tensor, even: float = even, odd: float = odd) -> Tensor:
            assert positions.tolist() == method.get_buffer("chooses").tolist()
            alternate = torch.arange(len(positions)) % 2 == 0
            return torch.stack([torch.where(alternate, even, odd), torch.zeros(len(positions))], 1)

        method.after_epoch(epoch_of(number, student, predict, torch.zeros(100, dtype=torch.int64)))
    nothing: Any = None
    assert torch.equal(method.predictor(nothing, []).weight, weights[kept])
    assert method.measurements() == {"best_epoch": kept + 1}


# -- smoothed labels --------------------------------------------------------------------------------------------------


def test_smoothing_is_the_recipes_for_this_method_alone() -> None:
    assert dict(Vanilla().phases()[0].recipe) == {}
    assert dict(Vanilla(label_smoothing=0.1).phases()[0].recipe) == {"label_smoothing": 0.1}
    assert dict(Vanilla(label_smoothing=0.0).phases()[0].recipe) == {"label_smoothing": 0.0}


def test_smoothing_by_the_method_trains_as_smoothing_by_the_recipe(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    answers = {}
    for name, settings in {
        "plain": (),
        "method": ("vanilla.label_smoothing=0.2",),
        "recipe": ("student.label_smoothing=0.2",),
    }.items():
        records = lab.train_plan(lab.plan(methods=("vanilla",), settings=settings))
        assert {record.status.value for record in records.values()} == {"ok"}
        with np.load(lab.folder.cell(next(iter(records))).predictions) as predictions:
            answers[name] = predictions["logits"]
    assert np.array_equal(answers["method"], answers["recipe"])
    assert not np.array_equal(answers["method"], answers["plain"])


def test_what_is_evaluated_is_a_student_that_trained_no_longer(lab: Lab) -> None:
    """At a constant rate, the kept epoch of a longer run is the last of a run of that length."""

    def answers(epochs: int) -> tuple[float, Any]:
        plan = lab.plan(methods=("early_stopping",), epochs=epochs, settings=("student.schedule=constant",))
        ((key, record),) = lab.train_plan(plan).items()
        with np.load(lab.folder.cell(key).predictions) as predictions:
            return record.values["x_early_stopping_best_epoch"], predictions["logits"]

    best, kept = answers(20)
    assert best < 20
    assert np.array_equal(answers(int(best))[1], kept)


SPECS = [MethodSpec.of(Bootstrapping, revision=1), MethodSpec.of(EarlyStopping, revision=1)]
CASES = [
    *(MethodCase(spec, {}, "conv16:conv8", 3) for spec in SPECS),
    MethodCase(SPECS[0], {"kind": "hard"}, "conv16:conv8"),
    MethodCase(SPECS[1], {"criterion": "loss", "held_out": 0.3}, "conv16:conv8", 3),
    MethodCase(MethodSpec.of(Vanilla, revision=1), {"label_smoothing": 0.2}, "conv16:conv8"),
]


@parametrize_with_checks(CASES)
def test_baselines(check: Callable[[], None]) -> None:
    check()
