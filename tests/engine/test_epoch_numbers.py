"""What is said of an epoch: the mean of every term over its steps, and the method's curves, as plain numbers."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from kdharness.api.executors import EpochFinished
from kdharness.testing import Lab

PLUGIN = '''
import torch
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, Reads, hookimpl

class Counted(Method):
    """A term that is 1, 2, 3, ... step by step, and its last value as a curve, still a tensor with a gradient."""
    name = "counted"
    reads = Reads(teachers="none")
    steps = 0

    def losses(self, batch, student, teacher):
        self.steps += 1
        self.last = 0 * student.logits.sum() + self.steps
        return {"ce": F.cross_entropy(student.logits, batch.targets), "count": self.last}

    def curves(self):
        return {"last": self.last}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Counted)]
'''


def test_terms_are_means_over_steps_and_curves_are_plain_numbers(make_lab: Callable[..., Lab], tmp_path: Path) -> None:
    file = tmp_path / "counted.py"
    file.write_text(PLUGIN)
    lab = make_lab(plugin_files=(file,))
    settings = ("recipe.batch_size=25",)
    (planned,) = lab.plan(methods=("counted",), scenarios=("few100",), settings=settings).cells
    lab.train([planned.cell])
    told = [dict(event.values) for event in lab.events if isinstance(event, EpochFinished)]
    assert [(values["count"], values["last"]) for values in told] == [(2.5, 4), (6.5, 8)]
    assert {type(value) for values in told for value in values.values()} == {float}, "events go to another process"
    with lab.folder.cell(planned.cell.key).history.open(newline="") as written:
        rows = list(csv.DictReader(written))
    curves = {name: [float(row["value"]) for row in rows if row["metric"] == name] for name in ("count", "last")}
    assert curves == {"count": pytest.approx([2.5, 6.5]), "last": [4, 8]}
