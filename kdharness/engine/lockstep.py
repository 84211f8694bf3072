"""An epoch of cells that want the same batches: each is made and shown to the teachers once, then all step on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kdharness.api.declarations import Wanted
from kdharness.api.specs import ViewSpec
from kdharness.api.step import StepInfo
from kdharness.data.batches import BatchRequest, EpochBatches, Samples
from kdharness.data.watched import CHANGED as BATCH_CHANGED
from kdharness.device.checksum import Balance
from kdharness.device.device import Device
from kdharness.device.ledger import Ledger, Shelf, Thing
from kdharness.engine.member import Member
from kdharness.engine.shared_numbers import SharedNumbers
from kdharness.engine.table_pages import Pages
from kdharness.engine.teacher_batch import TeacherBatch
from kdharness.engine.teachers import CHANGED as TEACHER_CHANGED, AnyTeacher, each_alone, put_right
from kdharness.engine.view_tables import ViewTables
from kdharness.errors import CellError


class Lockstep:
    """Runs epochs for the members of a group.

    balance, of_teachers: what batches, and the networks of teachers, were and are.
    doubted: whether something was changed in the open after others had it, who may have changed it unnoticed.
    steps: how many were made so far, of all cells together.
    find_view: gives the installed view of a name. tables: of teachers' outputs.
    fail: takes a member out of the group with an error; beat: says which member is stepping.
    """

    def __init__(
        self,
        device: Device,
        find_view: Callable[[str], ViewSpec],
        fail: Callable[[Member, Exception], None],
        beat: Callable[[int | None], None],
        tables: ViewTables,
    ) -> None:
        self.tables = tables
        self.device = device
        self.find_view = find_view
        self.ledger = Ledger(device.clock())
        self.balance = Balance()
        self.of_teachers = Balance()
        self.doubted = False
        self.steps = 0
        self.fail = fail
        self.beat = beat
        self._shared: SharedBatch | None = None
        self._pages: Pages | None = None

    def run(self, request: BatchRequest, members: list[Member]) -> list[Member]:
        """One epoch for `members`, who all asked for `request`. Returns those who are still alive."""
        with self.ledger.making() as order:
            batches = EpochBatches(request, members[0].data, self.find_view, self.device, self.ledger)
        _read_by(members, order)
        self._pages = Pages(self.tables, batches, members[0].recipe.teacher_outputs == "table")
        alive = list(members)
        for number in range(len(batches)):
            if not alive:
                break
            self._batch(batches, number, alive)
            self.settle(by_name=number == 0)
        self._shared = None
        self._account(members)
        return alive

    @property
    def keeps(self) -> bool:
        """Whether `commit` has anything to keep."""
        return self._pages is not None and self._pages.keeps

    def commit(self) -> None:
        """Keeps what teachers said of the last epoch. Called once it is known that nobody changed what cells share."""
        pages, self._pages = self._pages, None
        if pages is not None:
            pages.commit()

    def _batch(self, batches: EpochBatches, number: int, alive: list[Member]) -> None:
        """Every member's step on one batch. Takes out of `alive` those that leave."""
        waiting = list(alive)
        shared = self._prepare(batches, number, waiting)
        while waiting:
            member = waiting.pop(0)
            self.beat(member.number)
            if number == 0:  # whoever changes things does it in the first step, as a rule: there it is known who it was
                self.settle(by_name=True)
                self.note(member.shared_teachers)
            error = self._step(member, shared, batches, number, beside=len(alive) > 1)
            if shared.changed:
                self.settle(doubted=shared.seen)
                shared = self._prepare(batches, number, waiting) if waiting else shared
            else:
                shared.seen = number > 0
            if error is not None:
                self.fail(member, error)
                alive.remove(member)

    def settle(self, doubted: bool = False, by_name: bool = False) -> None:
        """Puts what the present batch was, and what it is, into the balance: see `Summed.settle`."""
        self.doubted = self.doubted or doubted
        if self._shared is not None:
            self._shared.settle(self.balance, doubted, by_name)

    def note(self, teachers: Sequence[AnyTeacher]) -> None:
        """Puts what these teachers were, and what they are, into their balance."""
        for teacher in each_alone(teachers):
            teacher.settle(self.of_teachers)

    def _prepare(self, batches: EpochBatches, number: int, members: Sequence[Member]) -> SharedBatch:
        """The batch for members that will step on it."""
        with self.ledger.making() as bare:
            self._shared = SharedBatch(batches.samples(number), tuple(members), (*batches.axes, number), self._pages)
        _read_by(members, bare)
        return self._shared

    def _step(
        self, member: Member, shared: SharedBatch, batches: EpochBatches, number: int, beside: bool
    ) -> Exception | None:
        """How the step failed, if it did. beside: whether others have the same teachers."""
        # Memory is measured once, on the first batch of the second epoch: by then the optimiser holds its state.
        measure = number == 0 and member.clock.epoch == min(1, member.epochs - 1)
        errors: list[Exception] = []
        self.steps += 1
        with self.device.contained(errors.append), self.ledger.turn(member.cell.key):
            info = member.info(member.clock.place(number, len(batches)), shared.numbers)
            seen = shared.seen_by(member, info)
            member.step(seen.samples, seen, info, measure)
        damage = shared.damage(member, thorough=number in (0, len(batches) - 1))
        if damage.startswith(TEACHER_CHANGED) and beside and number > 0:
            self.doubted = True
            self.of_teachers.fail()
        if damage:
            # What was changed in place often makes the step fail too: the cause is told, the error is its context.
            cause = CellError("SharedStateChanged", damage)
            cause.__cause__ = errors[0] if errors else None
            return cause
        return errors[0] if errors else None

    def _account(self, members: Sequence[Member]) -> None:
        bills = self.ledger.bills([member.cell.key for member in members])
        for member in members:
            bill = bills[member.cell.key]
            member.effort.own_seconds += bill.own
            member.effort.shared_seconds += bill.shared
            member.effort.alone_seconds += bill.alone


def _read_by(members: Sequence[Member], thing: Thing) -> None:
    for member in members:
        thing.read_by(member.cell.key)


class SharedBatch:
    """One batch and what the teachers make of it, watched for changes.

    axes: name the batch: the subset, batch size, seed and epoch of its pass, and its number.
    pages: what view tables give of the epoch.
    seen: whether a cell had it, and nobody looked since what it did to it.
    """

    def __init__(
        self, samples: Samples, members: Sequence[Member], axes: Sequence[str | int], pages: Pages | None = None
    ) -> None:
        self.pages = pages
        self.samples = samples
        self.members = members
        self.axes = axes
        self.seen = False
        # As it is, and as some members' methods transform it.
        self._seen: list[TeacherBatch] = []
        self._shelf = Shelf(samples.shelf.ledger)
        self.numbers = SharedNumbers(samples.targets.device)

    def seen_by(self, member: Member, info: StepInfo) -> TeacherBatch:
        """The batch, and the teachers on it, as the member sees it."""
        key = member.transform_key

        def make() -> TeacherBatch:
            samples = self.samples if key is None else member.transformed(self.samples, info, *self.axes)
            readers = [other for other in self.members if other.transform_key == key]
            page = None if self.pages is None or key is not None else (self.pages, int(self.axes[-1]))
            self._seen.append(TeacherBatch(samples, _wanted(readers), page))
            return self._seen[-1]

        return self._shelf.read(key, make)

    @property
    def changed(self) -> str:
        """The name of what somebody changed in place that others share, '' for nothing."""
        watched = (self.numbers.watched, *(samples.watched for samples in self._samples()))
        return next(filter(None, (each.changed for each in watched)), "")

    def settle(self, balance: Balance, doubted: bool = False, by_name: bool = False) -> None:
        """Puts all that was shared into the balance. doubted, by_name: as in `Summed.settle`."""
        self.numbers.settle(balance, doubted)
        for samples in self._samples():
            samples.settle(balance, doubted, by_name)

    def _samples(self) -> list[Samples]:
        """As they are, and as members' methods transform them."""
        found = [self.samples, *(seen.samples for seen in self._seen)]
        return list({id(samples): samples for samples in found}.values())

    def damage(self, member: Member, thorough: bool) -> str:
        """What the member's step did to what others share, '' for nothing. Teachers are put right.

        thorough: whether also to look for tensors that were exchanged, which takes time.
        """
        changed = self.changed
        if not member.method.private_teacher and (part := put_right(member.teachers, thorough)):
            return f"{TEACHER_CHANGED}: {part}"
        return f"{BATCH_CHANGED}: {changed}" if changed else ""


def _wanted(members: Sequence[Member]) -> dict[int, Wanted]:
    """By the id of a teacher, all that these members read of it."""
    found: dict[int, Wanted] = {}
    for member in members:
        for teacher in member.teachers:
            found[id(teacher)] = found.get(id(teacher), Wanted()) | member.reads.of_teachers
    return found
