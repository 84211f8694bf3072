"""One number that is not finite ends its cell: in any step, any term, any output, any sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdharness.results.record import Record, Status
from kdharness.testing import Lab

PLUGIN = '''
import torch
from torch import nn
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, Reads, hookimpl

class Two(nn.Module):
    def __init__(self, student, wrong, value):
        super().__init__()
        self.student, self.wrong, self.value = student, wrong, value

    def forward(self, images):
        logits = self.student(images)
        named = {"deep": logits, "early": 2 * logits}
        if self.wrong and len(images) > 1:
            wrong = named[self.wrong].clone()
            wrong[-1, 3] = float(self.value)
            named[self.wrong] = wrong
        return named

class Once(Method):
    """Says a number that is not finite once, in a term without a gradient: no weight is touched."""
    name = "once"
    reads = Reads(teachers="none")
    step: int = 0
    term: str = "side"
    output: str = ""
    value: str = "nan"

    def build(self, context):
        self.steps = 0

    def losses(self, batch, student, teacher):
        self.steps += 1
        terms = {"ce": F.cross_entropy(student.logits, batch.targets), "side": 0.1 * student.logits.square().mean()}
        if self.steps == self.step:
            terms[self.term] = terms[self.term] + torch.tensor(float(self.value))
        return terms

    def predictor(self, student, teachers):
        return Two(student, self.output, self.value)

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Once)]
'''


@pytest.fixture
def trained(make_lab: Callable[..., Lab], tmp_path: Path) -> Callable[..., Record]:
    (tmp_path / "once.py").write_text(PLUGIN)
    lab = make_lab(plugin_files=(tmp_path / "once.py",), metrics=("top1",))

    def train(*settings: str) -> Record:
        given = ("recipe.batch_size=25", *(f"once.{setting}" for setting in settings))
        plan = lab.plan(methods=("once",), scenarios=("few100",), settings=given)
        return next(iter(lab.train_plan(plan).values()))

    return train


def test_without_it_the_cell_is_well(trained: Any) -> None:
    assert trained().status is Status.OK


@pytest.mark.parametrize("term", ["ce", "side"])
@pytest.mark.parametrize("step", range(1, 9))
def test_one_step_of_one_term(trained: Any, step: int, term: str) -> None:
    """Two epochs of four steps."""
    record = trained(f"step={step}", f"term={term}")
    assert (record.status, record.error_type) == (Status.FAILED, "NonFiniteLoss")
    where = f"in epoch {(step - 1) // 4 + 1}, step {(step - 1) % 4 + 1}"
    message, _, before = record.error_message.partition(" (")
    assert message == f"the loss term '{term}' became nan {where}"
    if step == 1:
        assert before == ""
    else:
        named, _, value = before.rstrip(")").partition(": ")
        assert named == ("mean of epoch 1" if step == 5 else "before")
        assert 0 < float(value) < 10


@pytest.mark.parametrize("value", ["inf", "-inf"])
def test_infinity_is_not_finite(trained: Any, value: str) -> None:
    record = trained("step=3", f"value={value}")
    assert record.error_message.startswith(f"the loss term 'side' became {value} in epoch 1, step 3 (before: ")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("output", ["deep", "early"])
def test_one_logit_of_one_output(trained: Any, output: str, value: str) -> None:
    """Of the last image of a batch."""
    record = trained(f"output={output}", f"value={value}")
    assert (record.status, record.error_type) == (Status.FAILED, "NonFiniteOutput")
    assert record.error_message == f"the logits of predictor '{output}' on the test split are not finite"
