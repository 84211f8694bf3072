"""A finished cell's numbers: metrics of every predictor, costs, and the record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import kdharness
from kdharness.api.evaluation import Evaluation, Predictions
from kdharness.api.specs import MetricSpec
from kdharness.results.record import COLUMNS, MetricRow
from kdharness.training.checkpoint import save_atomically
from kdharness.training.costs import count_macs, count_parameters, latency_seconds
from kdharness.training.evaluate import predict_together
from kdharness.training.guard import CellError
from kdharness.training.trainee import Trainee


def now() -> str:
    """The time as records hold it: ISO 8601 in UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def top1(logits: Tensor, targets: Tensor) -> float:
    """Percent of samples whose largest logit is the target's."""
    return float((logits.argmax(1) == targets.to(logits.device)).double().mean()) * 100


def final_numbers(
    trainee: Trainee, logits: dict[str, Tensor], metrics: Sequence[str]
) -> tuple[dict[str, Any], list[MetricRow]]:
    """The values for results.csv and the rows for metrics.csv. logits: the test split's, by predictor."""
    for name, outputs in logits.items():
        if not bool(torch.isfinite(outputs).all()):
            raise CellError("NonFiniteOutput", f"the logits of predictor '{name}' on the test split are not finite")
    computed = _metric_rows(trainee, logits, metrics)
    rows = [*computed, *_deployable_rows(trainee)]
    main = next(iter(logits))
    values = {(r.metric if r.metric in COLUMNS else f"x_{r.metric}"): r.value for r in computed if r.predictor == main}
    values.update(_from_history(trainee, main))
    values.update(_teacher_numbers(trainee))
    values.update(_costs(trainee))
    for name, value in trainee.method.measurements().items():
        values[f"x_{trainee.cell.method}_{name}"] = float(value)
    return values, rows


def _metric_rows(trainee: Trainee, logits: dict[str, Tensor], metrics: Sequence[str]) -> list[MetricRow]:
    rows = []
    splits: dict[str, dict[str, Tensor]] = {"test": logits}
    for name in metrics:
        spec: MetricSpec = trainee.world.registry.get("metric", name).spec
        if spec.needs_teacher and not trainee.teachers:
            continue
        if any(s != "test" and s not in trainee.data.subsets for s in spec.splits):
            continue
        for split in spec.splits:
            if split not in splits:
                splits[split] = _predictions(trainee, split)
        for predictor in logits:
            seen = {split: _as_predictions(trainee, split, splits[split][predictor]) for split in spec.splits}
            computed = spec.compute(Evaluation(predictor, seen))
            rows += [MetricRow(predictor, spec.splits[0], str(n), float(v)) for n, v in computed.items()]
    return rows


def _predictions(trainee: Trainee, split: str) -> dict[str, Tensor]:
    result = predict_together([trainee], trainee.data.train, trainee.data.subsets[split])[0]
    if isinstance(result, Exception):
        raise result
    return result


def _as_predictions(trainee: Trainee, split: str, logits: Tensor) -> Predictions:
    data = trainee.data
    if split == "test":
        return Predictions(
            logits.cpu(), data.test_targets.cpu(), torch.arange(len(data.test)), _teacher_logits(trainee)
        )
    rows = data.subsets[split].cpu()
    hidden = {name: torch.from_numpy(values)[rows] for name, values in data.plain.hidden.items()}
    return Predictions(logits.cpu(), data.targets.cpu()[rows], rows, None, hidden)


def _teacher_logits(trainee: Trainee) -> Tensor | None:
    """The teacher's test logits; of several teachers, the logarithm of their mean probability."""
    if not trainee.teachers:
        return None
    if len(trainee.teachers) == 1:
        return trainee.teachers[0].test_logits
    return torch.stack([t.test_logits.softmax(1) for t in trainee.teachers]).mean(0).clamp_min(1e-30).log()


def _teacher_numbers(trainee: Trainee) -> dict[str, Any]:
    logits = _teacher_logits(trainee)
    if logits is None:
        return {}
    digests = "+".join(t.digest[:16] for t in trainee.teachers)
    return {"teacher_top1": top1(logits, trainee.data.test_targets.cpu()), "teacher_digest": digests}


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


def _deployable_rows(trainee: Trainee) -> list[MetricRow]:
    """Costs of each output of a predictor that has several."""
    shape, device = trainee.data.input_shape, trainee.device
    rows = []
    with trainee.evaluated():
        parts = trainee.method.deployables(trainee.student, [t.model for t in trainee.teachers])
        for name, module in parts.items():
            costs = {
                "parameters": count_parameters(module),
                "macs": count_macs(module, shape, device),
                "latency_seconds": latency_seconds(module, shape, device),
            }
            rows += [MetricRow(name, "test", metric, float(value)) for metric, value in costs.items()]
    return rows


def _costs(trainee: Trainee) -> dict[str, Any]:
    seconds = trainee.own_seconds + trainee.shared_seconds
    values: dict[str, Any] = {
        "train_seconds": trainee.own_seconds,
        "shared_seconds": trainee.shared_seconds,
        "images_per_second": trainee.images_seen / seconds if seconds else None,
        "peak_memory_bytes": trainee.memory_bytes,
        "student_parameters": count_parameters(trainee.predictor),
        "device": str(trainee.device),
        "precision": trainee.recipe.precision,
        "fingerprint": trainee.world.fingerprint(trainee.recipe.precision),
        "kdharness_version": kdharness.__version__,
        "torch_version": torch.__version__,
    }
    with trainee.evaluated() as predictor:
        values["student_macs"] = count_macs(predictor, trainee.data.input_shape, trainee.device)
    return {k: v for k, v in values.items() if v is not None}


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
