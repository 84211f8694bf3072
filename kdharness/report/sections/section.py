"""A section of a report, before it is known what draws it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from kdharness.report.figures import Figure
from kdharness.report.sections.grid import Grid
from kdharness.text import printable


class SectionKind(StrEnum):
    """What a section is about."""

    RANKING = "ranking"
    ADDED = "columns of plugins"
    MEAN_GAINS = "mean gains"
    RECIPES = "recipes"
    OUTPUTS = "outputs"
    PRIVATE_IMAGES = "private images"
    AUDIT = "audit"
    TEACHER_SPREAD = "teacher spread"
    PARTS = "parts"
    CLAIMS = "claims"
    CLAIMS_IN_SHORT = "claims in short"
    PUBLISHED = "published"
    PUBLISHED_SPREAD = "published spread"
    CONTRAST = "contrast"
    MEAN_CONTRAST = "mean contrast"
    TRADE = "trade"
    FIELD = "field"
    WINS = "wins"
    DECIDES = "decides"
    DIFFERENCES = "differences"


@dataclass(frozen=True)
class Short:
    """A section in one line. what: the line is about; where: the setting; says: the numbers."""

    what: str
    where: str
    says: str


@dataclass(frozen=True)
class Section:
    """A titled table.

    banner: to be shown before it, '' for none.
    remarks: what one must know to read the numbers right; how: how they came about. One line each.
    figures: what may be drawn below the table.
    short: what stands for the whole where little is to be said; None where the table always stands.
    facts: labels and texts of protocol and circumstances, for those who look closer.
    """

    kind: SectionKind
    title: str
    grid: Grid
    banner: str = ""
    remarks: tuple[str, ...] = ()
    how: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    short: Short | None = None
    facts: tuple[tuple[str, str], ...] = ()

    def printable(self) -> Section:
        """With nothing in its words that a terminal or a page would take as control."""
        remarks, how = tuple(map(printable, self.remarks)), tuple(map(printable, self.how))
        title, banner, grid = printable(self.title), printable(self.banner), self.grid.printable()
        return replace(self, title=title, banner=banner, grid=grid, remarks=remarks, how=how)

    @property
    def below(self) -> tuple[str, ...]:
        """The lines below the table."""
        return (*self.remarks, *self.how)
