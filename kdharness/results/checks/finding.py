"""What is wrong with a results folder, one line each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kdharness.text import plain


class Kind(StrEnum):
    """EDITED: a value is another than what it comes from says. DAMAGED: it cannot be read. MISSING: it was asked for,
    and is not there. DIFFERS: trained again, it comes out otherwise. FOREIGN: it is there, and nothing here asked for
    it. STALE: what it was made from is another now.
    DOUBT: nothing is proved, and a reader should know.
    """

    EDITED = "edited"
    DAMAGED = "damaged"
    MISSING = "missing"
    FOREIGN = "foreign"
    STALE = "stale"
    DIFFERS = "differs"
    DOUBT = "doubt"


@dataclass(frozen=True, order=True)
class Finding:
    """One of them.

    where: the file in the folder, or the row of a table.
    what: which value is there, and which it should be.
    """

    kind: Kind
    where: str
    what: str

    @property
    def is_wrong(self) -> bool:
        return self.kind is not Kind.DOUBT

    def __str__(self) -> str:
        return plain(f"{self.kind}: {self.where}: {self.what}")


def shown(value: object, most: int = 60) -> str:
    """A value as a finding names it: to the last digit, and never long."""
    text = plain(value if isinstance(value, str) else repr(value))
    if not text:
        return "nothing"
    return text if len(text) <= most else f"{text[: most - 3]}..."
