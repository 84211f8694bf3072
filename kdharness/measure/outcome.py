"""A finished cell's numbers: metrics of every predictor, costs, and the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import kdharness
from kdharness.engine.checkpoint import save_atomically
from kdharness.engine.loading import logits_on
from kdharness.engine.trainee import Trainee
from kdharness.errors import CellError
from kdharness.measure.costs import count_macs, count_parameters, count_parameters_used, latency_seconds
from kdharness.measure.metrics import Measurement, teacher_logits
from kdharness.results.record import COLUMNS, MetricRow


def top1(logits: Tensor, targets: Tensor) -> float:
    """Percent of samples whose largest logit is the target's."""
    return float((logits.argmax(1) == targets.to(logits.device)).double().mean()) * 100


def final_numbers(
    trainee: Trainee, logits: dict[str, Tensor], metrics: Sequence[str]
) -> tuple[dict[str, Any], list[MetricRow], dict[str, Exception]]:
    """The values for results.csv, the rows for metrics.csv, and what metrics raised, by their names.

    logits: the test split's, by predictor.
    """
    for name, outputs in logits.items():
        if not bool(torch.isfinite(outputs).all()):
            raise CellError("NonFiniteOutput", f"the logits of predictor '{name}' on the test split are not finite")
    measurement = Measurement(trainee, logits)
    computed = measurement.rows(metrics)
    main = measurement.main
    parts = trainee.method.deployables(trainee.student, [t.model for t in trainee.teachers])
    rows = [*computed, *_deployable_rows(trainee, parts)]
    values = {(r.metric if r.metric in COLUMNS else f"x_{r.metric}"): r.value for r in computed if r.predictor == main}
    values.update(_from_history(trainee, main))
    values.update(_teacher_numbers(trainee))
    values.update(_costs(trainee, parts.get(main)))
    values.update(_ratios(trainee, values, parts.get(main)))
    for name, value in trainee.measurements().items():
        values[f"x_{trainee.cell.method}_{name}"] = float(value)
    return values, rows, measurement.failures


def _teacher_numbers(trainee: Trainee) -> dict[str, Any]:
    logits = teacher_logits(trainee, "test")
    if logits is None:
        return {}
    targets = trainee.data.test_targets.cpu()
    digests = "+".join(t.digest[:16] for t in trainee.given_teachers)
    found: dict[str, Any] = {"teacher_top1": top1(logits, targets), "teacher_digest": digests}
    if len(trainee.given_teachers) > 1:
        each = [top1(logits_on(t, "test", trainee.data, trainee.recipe), targets) for t in trainee.given_teachers]
        found |= {"x_teacher_best_top1": max(each), "x_teacher_mean_top1": float(np.mean(each))}
    return found


def _from_history(trainee: Trainee, main: str) -> dict[str, Any]:
    """Accuracies over epochs. The best epoch on test is only stated where every epoch was looked at."""
    seen = {
        epoch: v
        for epoch, split, predictor, metric, v in trainee.history
        if (split, predictor, metric) == ("test", main, "top1")
    }
    values: dict[str, Any] = {"selection": "last", "epochs": trainee.epochs}
    last = [seen[e] for e in range(trainee.epochs - 9, trainee.epochs + 1) if e in seen]
    if len(last) == 10:
        values["top1_last10"] = float(np.mean(last))
    if len(seen) == trainee.epochs:
        values["top1_test_oracle"] = max(seen.values())
    if trainee.best is not None:
        values.update(selection="validation", val_top1=trainee.best[0])
    return values


def _deployable_rows(trainee: Trainee, parts: Mapping[str, nn.Module]) -> list[MetricRow]:
    """Costs of each output of a predictor that has several."""
    shape, device = trainee.data.input_shape, trainee.device
    rows = []
    with trainee.evaluated():
        for name, module in parts.items():
            costs = {
                "parameters": count_parameters_used(module, shape, device),
                "macs": count_macs(module, shape, device),
                "latency_seconds": latency_seconds(module, shape, device),
            }
            rows += [MetricRow(name, "test", metric, float(value)) for metric, value in costs.items()]
    return rows


def _costs(trainee: Trainee, main: nn.Module | None) -> dict[str, Any]:
    """main: the network that gives the main output alone, where the predictor has others beside it."""
    shape, device = trainee.data.input_shape, trainee.device
    seconds = trainee.own_seconds + trainee.shared_seconds
    values: dict[str, Any] = {
        "x_train_images": len(trainee.data.subsets[trainee.cell.document["subset"]]),
        "train_seconds": trainee.own_seconds,
        "shared_seconds": trainee.shared_seconds,
        "images_per_second": trainee.images_seen / seconds if seconds else None,
        "peak_memory_bytes": trainee.memory_bytes,
        "device": str(trainee.device),
        "precision": trainee.recipe.precision,
        "fingerprint": trainee.world.fingerprint(trainee.recipe.precision),
        "kdharness_version": kdharness.__version__,
        "torch_version": torch.__version__,
    }
    with trainee.evaluated() as predictor:
        values["student_macs"] = count_macs(predictor if main is None else main, shape, device)
        values["student_parameters"] = (
            count_parameters(predictor) if main is None else count_parameters_used(main, shape, device)
        )
    return {k: v for k, v in values.items() if v is not None}


def _ratios(trainee: Trainee, values: Mapping[str, Any], main: nn.Module | None) -> dict[str, float]:
    """How much larger and slower the teacher is than what is deployed; several teachers count together."""
    if not trainee.given_teachers:
        return {}
    shape, device = trainee.data.input_shape, trainee.device
    costs = [trainee.world.network_costs(t.model) for t in trainee.given_teachers]
    parameters, macs = sum(c.parameters for c in costs), sum(c.macs for c in costs)
    with trainee.evaluated() as predictor:
        if main is None and predictor is trainee.student:
            seconds = trainee.world.network_costs(trainee.student).latency_seconds
        else:
            seconds = latency_seconds(predictor if main is None else main, shape, device)
    own = {"parameter": values["student_parameters"], "mac": values["student_macs"], "latency": seconds}
    theirs = {"parameter": parameters, "mac": macs, "latency": sum(c.latency_seconds for c in costs)}
    ratios = {f"x_{name}_ratio": theirs[name] / own[name] for name in own if own[name]}
    return {"x_teacher_parameters": parameters, "x_teacher_macs": macs, **ratios}


def save_predictions(folder: Path, logits: dict[str, Tensor], targets: Tensor) -> None:
    """predictions.npz: float16 test logits (the main predictor's as "logits", others as "logits_<name>"), and
    targets.
    """
    names = ["logits", *(f"logits_{name}" for name in list(logits)[1:])]
    arrays = {n: values.half().cpu().numpy() for n, values in zip(names, logits.values(), strict=True)}
    arrays["targets"] = targets.cpu().numpy()

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    save_atomically(folder / "predictions.npz", write)
