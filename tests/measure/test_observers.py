"""Metrics that look on while a cell trains."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kdharness.api import MetricSpec, StagedModel
from kdharness.device.door import open_device
from kdharness.errors import CellError
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


def zero_values(parameters: list[nn.Parameter]) -> None:
    parameters[0].data.zero_()


def zero_gradients_as_numpy(parameters: list[nn.Parameter]) -> None:
    parameters[0].grad.numpy().fill(0)  # type: ignore[union-attr]


def zero_gradients(parameters: list[nn.Parameter]) -> None:
    parameters[0].grad.zero_()  # type: ignore[union-attr]


def exchange(parameters: list[nn.Parameter]) -> None:
    parameters[0].data = parameters[0].data[:1].clone()


def freeze(parameters: list[nn.Parameter]) -> None:
    parameters[0].requires_grad_(False)


@pytest.mark.parametrize("write", [zero_values, zero_gradients_as_numpy, zero_gradients, exchange, freeze])
def test_an_observer_that_changes_what_it_looks_at_is_named(registry, write):
    """Also where no version moves; the one beside it is not."""
    model = registry.get("model", "conv4").spec
    student = StagedModel(model.factory(10, (1, 8, 8)), model, (1, 8, 8))

    class Writer(Looker):
        def before_update(self, parameters) -> None:
            write(parameters)

    specs = {"looker": MetricSpec("looker", observe=lambda student: Looker())}
    specs["writer"] = MetricSpec("writer", observe=lambda student: Writer())
    known = SimpleNamespace(get=lambda kind, name: SimpleNamespace(spec=specs[name]))
    observers = Observers(known, tuple(specs), student, open_device("cpu"))
    optimizer = torch.optim.SGD(student.parameters(), lr=0.0)
    observers.follow([optimizer])
    student.run(torch.rand(2, 1, 8, 8)).logits.sum().backward()

    def rest_of_the_epoch() -> None:
        optimizer.step()
        observers.end_epoch()

    with pytest.raises(CellError, match="the metric 'writer' changed the network"):
        rest_of_the_epoch()


@pytest.mark.parametrize("when", ["observe", "before_update", "values"])
def test_an_observer_that_hooks_into_the_network_is_named(registry, when):
    model = registry.get("model", "conv4").spec
    student = StagedModel(model.factory(10, (1, 8, 8)), model, (1, 8, 8))

    def hook(now: str) -> None:
        if now == when:
            student.classifier.register_forward_hook(lambda module, inputs, output: output * 0)

    class Hooker(Looker):
        def before_update(self, parameters) -> None:
            hook("before_update")
            super().before_update(parameters)

        def values(self) -> dict[str, float]:
            hook("values")
            return {"hooker": self.seen}

    def observe(student: StagedModel) -> Hooker:
        hook("observe")
        return Hooker()

    known = SimpleNamespace(get=lambda kind, name: SimpleNamespace(spec=MetricSpec("hooker", observe=observe)))
    observers = Observers(known, ("hooker",), student, open_device("cpu"))
    optimizer = torch.optim.SGD(student.parameters(), lr=0.0)
    observers.follow([optimizer])

    def epoch() -> None:
        optimizer.step()
        observers.end_epoch()

    with pytest.raises(CellError, match="the metric 'hooker' changed the network"):
        epoch()
