"""Figures as PNG and SVG files."""

from __future__ import annotations

import importlib.util
import io
import re
from collections.abc import Iterable
from pathlib import Path

from kdharness.errors import UserError
from kdharness.report.figures import Figure
from kdharness.results.files import writing

ADVICE = "plots need matplotlib: pip install 'kdharness[plots]'"
MOST_LETTERS = 120  # of a file's name
FORMS = ("png", "svg")
DOTS_PER_INCH = 200


def write_figures(figures: Iterable[Figure], folder: Path) -> list[Path]:
    """A PNG and an SVG file of each, named by its title; where they are. UserError without matplotlib."""
    names: dict[str, int] = {}
    paths = []
    for figure in figures:
        name = _file_name(figure)
        names[name] = names.get(name, 0) + 1
        number = f"-{names[name]}" if names[name] > 1 else ""
        for form in FORMS:
            path = folder / f"{name}{number}.{form}"
            content = rendered(figure, form)
            with writing(path):
                folder.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            paths.append(path)
    return paths


def _file_name(figure: Figure) -> str:
    """In ASCII, without its ending; others may have the same."""
    text = re.sub(r"[^A-Za-z0-9.]+", "-", f"{figure.title} {figure.deviations}")
    return text.strip("-.")[:MOST_LETTERS].rstrip("-.") or "figure"


def rendered(figure: Figure, form: str) -> bytes:
    """The figure as a file's bytes, which are the same for the same numbers. UserError without matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError(ADVICE)
    from kdharness.report.plots.drawing import drawn
    from kdharness.report.plots.style import in_style

    file = io.BytesIO()
    # Identifiers from the title and no date, which would differ each time.
    with in_style(salt=figure.title):
        drawn(figure).savefig(file, format=form, dpi=DOTS_PER_INCH, metadata={"Date": None} if form == "svg" else None)
    return file.getvalue()
