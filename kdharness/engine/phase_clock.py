"""Where a cell stands in its phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kdharness.api.declarations import Phase

# The last epochs of a training are always evaluated: reports average over so many.
LAST_EPOCHS = 10


@dataclass(frozen=True)
class Place:
    """Where a step stands in its phase: number `step` (from 0) of the `steps` of epoch number `epoch` of `epochs`."""

    epoch: int
    epochs: int
    step: int
    steps: int

    @property
    def share_done(self) -> float:
        """The share of the phase that is done, in [0, 1), when the step begins."""
        return (self.epoch + self.step / self.steps) / self.epochs


class PhaseClock:
    """Counts epochs through phases. All counts begin with 0.

    phases: of the whole training.
    lengths: of the phases, in epochs.
    number: of the present phase; that of no phase once the cell has finished.
    epoch_in_phase: epochs that ended since the phase began.
    epoch: epochs that ended since training began.
    """

    def __init__(self, phases: Sequence[Phase], lengths: Sequence[int]) -> None:
        self.phases = tuple(phases)
        self.lengths = tuple(lengths)
        self.number = 0
        self.epoch_in_phase = 0
        self.epoch = 0

    @classmethod
    def of(cls, phases: Sequence[Phase], epochs: int) -> PhaseClock:
        """A phase without a length of its own takes its share of the recipe's `epochs`, at least one."""
        own = (p.epochs if p.epochs is not None else max(1, round(p.fraction * epochs)) for p in phases)
        return cls(phases, tuple(own))

    @property
    def phase(self) -> Phase:
        return self.phases[self.number]

    @property
    def phase_epochs(self) -> int:
        """The length of the present phase."""
        return self.lengths[self.number]

    @property
    def epochs(self) -> int:
        """The length of the whole training."""
        return sum(self.lengths)

    @property
    def in_last_phase(self) -> bool:
        return self.number == len(self.phases) - 1

    @property
    def trains_student_last(self) -> bool:
        """Whether no later phase trains any part of the student."""
        later = (player for phase in self.phases[self.number + 1 :] for player in phase.players)
        return not any(part.partition(".")[0] == "student" for player in later for part in player.parts)

    @property
    def finished(self) -> bool:
        return self.number == len(self.phases)

    def place(self, step: int, steps: int) -> Place:
        """Of step number `step` of the `steps` of the present epoch."""
        return Place(self.epoch_in_phase, self.phase_epochs, step, steps)

    def evaluation_due(self, every: int) -> bool:
        """Whether the cell is evaluated after the epoch that just ended.

        It is in the last ten epochs, and every so many where the benchmark says so (0: it does not).
        """
        return self.epoch > self.epochs - LAST_EPOCHS or bool(every and self.epoch % every == 0)

    def tick(self) -> bool:
        """An epoch ended. Whether the phase ended with it."""
        self.epoch += 1
        self.epoch_in_phase += 1
        if self.epoch_in_phase < self.phase_epochs:
            return False
        self.number += 1
        self.epoch_in_phase = 0
        return True

    def state_dict(self) -> dict[str, int]:
        return {"number": self.number, "epoch_in_phase": self.epoch_in_phase, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.number, self.epoch_in_phase, self.epoch = state["number"], state["epoch_in_phase"], state["epoch"]
