"""The figures of reports as files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdharness.report.view import Report


def draw(reports: Sequence[Report], where: Path) -> None:
    """Into a folder, and says which. UserError where matplotlib is missing."""
    from kdharness.report.document import sections
    from kdharness.report.plots.files import write_figures

    figures = [figure for report in reports for section in sections(report) for figure in section.figures]
    for path in write_figures(figures, where):
        print(f"wrote {path}", file=sys.stderr)
    if not figures:
        print("nothing to draw: nothing is measured yet", file=sys.stderr)
