"""What a bench found: laps of everything that was measured, and the rows that follow from them."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from kdharness.device.names import is_cpu
from kdharness.speed.bound import bound, paid_after
from kdharness.speed.request import GROUP, PLAIN, SOLO, TABLE, BenchRequest
from kdharness.speed.stopwatch import PARTS, Lap, total

# What is measured beside rows: a forward pass of the teacher and a training step of the student, over all images.
TEACHER_ALONE, STUDENT_ALONE = "teacher alone", "student alone"

# What was measured: its kind, and the methods that were trained in it.
Unit = tuple[str, tuple[str, ...]]


@dataclass(frozen=True)
class Spread:
    """The median of rounds, and their least and largest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def through(self, amount: float) -> Spread:
        """`amount` divided by each: a rate of a time."""
        return Spread(amount / self.median, amount / self.high, amount / self.low)


@dataclass(frozen=True)
class Row:
    """One way of training some methods.

    kind: of request.ROWS. methods: their names. rounds: how many measured all of them.
    cpu, wall: seconds of all cells, each with its evaluation.
    parts: the share of each part. memory_bytes: the most that tensors held which were made in a round; 0: not measured.
    operations: dispatched per step of a cell. to_plain, to_solo: how many times faster than those, round by round.
    bound: how many times faster it can be than cells by themselves, and share_of_bound what is reached of that.
    """

    kind: str
    methods: tuple[str, ...]
    rounds: int
    cpu: Spread
    wall: Spread
    parts: dict[str, float]
    memory_bytes: int
    operations: float
    to_plain: Spread | None
    to_solo: Spread | None
    bound: float | None

    @property
    def share_of_bound(self) -> float | None:
        against = self.to_plain or self.to_solo
        return None if against is None or not self.bound else against.median / self.bound

    @property
    def label(self) -> str:
        """For people."""
        together = f" of {len(self.methods)}" if self.kind in (GROUP, TABLE) else ""
        return f"{self.kind}{together}"


@dataclass
class Findings:
    """All that was measured so far.

    taught, served: the methods that have a teacher run, and those that a table serves.
    pictures: of an image, that a table would hold; None where there can be none.
    where: the device and versions.
    """

    request: BenchRequest
    where: str = ""
    taught: frozenset[str] = frozenset()
    served: tuple[str, ...] = ()
    pictures: int | None = None
    laps: dict[Unit, list[Lap]] = field(default_factory=lambda: defaultdict(list))
    memory_bytes: dict[Unit, int] = field(default_factory=dict)
    operations: dict[Unit, list[int]] = field(default_factory=dict)

    def seconds(self, lap: Lap) -> float:
        """What counts of it: what a processor computed, so that a busy machine does not matter; of others, the time."""
        return lap.cpu if is_cpu(self.request.device) else lap.wall

    # -- rounds -------------------------------------------------------------------------------------------------------

    def _rounds(self, kind: str, methods: tuple[str, ...]) -> list[Lap]:
        """Of each round that measured all of it; of cells one by one the sum."""
        if kind in (GROUP, TABLE):
            return self.laps.get((kind, methods), [])
        each = [self.laps.get((kind, (method,)), []) for method in methods]
        return [total(list(laps)) for laps in zip(*each, strict=False)]

    def _ratio(self, laps: list[Lap], kind: str, methods: tuple[str, ...]) -> Spread | None:
        """How many times as long another kind takes, round by round."""
        others = self._rounds(kind, methods)
        pairs = [(self.seconds(a), self.seconds(b)) for a, b in zip(others, laps, strict=False)]
        return Spread.of([a / b for a, b in pairs if b > 0]) if any(b > 0 for _, b in pairs) else None

    def alone(self, kind: str) -> float | None:
        """Seconds over all images of a teacher's forward pass, or of a student's training."""
        laps = self.laps.get((kind, ()), [])
        return statistics.median(map(self.seconds, laps)) if laps else None

    # -- rows ---------------------------------------------------------------------------------------------------------

    def rows(self) -> list[Row]:
        """What at least one round measured."""
        every = self.request.methods
        kinds: list[Unit] = [(PLAIN, every), (SOLO, every), (GROUP, every)]
        kinds += [] if self.served == every else [(GROUP, self.served)]
        found = (self._row(kind, methods) for kind, methods in (*kinds, (TABLE, self.served)) if methods)
        return [row for row in found if row is not None]

    def _row(self, kind: str, methods: tuple[str, ...]) -> Row | None:
        laps = self._rounds(kind, methods)
        if not laps:
            return None
        whole = total(laps)
        sums = sum(whole.parts.values()) or math.inf
        units = [(kind, methods)] if kind in (GROUP, TABLE) else [(kind, (method,)) for method in methods]
        counts = [count for unit in units for count in self.operations.get(unit, [])]
        return Row(
            kind=kind,
            methods=methods,
            rounds=len(laps),
            cpu=Spread.of([lap.cpu for lap in laps]),
            wall=Spread.of([lap.wall for lap in laps]),
            parts={part: whole.parts.get(part, 0.0) / sums for part in PARTS},
            memory_bytes=max((self.memory_bytes.get(unit, 0) for unit in units), default=0),
            operations=statistics.mean(counts) if counts else math.nan,
            to_plain=None if kind == PLAIN else self._ratio(laps, PLAIN, methods),
            to_solo=None if kind in (PLAIN, SOLO) else self._ratio(laps, SOLO, methods),
            bound=self._bound(kind, methods),
        )

    def _bound(self, kind: str, methods: tuple[str, ...]) -> float | None:
        teacher, student = self.alone(TEACHER_ALONE), self.alone(STUDENT_ALONE)
        if kind not in (GROUP, TABLE) or student is None:
            return None
        taught = len(self.taught.intersection(methods))
        return bound(taught, len(methods), teacher or 0.0, student, served=kind == TABLE)

    def counted(self, row: Row) -> Spread:
        """The seconds of a row that count."""
        return row.cpu if is_cpu(self.request.device) else row.wall

    def images_per_second(self, row: Row) -> Spread:
        """Training images of all its cells, evaluation included."""
        return self.counted(row).through(len(row.methods) * self.request.images)

    def cells_per_hour(self, row: Row) -> Spread:
        """Extrapolated to the training that the request names."""
        epochs = self.request.epochs * self.request.train_images / self.request.images
        return self.counted(row).through(len(row.methods) * 3600 / epochs)

    # -- the table ----------------------------------------------------------------------------------------------------

    @property
    def fill_seconds(self) -> float | None:
        """What it takes to have the teacher say of all pictures of all images."""
        teacher = self.alone(TEACHER_ALONE)
        return None if teacher is None or self.pictures is None else teacher * self.pictures

    @property
    def paid_after_epochs(self) -> float | None:
        """After how many epochs of the methods that a table serves, as a group, it has paid."""
        without = self._rounds(GROUP, self.served) or (self._rounds(SOLO, self.served) if len(self.served) == 1 else [])
        with_table = self._rounds(TABLE, self.served)
        if self.fill_seconds is None or not without or not with_table:
            return None
        medians = (statistics.median(map(self.seconds, laps)) for laps in (without, with_table))
        return paid_after(self.fill_seconds, *medians)
