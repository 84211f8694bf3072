"""The metrics of a finished cell: of outputs, of networks, and of what was seen while it trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kdharness.api.evaluation import Evaluation, Inspection, Predictions
from kdharness.api.functional import log_mean_probability
from kdharness.api.specs import MetricSpec
from kdharness.device.checksum import Balance
from kdharness.device.structure import Structure
from kdharness.device.torch_settings import settings_kept
from kdharness.errors import CellError
from kdharness.measure.averages import TWIN
from kdharness.measure.evaluate import evaluated, predict_together
from kdharness.measure.predict import batches, once, parts, predict
from kdharness.measure.returned import numbers, numbers_by_output
from kdharness.measure.stored import as_stored
from kdharness.measure.subject import Subject
from kdharness.registry.manager import Registry
from kdharness.registry.stamp import OWN
from kdharness.results.record import MetricRow

# Why a metric may find None.
NO_TEACHER = "teacher_logits is None where the metric's spec does not say needs_teacher=True"


class _Evaluation(Evaluation):
    """by_name: whether the metric asked for the predictor's name, so that its numbers are those of this one alone."""

    by_name = False

    def __getattribute__(self, name: str) -> Any:
        if name == "predictor":
            object.__setattr__(self, "by_name", True)
        return super().__getattribute__(name)


class Measurement:
    """Takes the metrics of a finished cell. logits: of the test split, by predictor.

    A metric that raises loses its own numbers and nothing else: failures says why, by the metric's name. Memory that
    runs out is the cell's, which may be tried again alone.
    """

    def __init__(self, subject: Subject, logits: dict[str, Tensor]) -> None:
        self.subject = subject
        self.main = next(iter(logits))
        # Of what is called by its output: networks are looked at with the weights that are evaluated.
        self.before = TWIN if subject.averages is not None and subject.averages.are_main else ""
        self.failures: dict[str, Exception] = dict(subject.observers.failures)
        self._logits = {"test": logits}

    def rows(self, metrics: Sequence[str]) -> list[MetricRow]:
        """The numbers of all metrics that this cell can have."""
        found: list[MetricRow] = []
        for name in metrics:
            spec: MetricSpec = self.subject.registry.get("metric", name).spec
            if name in self.failures or not self._applies(spec):
                continue
            fail = self.subject.device.contained(lambda error, name=name: self._failed(name, error))  # type: ignore[misc]
            with fail, settings_kept():
                found += [
                    replace(row, metric=called(self.subject.registry, name, row.metric)) for row in self._rows(spec)
                ]
        return found

    def _failed(self, name: str, error: Exception) -> None:
        if self.subject.device.is_out_of_memory(error):
            raise error
        spec = self.subject.registry.get("metric", name).spec
        if spec.compute is not None and not spec.needs_teacher and "NoneType" in str(error):
            error.add_note(NO_TEACHER)
        self.failures[name] = error

    def _applies(self, spec: MetricSpec) -> bool:
        data = self.subject.data
        if spec.needs_teacher and not self.subject.reference_teachers:
            return False
        if spec.observe is None and any(s != "test" and s not in data.subsets for s in spec.splits):
            return False
        return all(h in data.host.hidden for h in spec.hidden)

    def _rows(self, spec: MetricSpec) -> list[MetricRow]:
        if spec.compute is not None:
            return self._computed(spec, spec.compute)
        return self._observed(spec) if spec.inspect is None else self._inspected(spec, spec.inspect)

    # -- of outputs ---------------------------------------------------------------------------------------------------

    def _computed(self, spec: MetricSpec, compute: Callable[[Evaluation], Mapping[str, float]]) -> list[MetricRow]:
        found: list[MetricRow] = []
        known: dict[tuple[int, ...], Mapping[str, float]] = {}  # by the logits of one or several names
        for predictor in self._logits["test"]:
            logits = {s: self._outputs(s)[predictor] for s in spec.splits}
            same = tuple(map(id, logits.values()))
            if same not in known:
                seen = {s: self._predictions(s, values, spec.needs_teacher) for s, values in logits.items()}
                evaluation = _Evaluation(predictor, seen)
                values = numbers(spec, compute(evaluation))
                if not evaluation.by_name:
                    known[same] = values
            found += _as_rows(predictor, spec.splits[0], known.get(same, values))
        return found

    def _outputs(self, split: str) -> dict[str, Tensor]:
        if split not in self._logits:
            images, rows, _ = self.subject.data.split(split)
            result = predict_together([self.subject], images, rows, Balance())[0]
            if isinstance(result, Exception):
                raise result
            self._logits[split] = result
        return self._logits[split]

    def _predictions(self, split: str, logits: Tensor, taught: bool = False) -> Predictions:
        data = self.subject.data
        # Copies: what one metric does to them is not to be seen by the next one.
        logits = logits.cpu().clone()
        known = teacher_logits(self.subject, split) if taught else None
        teacher = None if known is None else known.clone()
        if split == "test":
            targets = data.test_targets.cpu().clone()
            return Predictions(logits, targets, torch.arange(len(data.test)), teacher)
        rows = data.subsets[split].cpu().clone()
        hidden = {name: torch.from_numpy(values)[rows] for name, values in data.host.hidden.items()}
        return Predictions(logits, data.targets.cpu()[rows], rows, teacher, hidden)

    # -- of networks --------------------------------------------------------------------------------------------------

    def _inspected(
        self, spec: MetricSpec, inspect: Callable[[Inspection], Mapping[str, Mapping[str, float]]]
    ) -> list[MetricRow]:
        subject = self.subject
        networks_of = subject.method.deployables(subject.student, [t.model for t in subject.teachers])
        deployables = {f"{self.before}{name}": network for name, network in networks_of.items()}
        with evaluated(subject) as predictor, subject.main_weights(), torch.no_grad():
            networks = [subject.student, predictor, *(network.eval() for network in deployables.values())]
            with self._unchanged(networks):
                inspection = Inspection(
                    student=subject.student,
                    predictor=predictor,
                    deployables=deployables,
                    main=self.main,
                    predict=self._predict,
                    batches=self._batches,
                    precision=self._precision,
                )
                computed = inspect(inspection)
        found = numbers_by_output(spec, computed, dict.fromkeys((self.main, *self._logits["test"], *deployables)))
        return [row for predictor, values in found.items() for row in _as_rows(predictor, spec.splits[0], values)]

    @contextmanager
    def _unchanged(self, networks: Sequence[nn.Module]) -> Iterator[None]:
        """The networks are after the block what they were before it; CellError when they had to be put right."""
        tensors = {id(t): t for network in networks for t in (*network.parameters(), *network.buffers())}.values()
        copies = [t.detach().clone() for t in tensors]
        structures = [Structure(network) for network in networks]
        try:
            yield
        finally:
            changed = [(t, copy) for t, copy in zip(tensors, copies, strict=True) if not torch.equal(t, copy)]
            rebuilt = [structure for structure in structures if not structure.stands]
            for structure in rebuilt:
                structure.put_back()
            for tensor, copy in changed:
                tensor.data.copy_(copy)
            for teacher in self.subject.teachers:
                if teacher.touched or teacher.rebuilt:
                    teacher.restore()
            if changed or rebuilt:
                raise CellError("NetworkChanged", "it changed the networks that it was to look at")

    def _predict(self, split: str) -> dict[str, Predictions]:
        images, rows, _ = self.subject.data.split(split)
        logits = predict(self.subject.predictor, images, rows, self.subject.device)
        stored = once(as_stored, logits)
        return {f"{self.before}{name}": self._predictions(split, values) for name, values in stored.items()}

    def _batches(self, split: str) -> Iterator[tuple[Tensor, Tensor]]:
        images, rows, targets = self.subject.data.split(split)
        device = self.subject.device
        return zip(batches(images, rows, device), parts(targets.clone(), images, device), strict=True)

    def _precision(self) -> AbstractContextManager[object]:
        return self.subject.student.placement.autocast(self.subject.device.torch.type)

    # -- of the training ----------------------------------------------------------------------------------------------

    def _observed(self, spec: MetricSpec) -> list[MetricRow]:
        """Means over the epochs, and the last epoch's as `<name>_last`."""
        subject = self.subject
        if subject.observers.epochs[spec.name] != subject.epochs:
            raise CellError("Unobserved", "it was asked for when the cell had been training for a while")
        curves: dict[str, list[float]] = {}
        for _, split, predictor, number, value in subject.history:
            if (split, predictor) == ("train", "") and spec.owns(number):
                curves.setdefault(number, []).append(value)
        values = {number: float(np.mean(curve)) for number, curve in curves.items()}
        values |= {f"{number}_last": curve[-1] for number, curve in curves.items()}
        return _as_rows(self.main, "train", values)


def called(registry: Registry, metric: str, number: str) -> str:
    """A number's name in tables: with the package before it, where a metric shares its name with a built-in one."""
    package, slash, _ = metric.rpartition("/")
    is_own = registry.get("metric", metric).source.distribution == OWN
    return number if is_own or not slash else f"{package}/{number}"


def _as_rows(predictor: str, split: str, values: Mapping[str, float]) -> list[MetricRow]:
    return [MetricRow(predictor, split, name, value) for name, value in values.items()]


def teacher_logits(subject: Subject, split: str) -> Tensor | None:
    """The teacher's logits on a split; of several teachers, the logarithm of their mean probability."""
    logits = [teacher.logits_on(split) for teacher in subject.reference_teachers]
    return log_mean_probability(logits) if len(logits) > 1 else next(iter(logits), None)
