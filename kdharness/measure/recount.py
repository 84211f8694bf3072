"""A record's numbers once more, by the very metrics that gave them: from its stored logits, with torch."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from kdharness.api.evaluation import Evaluation, Predictions
from kdharness.api.functional import log_mean_probability
from kdharness.api.specs import MetricSpec
from kdharness.errors import UserError
from kdharness.failures import Failure, attempt
from kdharness.measure.evaluate import top1
from kdharness.measure.metrics import called
from kdharness.measure.returned import numbers
from kdharness.registry.manager import Registry
from kdharness.results.checks.numbers import TEST, Evidence, Place, column_of, main_output, named
from kdharness.results.checks.outputs import Outputs
from kdharness.results.record import Record


def recounted(registry: Registry, record: Record, evidence: Evidence) -> dict[Place, float]:
    """All that is computed of test logits alone. A metric that is not installed, or raises, gives nothing."""
    if evidence.outputs is None:
        return {}
    teacher = _teacher(evidence)
    main = main_output(record, evidence.outputs)
    found: dict[Place, float] = {}
    for metric in record.measured:
        spec = _spec(registry, metric)
        if spec is None or (spec.needs_teacher and teacher is None):
            continue
        for predictor, seen in _evaluations(evidence.outputs, main, teacher if spec.needs_teacher else None):
            values = attempt(partial(_numbers, spec, seen))
            for name, value in {} if isinstance(values, Failure) else values.items():
                number = called(registry, metric, name)
                found[Place(predictor, TEST, number)] = value
                if predictor == main:
                    found[column_of(number)] = value
    if teacher is not None:
        found[Place("", "", "teacher_top1")] = top1(teacher, torch.from_numpy(evidence.teachers[0].targets))
    return found


def _numbers(spec: MetricSpec, seen: Evaluation) -> dict[str, float]:
    assert spec.compute is not None
    return dict(numbers(spec, spec.compute(seen)))


def _spec(registry: Registry, metric: str) -> MetricSpec | None:
    """None for one that reads more than the test split's outputs."""
    try:
        spec: MetricSpec = registry.get("metric", metric).spec
    except UserError:
        return None
    return spec if spec.compute is not None and spec.splits == (TEST,) and not spec.hidden else None


def _teacher(evidence: Evidence) -> Tensor | None:
    logits = [torch.from_numpy(teacher.main) for teacher in evidence.teachers]
    return log_mean_probability(logits) if len(logits) > 1 else next(iter(logits), None)


def _evaluations(outputs: Outputs, main: str, teacher: Tensor | None) -> Iterator[tuple[str, Evaluation]]:
    targets = torch.from_numpy(outputs.targets)
    for predictor, logits in named(outputs, main):
        copy = None if teacher is None else teacher.clone()
        seen = Predictions(torch.from_numpy(logits).clone(), targets.clone(), torch.arange(len(targets)), copy)
        yield predictor, Evaluation(predictor, {TEST: seen})
