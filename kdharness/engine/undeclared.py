"""Failures of a step that come from something the method reads and did not declare: what must be declared is said."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import kdharness
from kdharness.api.declarations import Reads
from kdharness.errors import CellError
from kdharness.failures import one_line

OWN = str(Path(kdharness.__file__).parent)

# What is None, or too short, unless it is declared: the attribute's name, whether it is so, how it is declared.
_ABSENT: tuple[tuple[str, Callable[[Reads], bool], str], ...] = (
    ("indices", lambda reads: not reads.indices, "batch.indices is None without reads = Reads(indices=True)"),
    (
        "partners",
        lambda reads: reads.partners == "none",
        "batch.partners is None without reads = Reads(partners='same_class')",
    ),
    ("teacher", lambda reads: reads.teachers == "none", "teacher is None with reads = Reads(teachers='none')"),
)
_MANY = "with reads = Reads(teachers='many') teacher is a sequence of Outputs, one for each teacher"
_ONE = "with reads = Reads(teachers='one') teacher is one Outputs; 'many' gives a sequence"


@contextmanager
def hinted(reads: Reads) -> Iterator[None]:
    """A block of a method's code: what it raises for want of a declaration says so."""
    try:
        yield
    except (TypeError, AttributeError, IndexError) as error:
        hint = _hint(error, reads)
        if not hint:
            raise
        raise CellError(type(error).__name__, f"{one_line(error)}; {hint}") from error


def _hint(error: Exception, reads: Reads) -> str:
    """'' where nothing is to be said."""
    said, names = one_line(error), _words(error.__traceback__)
    if "'TeacherOutputs' object has no attribute" in said:
        return _MANY
    if "'Outputs' object is not" in said and reads.teachers == "one":
        return _ONE
    if isinstance(error, IndexError) and "views" in names and "index out of range" in said:
        views = ", ".join(view.name for view in reads.declared_views)
        return f"the method declares {len(reads.declared_views)} of views ({views}) in reads = Reads(views=...)"
    if "NoneType" not in said and "None" not in said:
        return ""
    return "; ".join(text for name, absent, text in _ABSENT if name in names and absent(reads))


def _words(trace: TracebackType | None) -> set[str]:
    """Of the lines that the error passed in code that is not the harness' own. What a call hands on does not count."""
    found: set[str] = set()
    lines = [frame.line or "" for frame in traceback.extract_tb(trace) if not frame.filename.startswith(OWN)]
    for number, line in enumerate(lines):
        words = set(re.findall(r"\w+", line))
        found |= words if number == len(lines) - 1 else words - {"teacher"}
    return found
