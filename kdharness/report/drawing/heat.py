"""Gains of methods on pairs as a table whose cells have colours."""

from __future__ import annotations

import math
from collections.abc import Iterable

from markupsafe import Markup

from kdharness.report.figures import HeatCell, HeatFigure


def heat(figure: HeatFigure) -> Markup:
    """The stronger the colour, the larger the gain or loss; what is told apart from the reference is bold."""
    largest = max((abs(c.points) for row in figure.cells for c in row if not math.isnan(c.points)), default=0.0) or 1.0
    header = Markup().join(Markup('<th scope="col">{}</th>').format(pair) for pair in figure.pairs)
    rows = Markup("\n").join(
        Markup('<tr data-name="{}"><th scope="row">{}</th>{}</tr>').format(method, method, _cells(row, largest))
        for method, row in zip(figure.methods, figure.cells, strict=True)
    )
    return Markup(
        '<table class="heat"><caption>{}</caption>\n<thead><tr><th scope="col">method</th>{}</tr></thead>\n'
        "<tbody>\n{}\n</tbody></table>"
    ).format(figure.label, header, rows)


def _cells(row: Iterable[HeatCell], largest: float) -> Markup:
    return Markup().join(_cell(cell, largest) for cell in row)


def _cell(cell: HeatCell, largest: float) -> Markup:
    if math.isnan(cell.points):
        return Markup("<td></td>")
    kind = f"{'up' if cell.points >= 0 else 'down'}{' settled' if cell.settled else ''}"
    strength = round(100 * abs(cell.points) / largest)
    return Markup('<td class="{}" style="--strength: {}">{:+.2f}</td>').format(kind, strength, cell.points)
