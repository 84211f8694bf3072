"""The numbers of a record, counted again from the files beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import NamedTuple

import numpy as np

from kdharness.results.checks.curves import Curves
from kdharness.results.checks.outputs import Classes, Logits, Outputs, agreement, ece, mean_probability, nll, topk
from kdharness.results.record import METRIC_COLUMNS, Record

PREDICTIONS, HISTORY, TEACHERS, ITSELF = (
    "predictions.npz",
    "history.csv",
    "the logits of its teacher",
    "its own numbers",
)
TEST = "test"

# What is summed in another order than torch's agrees to so many digits.
DIGITS = 10
_RELATIVE = 10.0**-DIGITS


class Reason(StrEnum):
    """Why a number cannot be counted again."""

    RUNNING = "times, memory and sizes, measured as it ran"
    NETWORKS = "of networks, of training images, or a method's own: no file here says them"
    ABSENT = "of cells whose logits are not here, or under private/"
    ALTERED = "of files that are not those of their record"
    TEACHER = "of a teacher whose logits are not here, or that ran in another precision or on another machine"


class Place(NamedTuple):
    """Where a record holds a number: a row of its metrics, or, where predictor and split are "", a column."""

    predictor: str
    split: str
    name: str

    def __str__(self) -> str:
        return f"{self.name} of {self.predictor} on {self.split}" if self.split else self.name


@dataclass(frozen=True)
class Count:
    """A number, counted again. source: from what. exact: whether it is the very sum that was made when it ran."""

    place: Place
    value: float
    source: str
    exact: bool = True

    @property
    def is_evidence(self) -> bool:
        """Whether something beside the record says it."""
        return self.source != ITSELF

    def fits(self, stated: float) -> bool:
        if self.exact:
            return self.value == stated
        return math.isclose(self.value, stated, rel_tol=_RELATIVE, abs_tol=_RELATIVE)


@dataclass(frozen=True)
class Evidence:
    """What there is to count a record's numbers from. None, or no teachers, where there is nothing that can be used.

    teachers: the logits of the cells that the record is measured against.
    why: for what is not there.
    """

    outputs: Outputs | None = None
    curves: Curves | None = None
    teachers: tuple[Outputs, ...] = ()
    why: Mapping[str, Reason] = field(default_factory=dict)


Metric = Callable[[Logits, Classes], float]
# By name, the metric and whether it counts (the same to the last bit, whoever does it).
METRICS: Mapping[str, tuple[Metric, bool]] = {
    **{f"top{k}": (partial(topk, k=k), True) for k in (1, 3, 5)},
    "nll": (nll, False),
    "ece": (ece, False),
}
AGREEMENT = "teacher_agreement"
OF_TEACHERS = (AGREEMENT, "teacher_top1", "x_teacher_best_top1", "x_teacher_mean_top1")
RUNNING = (
    "train_seconds", "shared_seconds", "alone_seconds", "chain_seconds", "group_size", "images_per_second",
    "peak_memory_bytes", "student_parameters", "student_macs", "x_train_images", "x_teacher_parameters",
    "x_teacher_macs", "x_latency_ratio", "x_parameter_ratio", "x_mac_ratio", "parameters", "macs", "latency_seconds",
)  # fmt: skip


def stated_numbers(record: Record) -> dict[Place, float]:
    """All numbers of a record by their place."""
    found = {Place("", "", name): float(v) for name, v in record.values.items() if isinstance(v, int | float)}
    return {**found, **{Place(row.predictor, row.split, row.metric): row.value for row in record.metrics}}


def column_of(metric: str) -> Place:
    """Of the main output's numbers."""
    return Place("", "", metric if metric in METRIC_COLUMNS else f"x_{metric}")


def main_output(record: Record, outputs: Outputs | None) -> str:
    """What the record calls it: of what was predicted on test the first that its file does not name."""
    names = [row.predictor for row in record.metrics if row.split == TEST]
    others = outputs.logits if outputs is not None else {}
    return next((name for name in names if name not in others), "")


def counts_of(record: Record, evidence: Evidence) -> list[Count]:
    """What the evidence says of a record that is ok, whether the record has such a number or not."""
    main = main_output(record, evidence.outputs)
    found = [*_copies(record, main), *_ratios(record)]
    if evidence.outputs is not None:
        found += _of_outputs(evidence.outputs, main)
        if evidence.teachers:
            found += _of_teachers(evidence.outputs, evidence.teachers, main)
    if evidence.curves is not None:
        found += [*_of_accuracies(record, evidence.curves, main), *_of_observers(record, evidence.curves, main)]
    return found


def named(outputs: Outputs, main: str) -> Iterator[tuple[str, Logits]]:
    return ((name or main, logits) for name, logits in outputs.logits.items())


def _of_outputs(outputs: Outputs, main: str) -> Iterator[Count]:
    for predictor, logits in named(outputs, main):
        for metric, (count, exact) in METRICS.items():
            value = count(logits, outputs.targets)
            yield Count(Place(predictor, TEST, metric), value, PREDICTIONS, exact)
            if predictor == main:
                yield Count(column_of(metric), value, PREDICTIONS, exact)


def _of_teachers(outputs: Outputs, teachers: Sequence[Outputs], main: str) -> Iterator[Count]:
    several = len(teachers) > 1  # their mean may tie in the last digits that were kept of it
    logits = mean_probability([teacher.main for teacher in teachers]) if several else teachers[0].main
    for predictor, own in named(outputs, main):
        if len(own) == len(logits):
            value = agreement(own, logits)
            yield Count(Place(predictor, TEST, AGREEMENT), value, TEACHERS, not several)
            if predictor == main:
                yield Count(column_of(AGREEMENT), value, TEACHERS, not several)
    yield Count(Place("", "", "teacher_top1"), topk(logits, teachers[0].targets, 1), TEACHERS, not several)
    if several:
        each = [topk(teacher.main, teacher.targets, 1) for teacher in teachers]
        yield Count(Place("", "", "x_teacher_best_top1"), max(each), TEACHERS)
        yield Count(Place("", "", "x_teacher_mean_top1"), float(np.mean(each)), TEACHERS)


def _of_accuracies(record: Record, curves: Curves, main: str) -> Iterator[Count]:
    """Of the chosen epoch, of the last ten, of the best; and which the last was."""
    seen, epochs = curves.of(TEST, main, "top1"), curves.epochs
    validation = curves.of("validation", main, "top1")
    chosen = max(validation, key=lambda epoch: validation[epoch], default=epochs)  # of equal ones the first
    found = {"epochs": float(epochs)}
    if chosen in seen:
        found["top1"] = seen[chosen]
    if validation:
        found["val_top1"] = validation[chosen]
    last = [seen[epoch] for epoch in range(epochs - 9, epochs + 1) if epoch in seen]
    if len(last) == 10:
        found["top1_last10"] = float(np.mean(last))
    if len(seen) == epochs:
        found["top1_test_oracle"] = max(seen.values())
    return (Count(Place("", "", name), value, HISTORY) for name, value in found.items())


def _of_observers(record: Record, curves: Curves, main: str) -> Iterator[Count]:
    """Means over the epochs, and the last epoch's."""
    for row in record.metrics:
        if (row.predictor, row.split) != (main, "train"):
            continue
        for name, is_last in ((row.metric, False), (row.metric.removesuffix("_last"), True)):
            values = [*curves.of("train", "", name).values()]
            if values and is_last == (name != row.metric):
                value = values[-1] if is_last else float(np.mean(values))
                yield Count(Place(main, "train", row.metric), value, HISTORY)
                yield Count(column_of(row.metric), value, HISTORY)


def _ratios(record: Record) -> Iterator[Count]:
    for name in ("parameter", "mac"):
        teacher, own = (record.values.get(each) for each in (f"x_teacher_{name}s", f"student_{name}s"))
        if teacher is not None and own:
            yield Count(Place("", "", f"x_{name}_ratio"), teacher / own, ITSELF)


def _copies(record: Record, main: str) -> Iterator[Count]:
    """The columns that stand in the record's metrics, too."""
    return (Count(column_of(r.metric), r.value, ITSELF) for r in record.metrics if r.predictor == main)


def reason_of(place: Place, evidence: Evidence) -> Reason:
    """Why nothing but the record itself says this number."""
    metric = place.name.removeprefix("x_")
    if place.name in RUNNING:
        return Reason.RUNNING
    if place.name in OF_TEACHERS:
        return evidence.why.get(TEACHERS, Reason.TEACHER)
    if metric in METRICS and place.split in ("", TEST):
        return evidence.why.get(PREDICTIONS, Reason.ABSENT)
    if place.name in ("epochs", "val_top1", "top1_last10", "top1_test_oracle"):
        return evidence.why.get(HISTORY, Reason.ABSENT)
    return Reason.NETWORKS
