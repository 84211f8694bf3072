"""What becomes of wrong labels, against numbers counted by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.metrics.noisy_labels import kdharness_metrics
from torch import Tensor

from kdharness.api import Evaluation, Predictions

SPECS = {spec.name: spec for spec in kdharness_metrics()}

TRUE = torch.tensor([0, 1, 2, 0, 1])
GIVEN = torch.tensor([1, 2, 2, 0, 0])
CORRUPTED = torch.tensor([True, True, False, False, True])


def computed(
    name: str, student: list[int], teacher: list[int] | None, corrupted: Tensor = CORRUPTED
) -> dict[str, float]:
    hidden = {"clean_targets": TRUE, "corrupted": corrupted}
    logits = F.one_hot(torch.tensor(student), 3).float()
    teacher_logits = None if teacher is None else F.one_hot(torch.tensor(teacher), 3).float()
    train = Predictions(logits, GIVEN, torch.arange(5), teacher_logits, hidden)
    return dict(SPECS[name].compute(Evaluation("logits", {"train": train})))


def test_shares_of_wrongly_labelled_samples() -> None:
    student = [0, 2, 0, 1, 2]  # on samples 0, 1 and 4: the true class, the wrong label, neither
    teacher = [0, 1, 2, 0, 0]  # the true class, the true class, the wrong label
    third = pytest.approx(100 / 3)
    assert computed("noise_recovery", student, teacher) == {"noise_recovery": third}
    assert computed("noise_memorisation", student, teacher) == {"noise_memorisation": third}
    assert computed("teacher_noise_recovery", student, teacher) == {"teacher_noise_recovery": pytest.approx(200 / 3)}
    assert computed("teacher_noise_memorisation", student, teacher) == {"teacher_noise_memorisation": third}


@pytest.mark.parametrize("name", SPECS)
def test_absent_where_no_label_is_wrong(name: str) -> None:
    assert computed(name, [0] * 5, [0] * 5, torch.zeros(5, dtype=torch.bool)) == {}


def test_what_they_ask_for() -> None:
    for name, spec in SPECS.items():
        assert spec.splits == ("train",)
        assert set(spec.hidden) == {"clean_targets", "corrupted"}
        assert spec.needs_teacher == name.startswith("teacher")
        assert spec.higher_is_better == name.endswith("recovery")


def test_only_noisy_cells_have_them(lab) -> None:
    plan = lab.plan(methods=("kd",), scenarios=("noise40", "few100"))
    for planned in plan.cells:
        cell = planned.cell
        values = lab.train([cell])[cell.key].values
        found = {name for name in SPECS if f"x_{name}" in values}
        expected = set(SPECS) if cell.role == "student" else {"noise_recovery", "noise_memorisation"}
        assert found == (expected if cell.scenario == "noise40" else set())
        assert all(0 <= values[f"x_{name}"] <= 100 for name in found)
