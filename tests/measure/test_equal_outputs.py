"""Outputs of a predictor that are one tensor under several names: what is made of them is made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from kdharness.engine import group
from kdharness.measure import evaluate
from kdharness.measure.predict import joined, named, once
from kdharness.results.record import Record, Status
from kdharness.testing import Lab

NAMES = ("logits", "again", "halved")
PLUGIN = """
import torch.nn.functional as F
from torch import nn
from kdharness.api import Method, MethodSpec, MetricSpec, Reads, hookimpl

class Outputs(nn.Module):
    def __init__(self, student):
        super().__init__()
        self.student = student

    def forward(self, images):
        logits = self.student(images)
        return {"logits": logits, "again": logits, "halved": logits / 2}

class Named(Method):
    name = "named"
    reads = Reads(teachers="none")

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

    def predictor(self, student, teachers):
        return Outputs(student)

CALLS = {"blind": 0, "told": 0}

def blind(evaluation):
    CALLS["blind"] += 1
    return {"blind": float(evaluation.test.logits.sum()), "blind_calls": float(CALLS["blind"])}

def told(evaluation):
    CALLS["told"] += 1
    return {"told": float(len(evaluation.predictor))}

@hookimpl
def kdharness_methods():
    yield MethodSpec.of(Named)

@hookimpl
def kdharness_metrics():
    yield MetricSpec("blind", blind)
    yield MetricSpec("told", told)
"""

Trained = tuple[Lab, Record, dict[str, list[Tensor]]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A cell of two epochs, and what was rounded and counted for it."""
    folder = tmp_path_factory.mktemp("outputs")
    file = folder / "named_outputs.py"
    file.write_text(PLUGIN)
    lab = Lab(folder / "lab", plugin_files=(file,), metrics=("top1", "blind", "told"))
    seen: dict[str, list[Tensor]] = {"as_stored": [], "top1": []}
    with pytest.MonkeyPatch.context() as patch:
        for owner, name in ((evaluate, "as_stored"), (group, "top1")):
            patch.setattr(owner, name, noting(seen[name], getattr(owner, name)))
        plan = lab.plan(methods=("named",), scenarios=("few100",))
        (record,) = lab.train([p.cell for p in plan.cells if p.cell.role == "student"]).values()
    assert record.status is Status.OK, record.traceback
    return lab, record, seen


def noting(seen: list[Tensor], function: Callable[..., Any]) -> Callable[..., Any]:
    def noted(logits: Tensor, *rest: object) -> Any:
        seen.append(logits)
        return function(logits, *rest)

    return noted


def values(record: Record, metric: str) -> dict[str, float]:
    return {row.predictor: row.value for row in record.metrics if row.metric == metric}


def test_logits_are_rounded_and_counted_once_for_both_names(trained: Trained) -> None:
    _, record, seen = trained
    epochs, different = 2, 2
    assert [len(calls) for calls in seen.values()] == [epochs * different] * 2
    assert list(values(record, "top1")) == list(NAMES)


def test_a_metric_is_taken_once_for_both_names(trained: Trained) -> None:
    _, record, _ = trained
    found = values(record, "blind")
    assert found["again"] == found["logits"] != found["halved"]
    assert values(record, "blind_calls") == {"logits": 1, "again": 1, "halved": 2}


def test_a_metric_that_looks_at_the_name_is_taken_for_each(trained: Trained) -> None:
    assert values(trained[1], "told") == {name: len(name) for name in NAMES}


def test_every_name_has_its_logits_in_the_file(trained: Trained) -> None:
    lab, record, _ = trained
    with np.load(lab.folder.cell(record.cell.key).predictions) as saved:
        assert sorted(saved) == ["logits", "logits_again", "logits_halved", "targets"]
        assert (saved["logits_again"] == saved["logits"]).all()
        assert not (saved["logits_halved"] == saved["logits"]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_tensor_stays_one(dtype: torch.dtype) -> None:
    tensor = torch.arange(6.0, dtype=dtype).reshape(2, 3)
    found = joined([named({"a": tensor, "b": tensor, "c": tensor.clone()}) for _ in range(2)])
    assert found["a"] is found["b"]
    assert found["c"] is not found["a"]
    assert found["a"].tolist() == [[0, 1, 2], [3, 4, 5]] * 2
    assert found["c"].tolist() == found["a"].tolist()


def test_names_that_are_one_tensor_in_some_batches_are_two_outputs() -> None:
    tensor, other = torch.zeros(1, 2), torch.ones(1, 2)
    found = joined([{"a": tensor, "b": tensor}, {"a": tensor, "b": other}])
    assert found["a"].tolist() == [[0, 0], [0, 0]]
    assert found["b"].tolist() == [[0, 0], [1, 1]]


def test_what_is_made_once_is_made_in_order() -> None:
    one, other = torch.zeros(1), torch.ones(1)
    calls: list[float] = []

    def note(values: Tensor) -> float:
        calls.append(float(values))
        return float(values) + 1

    assert once(note, {"b": other, "a": one, "c": other}) == {"b": 2, "a": 1, "c": 2}
    assert calls == [1, 0]
