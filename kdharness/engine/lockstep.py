"""One pass: each batch is gathered, augmented and shown to the teachers once, then every member steps on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from kdharness.api.declarations import Tap
from kdharness.data.batches import Pass, PassRequest, Samples
from kdharness.data.watched import Watched
from kdharness.device.clock import SHARED, Timers
from kdharness.engine.teachers import TeacherBatch
from kdharness.engine.trainee import Trainee
from kdharness.errors import CellError, Contained


class Lockstep:
    """Runs passes for the members of a group.

    fail: takes a member out of the group with an error; beat: says which member is stepping.
    """

    def __init__(
        self, timers: Timers, fail: Callable[[Trainee, Exception], None], beat: Callable[[int | None], None]
    ) -> None:
        self.timers = timers
        self.fail = fail
        self.beat = beat

    def run(self, request: PassRequest, members: list[Trainee]) -> list[Trainee]:
        """One epoch for `members`, who all asked for `request`. Returns those who are still well."""
        with self.timers.charge(SHARED):
            data = members[0].data
            batches = Pass(request, data.train, data.subsets[request.subset], data.targets)
        well = list(members)
        for number in range(len(batches)):
            if not well:
                break
            shared = self._prepare(batches, number, well)
            for member in list(well):
                self.beat(member.number)
                if not self._step(member, shared, batches, number):
                    well.remove(member)
                if shared.watched.changed:
                    shared = self._prepare(batches, number, well)
        self._account(members)
        return well

    def _prepare(self, batches: Pass, number: int, members: Sequence[Trainee]) -> Shared:
        with self.timers.charge(SHARED):
            return Shared(batches.samples(number), batches.request.bf16, members, self.timers)

    def _step(self, member: Trainee, shared: Shared, batches: Pass, number: int) -> bool:
        done = (member.epoch_in_phase + number / len(batches)) / member.phase_epochs
        # Memory is measured once, on the first batch of the second epoch: by then the optimiser holds its state.
        measure = number == 0 and member.epoch == min(1, member.epochs - 1)
        errors: list[Exception] = []
        with Contained(errors.append), self.timers.charge(member.cell.key):
            progress = torch.tensor(done, device=member.device)
            member.step(shared.samples, shared.teachers, progress, measure)
        damage = shared.damage(member)
        if damage:
            # What was changed in place often makes the step fail too: the cause is told, the error is its context.
            cause = CellError("SharedStateChanged", damage)
            cause.__cause__ = errors[0] if errors else None
            errors = [cause]
        if errors:
            self.fail(member, errors[0])
        return not errors

    def _account(self, members: Sequence[Trainee]) -> None:
        self.timers.settle()
        shared = self.timers.take(SHARED)
        for member in members:
            member.own_seconds += self.timers.take(member.cell.key)
            member.shared_seconds += shared / len(members)


class Shared:
    """One batch and what the teachers make of it, watched for changes."""

    def __init__(self, samples: Samples, bf16: bool, members: Sequence[Trainee], timers: Timers) -> None:
        self.samples = samples
        self.watched = Watched()
        self.watched.add(samples.tensors())
        taps: dict[int, tuple[Tap, ...]] = {}
        for member in members:
            for teacher in member.teachers:
                have = taps.get(id(teacher), ())
                taps[id(teacher)] = tuple(dict.fromkeys((*have, *member.reads.taps)))
        self.teachers = TeacherBatch(samples, taps, bf16, timers, self.watched)

    def damage(self, member: Trainee) -> str:
        """What the member's step did to what others share, '' for nothing. Teachers are put right."""
        found = (
            "it changed a shared tensor in place (the batch, or a teacher's outputs)" if self.watched.changed else ""
        )
        if not member.method.private_teacher:
            for teacher in member.teachers:
                if teacher.touched:
                    teacher.restore()
                    found = "it changed its teacher, which others share (if it must, it sets private_teacher)"
        return found
