"""With a validation split the best epoch is deployed: its weights, its outputs, and every number of them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kdharness.api.executors import EpochFinished
from kdharness.protocol.benchmark import Benchmark, load
from kdharness.results.record import Record
from kdharness.testing import Lab

PLUGIN = '''
import torch
from torch import nn
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, Reads, hookimpl

class Spoilt(nn.Module):
    def __init__(self, student, spoilt):
        super().__init__()
        self.student = student
        self.register_buffer("spoilt", spoilt)

    def forward(self, images):
        logits = self.student(images)
        return torch.where(self.spoilt, -logits, logits)

class Peaks(Method):
    """Learns in every epoch, and answers the other way round after all epochs but those of `peaks`."""
    name = "peaks"
    reads = Reads(teachers="none")
    peaks: tuple[int, ...] = (2,)
    where: str = ""

    def build(self, context):
        self.register_buffer("spoilt", torch.tensor(False))
        self.register_buffer("epochs_seen", torch.tensor(0))

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

    def after_epoch(self, epoch):
        self.spoilt.fill_(epoch.epoch + 1 not in self.peaks)
        self.epochs_seen += 1
        if self.where:
            torch.save(epoch.student.network.state_dict(), f"{self.where}-{epoch.epoch + 1}")

    def predictor(self, student, teachers):
        return Spoilt(student, self.spoilt)

    def measurements(self):
        return {"epochs_seen": float(self.epochs_seen)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Peaks)]
'''
EPOCHS = 6


def validated() -> Benchmark:
    protocol = load("digits")
    rule = protocol.evaluation.model_copy(update={"validation": 0.2, "every": 1})
    recipe = protocol.recipe.model_copy(update={"schedule": "constant"})
    return protocol.model_copy(update={"evaluation": rule, "recipe": recipe})


@pytest.fixture
def lab_of(make_lab: Callable[..., Lab], tmp_path: Path) -> Callable[..., Lab]:
    (tmp_path / "peaks.py").write_text(PLUGIN)
    return lambda name, **rest: make_lab(name, plugin_files=(tmp_path / "peaks.py",), **rest)


def cell_of(lab: Lab, tmp_path: Path, peaks: str) -> Any:
    settings = (f"peaks.peaks={peaks}", f"peaks.where={tmp_path / 'weights'}")
    plan = lab.plan(validated(), methods=("peaks",), scenarios=("few100",), settings=settings, epochs=EPOCHS)
    (cell,) = (p.cell for p in plan.cells if p.cell.role == "student")
    return cell


def seen(lab: Lab, record: Record, split: str) -> list[float]:
    with lab.folder.cell(record.cell.key).history.open() as file:
        rows = [r for r in csv.DictReader(file) if (r["split"], r["metric"]) == (split, "top1")]
    return [float(r["value"]) for r in rows]


def outputs_on_test(lab: Lab, record: Record) -> tuple[np.ndarray, np.ndarray]:
    with np.load(lab.folder.cell(record.cell.key).predictions) as saved:
        return saved["logits"].astype(np.float64), saved["targets"]


@pytest.mark.parametrize("peak", [1, 3, EPOCHS])
def test_weights_outputs_and_numbers_are_the_best_epochs(lab_of: Any, tmp_path: Path, peak: int) -> None:
    lab = lab_of("lab")
    cell = cell_of(lab, tmp_path, str(peak))
    record = lab.train([cell])[cell.key]
    assert record.status == "ok", record.traceback
    validation, test = seen(lab, record, "validation"), seen(lab, record, "test")
    assert validation.index(max(validation)) == peak - 1
    assert sum(accuracy == test[peak - 1] for accuracy in test) == 1, "no other epoch may have its accuracy"
    assert record.values["val_top1"] == max(validation)
    assert record.values["selection"] == "validation"
    weights = load_file(lab.folder.cell(cell.key).model)
    kept = torch.load(f"{tmp_path / 'weights'}-{peak}", weights_only=True)
    assert all(torch.equal(weights[name], kept[name]) for name in kept)
    logits, targets = outputs_on_test(lab, record)
    assert record.values["top1"] == pytest.approx(test[peak - 1])
    assert 100 * (logits.argmax(1) == targets).mean() == pytest.approx(test[peak - 1], abs=0.2)
    likelihood = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(targets)), targets]
    assert record.values["nll"] == pytest.approx(likelihood.mean(), rel=1e-3)


def test_of_equal_epochs_the_first_is_the_best(lab_of: Any, tmp_path: Path) -> None:
    """Two peaks of one student that has learnt all that it can from so few images."""
    lab = lab_of("lab")
    cell = cell_of(lab, tmp_path, "5,6")
    record = lab.train([cell])[cell.key]
    validation = seen(lab, record, "validation")
    first = validation.index(max(validation)) + 1
    assert validation.count(max(validation)) > 1, "choose a recipe that ties"
    weights = load_file(lab.folder.cell(cell.key).model)
    kept = torch.load(f"{tmp_path / 'weights'}-{first}", weights_only=True)
    assert all(torch.equal(weights[name], kept[name]) for name in kept)


def test_what_the_method_measures_is_of_the_whole_training(lab_of: Any, tmp_path: Path) -> None:
    lab = lab_of("lab")
    cell = cell_of(lab, tmp_path, "2")
    assert lab.train([cell])[cell.key].values["x_peaks_epochs_seen"] == EPOCHS


@pytest.mark.parametrize("stop", range(2, EPOCHS + 1))
def test_a_resumed_cell_remembers_its_best_epoch(lab_of: Any, tmp_path: Path, stop: int) -> None:
    whole, parts = lab_of("whole"), lab_of("parts", checkpoint_seconds=0.0)
    cell = cell_of(whole, tmp_path, "2")
    expected = whole.train([cell])[cell.key]

    def interrupt(event: object) -> None:
        if isinstance(event, EpochFinished) and event.epoch == stop:
            raise KeyboardInterrupt

    parts.on_event = interrupt
    with pytest.raises(KeyboardInterrupt):
        parts.train([cell])
    parts.on_event = lambda event: None
    record = parts.train([cell])[cell.key]
    assert record.values["val_top1"] == expected.values["val_top1"]
    assert parts.bits(cell.key) == whole.bits(cell.key)
    assert json.dumps(sorted(timeless(record).items())) == json.dumps(sorted(timeless(expected).items()))


def timeless(record: Record) -> dict[str, Any]:
    """The values that the same training has in every run."""
    return {name: value for name, value in record.values.items() if not name.endswith(("seconds", "second", "ratio"))}
