"""Methods by pairs as numbers: how they are written is the business of each format."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

MOST_PAIRS, MOST_LINES = 5, 28  # that a page holds
LINE = 24  # letters of a name on one line


@dataclass(frozen=True)
class Score:
    """Top-1 in percent over the seeds of one pair.

    mean: NaN where there is none; sd: NaN below two seeds.
    seeds: '2/5' where some are missing, '' otherwise.
    best: whether no other of its regime is better. tied: whether it is not told apart from the best.
    """

    mean: float = math.nan
    sd: float = math.nan
    seeds: str = ""
    best: bool = False
    tied: bool = False


@dataclass(frozen=True)
class PaperRow:
    """One method. scores: by pair. gain, half: in points over the table's reference; NaN without."""

    name: str
    scores: tuple[Score, ...]
    gain: float = math.nan
    half: float = math.nan


@dataclass(frozen=True)
class PaperTable:
    """Methods by pairs, for one dataset, scenario, recipe and track.

    about: their names. deviations: how the runs depart from their benchmark, '' for not at all.
    pairs: teacher and student of each; '' for no teacher. teachers: their top-1 in percent, NaN where it is not known.
    student: the one on labels alone, None where it was not trained.
    groups: a regime's label ('' for the usual one) and its methods, best first.
    gains: what the gains are over, '' where there are none.
    caption: how it was measured, in sentences.
    note: what must be known of the dataset, where the report does not say it of all.
    """

    about: str
    deviations: str
    pairs: tuple[tuple[str, str], ...]
    teachers: tuple[float, ...]
    student: PaperRow | None
    groups: tuple[tuple[str, tuple[PaperRow, ...]], ...]
    gains: str
    caption: str
    note: str = ""

    @property
    def rows(self) -> Iterator[PaperRow]:
        """All of them, the student first."""
        if self.student is not None:
            yield self.student
        for _, rows in self.groups:
            yield from rows

    def parts(
        self, most_pairs: int = MOST_PAIRS, most_lines: int = MOST_LINES, letters: int = LINE
    ) -> tuple[PaperTable, ...]:
        """Tables of so many pairs and lines of methods at most; the gains stand in the last one across.

        letters: of a name on one line.
        """
        wide = [self._of_pairs(start, most_pairs) for start in range(0, len(self.pairs), most_pairs)]
        return tuple(part for table in wide for part in table._of_lines(most_lines, letters))

    def _of_pairs(self, start: int, most: int) -> PaperTable:
        end = start + most
        student = replace(self.student, scores=self.student.scores[start:end]) if self.student else None
        groups = tuple(
            (label, tuple(replace(row, scores=row.scores[start:end]) for row in rows)) for label, rows in self.groups
        )
        return replace(
            self,
            pairs=self.pairs[start:end],
            teachers=self.teachers[start:end],
            student=student,
            groups=groups,
            gains=self.gains if end >= len(self.pairs) else "",
        )

    def _of_lines(self, most: int, letters: int) -> Iterator[PaperTable]:
        """Each part has the student; a regime that goes on in the next one has its label there too."""
        kept: dict[str, list[PaperRow]] = {}
        lines = 0
        for label, row in ((label, row) for label, rows in self.groups for row in rows):
            needed = math.ceil(len(row.name) / letters)
            if kept and lines + needed > most:
                yield self._with(kept)
                kept, lines = {}, 0
            kept.setdefault(label, []).append(row)
            lines += needed
        yield self._with(kept)

    def _with(self, groups: Mapping[str, Sequence[PaperRow]]) -> PaperTable:
        return replace(self, groups=tuple((label, tuple(rows)) for label, rows in groups.items()))
