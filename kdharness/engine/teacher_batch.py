"""What teachers make of one batch: each runs once for all cells that read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import overload

import torch

from kdharness.api.declarations import Wanted
from kdharness.api.functional import log_mean_probability
from kdharness.api.staged import Outputs
from kdharness.data.batches import Samples
from kdharness.data.watched import Watched
from kdharness.device.clock import SHARED, Clock
from kdharness.engine.teachers import AnyTeacher, Ensemble, Teacher


class TeacherBatch:
    """The teachers' outputs, each made when it is first asked for.

    wanted: by the id of a teacher, the union of what is read of it.
    """

    def __init__(self, samples: Samples, wanted: Mapping[int, Wanted], clock: Clock, watched: Watched) -> None:
        self.watched = watched
        self.samples = samples
        self.wanted = wanted
        self.clock = clock
        self._outputs: dict[int, Outputs] = {}

    def outputs(self, teacher: AnyTeacher) -> Outputs:
        key = id(teacher)
        if key not in self._outputs:
            with self.clock.charge(SHARED):
                self._outputs[key] = self._mean(teacher) if isinstance(teacher, Ensemble) else self._run(teacher)
            self.watched.watch([t for view in self._outputs[key].views for t in view.tensors()])
        return self._outputs[key]

    def _run(self, teacher: Teacher) -> Outputs:
        wanted = self.wanted.get(id(teacher), Wanted())
        with torch.no_grad():
            views = tuple(teacher.model.run(view, wanted.taps, wanted.modules) for view in self.samples.views)
        views[0].views = views
        return views[0]

    def _mean(self, ensemble: Ensemble) -> Outputs:
        members = [self.outputs(m).views for m in ensemble.members]
        mean = [log_mean_probability([o.logits for o in outputs]) for outputs in zip(*members, strict=True)]
        views = tuple(Outputs(ensemble.model, logits, {}) for logits in mean)
        views[0].views = views
        return views[0]


class TeacherOutputs(Sequence[Outputs]):
    """One cell's teachers for one batch, in the cell's order."""

    def __init__(self, teachers: Sequence[AnyTeacher], batch: TeacherBatch) -> None:
        self._teachers = teachers
        self._batch = batch

    def __len__(self) -> int:
        return len(self._teachers)

    @overload
    def __getitem__(self, number: int) -> Outputs: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Outputs]: ...
    def __getitem__(self, number: int | slice) -> Outputs | Sequence[Outputs]:
        if isinstance(number, slice):
            return [self._batch.outputs(t) for t in self._teachers[number]]
        return self._batch.outputs(self._teachers[number])
