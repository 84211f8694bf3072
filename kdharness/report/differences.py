"""What two folders differ in, as sections."""

from __future__ import annotations

from collections.abc import Sequence

from kdharness.report.sections.differences import difference_sections
from kdharness.report.view import Report
from kdharness.results.contents import Contents
from kdharness.results.differences import differences
from kdharness.text import printable


def differences_of(
    here: Sequence[Contents], there: Sequence[Contents], names: tuple[str, str], tolerance: float = 0.0
) -> Report:
    """names: of both, for people."""
    found = differences(here, there, tolerance)
    doubts = dict.fromkeys(doubt for contents in (*here, *there) for doubt in contents.doubts)
    return Report(
        name=printable(" and ".join(names)),
        rankings=(),
        overalls=(),
        doubts=tuple(map(printable, doubts)),
        made=tuple(difference_sections(found, names, tolerance)),
    )
