"""What the cells of a group share, and whether it is what it was."""

from __future__ import annotations

from collections.abc import Sequence

from kdharness.data.kept import CHANGED as DATA_CHANGED, Kept
from kdharness.data.prepare import Data
from kdharness.data.watched import CHANGED as BATCH_CHANGED, UNNAMED
from kdharness.device.checksum import Balance
from kdharness.device.torch_settings import note_spoiled
from kdharness.engine.lockstep import Lockstep
from kdharness.engine.teachers import CHANGED as TEACHER_CHANGED, AnyTeacher, each_alone
from kdharness.errors import EpochVoid
from kdharness.process.shared_code import all_shared_code

UNNOTICED = "unnoticed by torch: through .data, NumPy or the storage"
# To look at all shared functions takes as long as two or three steps of a small network: between two looks nothing is
# written, and the steps of at least so many cells and batches are made. An epoch of a usual size has more.
STEPS_BETWEEN_LOOKS = 128

DOUBTED = "after others had it, who may have changed it unnoticed"


class Guard:
    """Asked before anything is written: writes that move no version show in sums, but not whose they are.

    data_changed: whether a dataset was, which is to be loaded anew.
    """

    def __init__(self, lockstep: Lockstep) -> None:
        self.lockstep = lockstep
        self._teachers: dict[int, AnyTeacher] = {}
        self._data: dict[str, Kept] = {}
        self._of_data = Balance()
        self.data_changed = False
        self._code = all_shared_code()
        self._next_look = 0

    def know(self, *teachers: Sequence[AnyTeacher]) -> None:
        """These teachers are among what is shared."""
        self._teachers.update((id(t), t) for some in teachers for t in each_alone(some))

    def know_data(self, data: Data) -> None:
        """This dataset is among what is shared. It is noted before a cell that has it does anything."""
        self._data[data.key] = data.kept

    def check(self, writes: bool) -> None:
        """EpochVoid when something that is shared was changed since the last time. Waits for the device.

        writes: whether anything is to be written then. Otherwise functions may be looked at a few epochs later: what
        the cells learned meanwhile counts as little.
        """
        if writes or self.lockstep.steps >= self._next_look:
            self.check_code()
        self.lockstep.settle()
        self.lockstep.note(tuple(self._teachers.values()))
        how = DOUBTED if self.lockstep.doubted else UNNOTICED
        if self.lockstep.balance.differs():
            raise EpochVoid(f"{BATCH_CHANGED}: {self.lockstep.balance.where or UNNAMED}, {how}")
        if self.lockstep.of_teachers.differs():
            parts = (teacher.unlike_loaded() for teacher in self._teachers.values())
            raise EpochVoid(f"{TEACHER_CHANGED}: {next(filter(None, parts), 'what it is made of')}, {how}")

        self._check_data()

    def check_code(self) -> None:
        """EpochVoid when a function or module that cells share is another one now."""
        self._next_look = self.lockstep.steps + STEPS_BETWEEN_LOOKS
        others = self._code.put_back()
        if others:
            note_spoiled(others[0])
            raise EpochVoid(f"it changed {others[0]}, which other cells share")

    def _check_data(self) -> None:
        for kept in self._data.values():
            kept.settle(self._of_data)
        if self._of_data.differs():
            self.data_changed = True
            note_spoiled(self._of_data.where)
            raise EpochVoid(f"{DATA_CHANGED}: {self._of_data.where}")

    def forget(self) -> None:
        """Knows of nothing any more."""
        self._data.clear()
        self._teachers.clear()
