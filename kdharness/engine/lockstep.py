"""An epoch of cells that want the same batches: each is made and shown to the teachers once, then all step on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kdharness.api.declarations import Wanted
from kdharness.api.specs import ViewSpec
from kdharness.data.batches import BatchRequest, EpochBatches, Samples
from kdharness.device.clock import SHARED
from kdharness.device.device import Device
from kdharness.engine.member import Member
from kdharness.engine.shared_numbers import SharedNumbers
from kdharness.engine.teacher_batch import TeacherBatch
from kdharness.errors import CellError


class Lockstep:
    """Runs epochs for the members of a group.

    find_view: gives the installed view of a name.
    fail: takes a member out of the group with an error; beat: says which member is stepping.
    """

    def __init__(
        self,
        device: Device,
        find_view: Callable[[str], ViewSpec],
        fail: Callable[[Member, Exception], None],
        beat: Callable[[int | None], None],
    ) -> None:
        self.device = device
        self.find_view = find_view
        self.clock = device.clock()
        self.fail = fail
        self.beat = beat

    def run(self, request: BatchRequest, members: list[Member]) -> list[Member]:
        """One epoch for `members`, who all asked for `request`. Returns those who are still alive."""
        with self.clock.charge(SHARED):
            batches = EpochBatches(request, members[0].data, self.find_view, self.device)
        alive = list(members)
        for number in range(len(batches)):
            if not alive:
                break
            shared = self._prepare(batches, number, alive)
            for member in list(alive):
                self.beat(member.number)
                if not self._step(member, shared, batches, number):
                    alive.remove(member)
                if shared.samples.watched.changed:
                    shared = self._prepare(batches, number, alive)
        self._account(members)
        return alive

    def _prepare(self, batches: EpochBatches, number: int, members: Sequence[Member]) -> SharedBatch:
        with self.clock.charge(SHARED):
            return SharedBatch(batches.samples(number, self.clock), members)

    def _step(self, member: Member, shared: SharedBatch, batches: EpochBatches, number: int) -> bool:
        # Memory is measured once, on the first batch of the second epoch: by then the optimiser holds its state.
        measure = number == 0 and member.clock.epoch == min(1, member.epochs - 1)
        errors: list[Exception] = []
        with self.device.contained(errors.append), self.clock.charge(member.cell.key):
            info = member.info(member.clock.place(number, len(batches)), shared.numbers)
            member.step(shared.samples, shared.teachers, info, measure)
        damage = shared.damage(member, thorough=number in (0, len(batches) - 1))
        if damage:
            # What was changed in place often makes the step fail too: the cause is told, the error is its context.
            cause = CellError("SharedStateChanged", damage)
            cause.__cause__ = errors[0] if errors else None
            errors = [cause]
        if errors:
            self.fail(member, errors[0])
        return not errors

    def _account(self, members: Sequence[Member]) -> None:
        self.clock.settle()
        shared = self.clock.take(SHARED)
        for member in members:
            member.effort.own_seconds += self.clock.take(member.cell.key)
            member.effort.shared_seconds += shared / len(members)


class SharedBatch:
    """One batch and what the teachers make of it, watched for changes."""

    def __init__(self, samples: Samples, members: Sequence[Member]) -> None:
        self.samples = samples
        wanted: dict[int, Wanted] = {}
        for member in members:
            for teacher in member.teachers:
                wanted[id(teacher)] = wanted.get(id(teacher), Wanted()) | member.reads.of_teachers
        self.teachers = TeacherBatch(samples, wanted)
        self.numbers = SharedNumbers(samples.targets.device, samples.watched)

    def damage(self, member: Member, thorough: bool) -> str:
        """What the member's step did to what others share, '' for nothing. Teachers are put right.

        thorough: whether also to look for tensors that were exchanged, which takes time.
        """
        found = (
            "it changed a shared tensor in place (the batch, or a teacher's outputs)"
            if self.samples.watched.changed
            else ""
        )
        if not member.method.private_teacher:
            for teacher in member.teachers:
                if teacher.touched or (thorough and teacher.rebuilt):
                    teacher.restore()
                    found = "it changed its teacher, which others share (if it must, it sets private_teacher)"
        return found
