"""What teachers make of one batch: each runs once on each view for all cells that read it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import overload

import torch

from kdharness.api.declarations import View, Wanted
from kdharness.api.functional import log_mean_probability
from kdharness.api.seen_views import not_shown
from kdharness.api.staged import Outputs
from kdharness.data.batches import Samples
from kdharness.data.views import ViewKey
from kdharness.engine.table_pages import Pages
from kdharness.engine.teachers import AnyTeacher, Ensemble, Teacher
from kdharness.planning.teacher_uses import is_of_rows

NOTHING = Wanted()


class TeacherBatch:
    """The teachers' outputs, each made when it is first asked for.

    wanted: by the id of a teacher, the union of what is read of it. page: what view tables give of this batch, and its
    number in the epoch; None where they give nothing.
    """

    def __init__(self, samples: Samples, wanted: Mapping[int, Wanted], page: tuple[Pages, int] | None = None) -> None:
        self.samples = samples
        self.wanted = wanted
        self.page = page

    def outputs(self, teacher: AnyTeacher, view: ViewKey, wanted: Wanted = NOTHING) -> Outputs:
        """Of one view alone. wanted: what the asking cell reads beside logits."""
        asked = self._asked(teacher, wanted)

        def make() -> Outputs:
            made = self._mean(teacher, view) if isinstance(teacher, Ensemble) else self._run(teacher, view, asked)
            self.samples.watched.watch({f"teacher.{name}": t for name, t in made.named_tensors().items()})
            return made

        return self.samples.shelf.read(("teacher", id(teacher), view, asked), make)

    def _asked(self, teacher: AnyTeacher, wanted: Wanted) -> Wanted:
        """What a teacher is asked for: all that anybody reads. Where rows of a table are asked for by name, a cell that
        reads no maps gets rows alone and in company, whoever beside it has the teacher run.
        """
        union = self.wanted.get(id(teacher), NOTHING)
        return wanted if self.page is not None and self.page[0].by_name and is_of_rows(wanted) else union

    def _run(self, teacher: Teacher, view: ViewKey, wanted: Wanted) -> Outputs:
        def online() -> Outputs:
            self.samples.prepare(view, teacher.model)
            with torch.no_grad():
                return teacher.model.run(self.samples.view(view), wanted.taps, wanted.modules)

        if self.page is None:
            return online()
        pages, number = self.page
        return pages.outputs(teacher, view, number, wanted, online)

    def _mean(self, ensemble: Ensemble, view: ViewKey) -> Outputs:
        logits = [self.outputs(member, view).logits for member in ensemble.members]
        return Outputs(ensemble.model, log_mean_probability(logits), {})


class TeacherOutputs(Sequence[Outputs]):
    """One cell's teachers for one batch, in the cell's order: each as it is on the first view that it is shown.

    views: as the cell's method declares them, and what the pass calls them. wanted: what the method reads of teachers.
    """

    def __init__(
        self,
        teachers: Sequence[AnyTeacher],
        batch: TeacherBatch,
        views: Sequence[tuple[View, ViewKey]],
        wanted: Wanted,
    ) -> None:
        self._teachers = teachers
        self._batch = batch
        self._views = views
        self._wanted = wanted

    def __len__(self) -> int:
        return len(self._teachers)

    @overload
    def __getitem__(self, number: int) -> Outputs: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Outputs]: ...
    def __getitem__(self, number: int | slice) -> Outputs | Sequence[Outputs]:
        if isinstance(number, slice):
            return [self._of(teacher) for teacher in self._teachers[number]]
        return self._of(self._teachers[number])

    def _of(self, teacher: AnyTeacher) -> Outputs:
        """The outputs as this cell may read them. They hold the tensors that cells share."""
        first = next(number for number, (view, _) in enumerate(self._views) if view.teacher)
        return _shown(self._batch, teacher, self._views[first][1], self._wanted).beside(
            None if number == first else self._entry(teacher, number, view, key)
            for number, (view, key) in enumerate(self._views)
        )

    def _entry(self, teacher: AnyTeacher, number: int, view: View, key: ViewKey) -> Callable[[], Outputs] | str:
        if not view.teacher:
            return not_shown(number, view.name, "teacher")
        # Of one view, the same object whenever it is asked for. It is kept here and not by the cell's teachers: those
        # would hold what holds them, and so a step's activations until Python looks for cycles.
        return cache(partial(_shown, self._batch, teacher, key, self._wanted))


def _shown(batch: TeacherBatch, teacher: AnyTeacher, view: ViewKey, wanted: Wanted) -> Outputs:
    """A teacher on a view, as far as one cell declared that it reads it."""
    return batch.outputs(teacher, view, wanted).only(wanted)
