"""A finished cell's numbers: metrics of every predictor, costs, and the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import kdharness
from kdharness.errors import CellError
from kdharness.measure.averages import TWIN
from kdharness.measure.costs import count_macs, count_parameters, count_parameters_used, latency_seconds
from kdharness.measure.evaluate import evaluated, top1
from kdharness.measure.metrics import Measurement, teacher_logits
from kdharness.measure.subject import Subject
from kdharness.results.record import METRIC_COLUMNS, MetricRow


def final_numbers(
    subject: Subject, logits: dict[str, Tensor], metrics: Sequence[str]
) -> tuple[dict[str, Any], list[MetricRow], dict[str, Exception]]:
    """The values for results.csv, the rows for metrics.csv, and what metrics raised, by their names.

    logits: the test split's, by predictor, as stored.
    """
    for name, outputs in logits.items():
        if not bool(torch.isfinite(outputs).all()):
            raise CellError("NonFiniteOutput", f"the logits of predictor '{name}' on the test split are not finite")
    measurement = Measurement(subject, logits)
    computed = measurement.rows(metrics)
    main = measurement.main
    parts = subject.method.deployables(subject.student, [t.model for t in subject.teachers])
    rows = [*computed, *_deployable_rows(subject, parts)]
    values = {
        (r.metric if r.metric in METRIC_COLUMNS else f"x_{r.metric}"): r.value for r in computed if r.predictor == main
    }
    values.update(_from_history(subject, main))
    values.update(_teacher_numbers(subject))
    deployed = parts.get(main.removeprefix(TWIN) if subject.averages is not None else main)
    values.update(_costs(subject, deployed))
    values.update(_ratios(subject, values, deployed))
    for name, value in subject.measurements().items():
        values[f"x_{subject.cell.method}_{name}"] = float(value)
    return values, rows, measurement.failures


def _teacher_numbers(subject: Subject) -> dict[str, Any]:
    logits = teacher_logits(subject, "test")
    if logits is None:
        return {}
    targets = subject.data.test_targets.cpu()
    teachers = subject.reference_teachers
    digests = "+".join(t.digest[:16] for t in teachers)
    found: dict[str, Any] = {"teacher_top1": top1(logits, targets), "teacher_digest": digests}
    if len(teachers) > 1:
        each = [top1(teacher.logits_on("test"), targets) for teacher in teachers]
        found |= {"x_teacher_best_top1": max(each), "x_teacher_mean_top1": float(np.mean(each))}
    return found


def _from_history(subject: Subject, main: str) -> dict[str, Any]:
    """Accuracies over epochs. The best epoch on test is only stated where every epoch was looked at."""
    seen = {
        epoch: v
        for epoch, split, predictor, metric, v in subject.history
        if (split, predictor, metric) == ("test", main, "top1")
    }
    values: dict[str, Any] = {"selection": "last", "epochs": subject.epochs}
    last = [seen[e] for e in range(subject.epochs - 9, subject.epochs + 1) if e in seen]
    if len(last) == 10:
        values["top1_last10"] = float(np.mean(last))
    if len(seen) == subject.epochs:
        values["top1_test_oracle"] = max(seen.values())
    if subject.validation_top1 is not None:
        values.update(selection="validation", val_top1=subject.validation_top1)
    return values


def _deployable_rows(subject: Subject, parts: Mapping[str, nn.Module]) -> list[MetricRow]:
    """Costs of each output of a predictor that has several."""
    shape, device = subject.data.input_shape, subject.device
    rows = []
    twins = ("",) if subject.averages is None else ("", TWIN)
    with evaluated(subject):
        for name, module in parts.items():
            costs = {
                "parameters": count_parameters_used(module, shape, device.torch),
                "macs": count_macs(module, shape, device.torch),
                "latency_seconds": latency_seconds(module, shape, device),
            }
            rows += [MetricRow(f"{t}{name}", "test", m, float(v)) for t in twins for m, v in costs.items()]
    return rows


def _costs(subject: Subject, main: nn.Module | None) -> dict[str, Any]:
    """main: the network that gives the main output alone, where the predictor has others beside it."""
    shape, device = subject.data.input_shape, subject.device.torch
    effort = subject.effort
    values: dict[str, Any] = {
        "x_train_images": len(subject.data.subsets[subject.cell.document["subset"]]),
        "train_seconds": effort.own_seconds,
        "shared_seconds": effort.shared_seconds,
        "alone_seconds": effort.alone_seconds,
        "images_per_second": effort.images_seen / effort.alone_seconds if effort.alone_seconds else None,
        "peak_memory_bytes": effort.memory_bytes,
        "device": str(subject.device),
        "precision": subject.recipe.precision,
        "fingerprint": subject.device.fingerprint(subject.recipe.precision),
        "kdharness_version": kdharness.__version__,
        "torch_version": torch.__version__,
    }
    with evaluated(subject) as predictor:
        values["student_macs"] = count_macs(predictor if main is None else main, shape, device)
        values["student_parameters"] = (
            count_parameters(predictor) if main is None else count_parameters_used(main, shape, device)
        )
    return {k: v for k, v in values.items() if v is not None}


def _ratios(subject: Subject, values: Mapping[str, Any], main: nn.Module | None) -> dict[str, float]:
    """How much larger and slower the teacher is than what is deployed; several teachers count together."""
    if not subject.reference_teachers:
        return {}
    shape, device = subject.data.input_shape, subject.device
    costs = [subject.costs.of(t.model) for t in subject.reference_teachers]
    parameters, macs = sum(c.parameters for c in costs), sum(c.macs for c in costs)
    with evaluated(subject) as predictor:
        if main is None and predictor is subject.student:
            seconds = subject.costs.of(subject.student).latency_seconds
        else:
            seconds = latency_seconds(predictor if main is None else main, shape, device)
    own = {"parameter": values["student_parameters"], "mac": values["student_macs"], "latency": seconds}
    theirs = {"parameter": parameters, "mac": macs, "latency": sum(c.latency_seconds for c in costs)}
    ratios = {f"x_{name}_ratio": theirs[name] / own[name] for name in own if own[name]}
    return {"x_teacher_parameters": parameters, "x_teacher_macs": macs, **ratios}
