"""Every number is computed from the logits that are in the file: whoever counts again gets the very same floats."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from kdharness_plugins.metrics.accuracy import topk_accuracy
from kdharness_plugins.metrics.calibration import expected_calibration_error, negative_log_likelihood
from kdharness_plugins.metrics.teacher_agreement import agreement

from kdharness.api.functional import log_mean_probability
from kdharness.engine.teachers import Teacher
from kdharness.measure.evaluate import top1
from kdharness.measure.stored import as_stored, prediction_arrays
from kdharness.protocol.benchmark import load
from kdharness.results.record import Record
from kdharness.testing import Lab

RESULTS = (Path(__file__).parents[2] / "results" / "README.md").read_text(encoding="utf-8")


def of_file(lab: Lab, key: str) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Logits by the name of their array, and the targets."""
    with np.load(lab.folder.cell(key).predictions) as saved:
        arrays = {name: torch.from_numpy(saved[name]) for name in saved.files}
    targets = arrays.pop("targets")
    return {name: values.float() for name, values in arrays.items()}, targets


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, list[Record]]:
    """Methods with one output and with several, with one teacher and with two; a validation split; a narrow network."""
    lab = Lab(tmp_path_factory.mktemp("trained") / "lab")
    rule = load("digits").evaluation.model_copy(update={"validation": 0.2, "every": 1})
    protocol = load("digits").model_copy(update={"evaluation": rule})
    records: list[Record] = []
    for pair, methods in (("conv32:conv16", ("kd", "byot", "dml")), ("conv32+resnet8:conv4", ("kd", "meal_v2"))):
        records += lab.train_plan(lab.plan(protocol, methods=methods, scenarios=("noise40",), pairs=(pair,))).values()
    assert all(record.status == "ok" for record in records), [r.error_message for r in records]
    return lab, records


def test_every_number_of_test_is_counted_again(trained: tuple[Lab, list[Record]]) -> None:
    lab, records = trained
    outputs = 0
    for record in records:
        logits, targets = of_file(lab, record.cell.key)
        rows = {(r.predictor, r.metric): r.value for r in record.metrics if r.split == "test"}
        predictors = list(dict.fromkeys(predictor for predictor, _ in rows))
        assert len(predictors) == len(logits)
        for predictor, values in zip(predictors, logits.values(), strict=True):
            outputs += 1
            assert rows[predictor, "top1"] == topk_accuracy(values, targets, 1) == top1(values, targets)
            assert rows[predictor, "top5"] == topk_accuracy(values, targets, 5)
            assert rows[predictor, "nll"] == negative_log_likelihood(values, targets)
            assert rows[predictor, "ece"] == expected_calibration_error(values, targets)
        main = rows[predictors[0], "top1"]
        assert record.values["top1"] == main
    assert outputs > len(records), "some have several outputs"


def test_numbers_of_teachers_are_counted_on_the_teachers_files(trained: tuple[Lab, list[Record]]) -> None:
    lab, records = trained
    taught = [record for record in records if record.cell.teachers]
    assert {len(record.cell.teachers) for record in taught} == {1, 2}
    for record in taught:
        own, targets = of_file(lab, record.cell.key)
        each = [of_file(lab, source.cell)[0]["logits"] for source in record.cell.teachers]
        teacher = log_mean_probability(each) if len(each) > 1 else each[0]
        assert record.values["teacher_top1"] == top1(teacher, targets)
        assert record.values["teacher_agreement"] == agreement(own["logits"], teacher)


def test_the_curve_ends_with_the_number_of_the_file(trained: tuple[Lab, list[Record]]) -> None:
    """The selected epoch's accuracy is one of the curve's, to the last digit."""
    lab, records = trained
    for record in records:
        with lab.folder.cell(record.cell.key).history.open() as file:
            rows = [r for r in csv.DictReader(file) if r["metric"] == "top1"]
        test = [float(r["value"]) for r in rows if r["split"] == "test" and r["predictor"] == rows[0]["predictor"]]
        assert record.values["top1"] in test


def test_half_precision_is_what_is_stored() -> None:
    logits = torch.tensor([[1.0001, 1.0002, -3.0]])
    stored = as_stored(logits)
    assert stored.tolist() == [[1.0, 1.0, -3.0]]
    assert as_stored(stored).equal(stored)
    array = prediction_arrays({"logits": stored}, torch.tensor([0]))["logits"]
    assert array.dtype == np.float16
    assert array.astype(np.float32).tolist() == stored.tolist()


@pytest.mark.parametrize("large", [70_000.0, -65_520.0])
def test_logits_too_large_for_half_precision_are_stored_as_they_are(large: float) -> None:
    logits = torch.tensor([[1.0001, large]])
    assert as_stored(logits).equal(logits)
    array = prediction_arrays({"main": logits, "other": as_stored(logits[:, :1])}, torch.tensor([0]))
    assert (array["logits"].dtype, array["logits_other"].dtype) == (np.float32, np.float16)
    assert array["logits"].tolist() == logits.tolist()


def test_of_equal_logits_the_lower_class_is_the_larger() -> None:
    """Rounding makes some equal: curves, metrics and a recount must then agree."""
    logits = torch.tensor([[2.0, 2.0, 0.0]]).repeat(3, 1)
    targets = torch.tensor([0, 1, 2])
    assert topk_accuracy(logits, targets, 1) == top1(logits, targets) == pytest.approx(100 / 3)
    assert topk_accuracy(logits, targets, 2) == pytest.approx(200 / 3)


def test_a_teachers_logits_are_rounded_too(trained: tuple[Lab, list[Record]], monkeypatch: pytest.MonkeyPatch) -> None:
    lab, records = trained
    cell = next(record.cell for record in records if record.cell.method == "kd")
    seen: list[torch.Tensor] = []
    original = Teacher.logits_on

    def logits_on(self: Teacher, split: str) -> torch.Tensor:
        seen.append(original(self, split))
        return seen[-1]

    monkeypatch.setattr(Teacher, "logits_on", logits_on)
    lab.train([cell])
    assert seen
    assert all(torch.equal(logits, logits.half().float()) for logits in seen)


def test_the_recount_in_the_readme_runs(
    trained: tuple[Lab, list[Record]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab, records = trained
    code = re.search(r"## Counting again.*?```python\n(.*?)```", RESULTS, re.DOTALL)
    assert code
    record = records[-1]
    monkeypatch.chdir(lab.folder.cell(record.cell.key).folder)
    exec(compile(code[1], "README", "exec"), {})
    shown = capsys.readouterr().out.split()
    assert [float(text) for text in shown] == [record.values[name] for name in ("top1", "nll", "ece")]
