"""Metrics that look on while a cell trains."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from kdharness.api import MetricSpec, StagedModel
from kdharness.device.door import open_device
from kdharness.measure.observers import Observers


class Looker:
    """Counts updates."""

    def __init__(self) -> None:
        self.seen = 0

    def before_update(self, parameters) -> None:
        self.seen += 1

    def values(self) -> dict[str, float]:
        return {"looker": self.seen, "looker_wild": float("nan")}


def test_an_epoch_without_an_update_gives_no_number_and_costs_the_metric_nothing(registry):
    """The student may rest while other parts train."""
    model = registry.get("model", "conv4").spec
    student = StagedModel(model.factory(10, (1, 8, 8)), model, (1, 8, 8))
    spec = MetricSpec("looker", observe=lambda student: Looker())
    known = SimpleNamespace(get=lambda kind, name: SimpleNamespace(spec=spec))
    observers = Observers(known, ("looker",), student, open_device("cpu"))
    assert observers.end_epoch() == {}
    optimizer = torch.optim.SGD(student.parameters(), lr=0.1)
    observers.follow([optimizer])
    optimizer.step()
    optimizer.step()
    assert observers.end_epoch() == {"looker": 2}, "finite numbers alone"
    assert (observers.failures, observers.epochs) == ({}, {"looker": 2})
