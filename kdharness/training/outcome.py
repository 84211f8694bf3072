"""A finished cell's numbers: metrics of every predictor, costs, and the record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import kdharness
from kdharness.api.evaluation import Evaluation, Predictions
from kdharness.api.functional import log_mean_probability
from kdharness.api.specs import MetricSpec
from kdharness.results.record import COLUMNS, MetricRow
from kdharness.training.checkpoint import save_atomically
from kdharness.training.costs import count_macs, count_parameters, count_parameters_used, latency_seconds
from kdharness.training.evaluate import predict_together
from kdharness.training.guard import CellError
from kdharness.training.loading import logits_on
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
    main = next(iter(logits))
    parts = trainee.method.deployables(trainee.student, [t.model for t in trainee.teachers])
    rows = [*computed, *_deployable_rows(trainee, parts)]
    values = {(r.metric if r.metric in COLUMNS else f"x_{r.metric}"): r.value for r in computed if r.predictor == main}
    values.update(_from_history(trainee, main))
    values.update(_teacher_numbers(trainee))
    values.update(_costs(trainee, parts.get(main)))
    values.update(_ratios(trainee, values, parts.get(main)))
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
        if any(h not in trainee.data.plain.hidden for h in spec.hidden):
            continue
        for split in spec.splits:
            if split not in splits:
                splits[split] = _predictions(trainee, split)
        for predictor in logits:
            seen = {
                split: _as_predictions(trainee, split, splits[split][predictor], spec.needs_teacher)
                for split in spec.splits
            }
            computed = spec.compute(Evaluation(predictor, seen))
            rows += [MetricRow(predictor, spec.splits[0], str(n), float(v)) for n, v in computed.items()]
    return rows


def _predictions(trainee: Trainee, split: str) -> dict[str, Tensor]:
    result = predict_together([trainee], trainee.data.train, trainee.data.subsets[split])[0]
    if isinstance(result, Exception):
        raise result
    return result


def _as_predictions(trainee: Trainee, split: str, logits: Tensor, taught: bool) -> Predictions:
    data = trainee.data
    teacher = _teacher_logits(trainee, split) if taught else None
    if split == "test":
        return Predictions(logits.cpu(), data.test_targets.cpu(), torch.arange(len(data.test)), teacher)
    rows = data.subsets[split].cpu()
    hidden = {name: torch.from_numpy(values)[rows] for name, values in data.plain.hidden.items()}
    return Predictions(logits.cpu(), data.targets.cpu()[rows], rows, teacher, hidden)


def _teacher_logits(trainee: Trainee, split: str) -> Tensor | None:
    """The teacher's logits on a split; of several teachers, the logarithm of their mean probability."""
    logits = [logits_on(t, split, trainee.data, trainee.recipe) for t in trainee.given_teachers]
    return log_mean_probability(logits) if len(logits) > 1 else next(iter(logits), None)


def _teacher_numbers(trainee: Trainee) -> dict[str, Any]:
    logits = _teacher_logits(trainee, "test")
    if logits is None:
        return {}
    digests = "+".join(t.digest[:16] for t in trainee.given_teachers)
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
