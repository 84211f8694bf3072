"""Numbers of a record that are made up of others: over epochs, over several teachers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from kdharness.measure.outcome import _from_history, _teacher_numbers


def history(*accuracies: tuple[int, float]) -> list[tuple[int, str, str, str, float]]:
    """Of the main output, with those of another output and another split beside it, which are larger."""
    rows = []
    for epoch, value in accuracies:
        rows += [(epoch, "test", "deep", "top1", value), (epoch, "test", "early", "top1", value + 1)]
        rows += [(epoch, "validation", "deep", "top1", value + 2), (epoch, "train", "", "ce", 100.0)]
    return rows


def numbers(epochs: int, *accuracies: tuple[int, float], validation: float | None = None) -> dict[str, Any]:
    subject: Any = SimpleNamespace(history=history(*accuracies), epochs=epochs, validation_top1=validation)
    return _from_history(subject, "deep")


def test_the_best_epoch_on_test_is_stated_where_every_epoch_was_looked_at() -> None:
    assert numbers(3, (1, 50.0), (2, 70.0), (3, 60.0))["top1_test_oracle"] == 70.0
    assert "top1_test_oracle" not in numbers(3, (2, 70.0), (3, 60.0))


def test_the_mean_of_the_last_ten_epochs_is_over_ten() -> None:
    twelve = [(epoch, float(epoch)) for epoch in range(1, 13)]
    assert numbers(12, *twelve)["top1_last10"] == pytest.approx(7.5)
    assert numbers(12, *twelve[2:])["top1_last10"] == pytest.approx(7.5)
    assert "top1_last10" not in numbers(12, *twelve[3:])
    assert "top1_last10" not in numbers(9, *twelve[:9])


def test_which_epoch_was_chosen() -> None:
    assert numbers(1, (1, 5.0))["selection"] == "last"
    chosen = numbers(1, (1, 5.0), validation=44.0)
    assert (chosen["selection"], chosen["val_top1"], chosen["epochs"]) == ("validation", 44.0, 1)


class Known:
    """A teacher that is right for the first `right` of four samples, and as sure of it as `scale` says."""

    def __init__(self, right: int, scale: float, digest: str) -> None:
        answers = torch.tensor([0] * right + [1] * (4 - right))
        self.logits = scale * torch.nn.functional.one_hot(answers, 2).float()
        self.digest = digest

    def logits_on(self, split: str) -> Tensor:
        assert split == "test"
        return self.logits


def test_several_teachers_are_stated_as_one_and_each() -> None:
    """The mean is of probabilities: of logits, the one that is sure would outvote the two others."""
    teachers = [Known(4, 1.0, "a" * 64), Known(1, 3.0, "b" * 64), Known(3, 1.0, "c" * 64)]
    data = SimpleNamespace(test_targets=torch.zeros(4, dtype=torch.int64))
    found = _teacher_numbers(SimpleNamespace(reference_teachers=teachers, data=data))  # type: ignore[arg-type]
    assert found == {
        "teacher_top1": 75.0,
        "teacher_digest": "+".join(letter * 16 for letter in "abc"),
        "x_teacher_best_top1": 100.0,
        "x_teacher_mean_top1": pytest.approx(200 / 3),
    }
    alone = _teacher_numbers(SimpleNamespace(reference_teachers=teachers[1:2], data=data))  # type: ignore[arg-type]
    assert alone == {"teacher_top1": 25.0, "teacher_digest": "b" * 16}
