"""Reports as one HTML page that stands by itself: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from jinja2 import Environment
from markupsafe import Markup, escape

from kdharness.report import plots
from kdharness.report.document import endings, further, nothing, sections
from kdharness.report.exits import ExitsView
from kdharness.report.view import Report, SettingView, name_of

PLOT_WIDTH, ROW_HEIGHT, RIGHT = 360, 22, 70
# Names stand left of a plot, each letter about so wide; a longer one ends in an ellipsis, and is whole in its tooltip.
LETTER_WIDTH, MOST_LETTERS = 6.6, 60

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --ink: #1d2430; --dim: #667085; --line: #dfe3ea; --paper: #fff; --accent: #2f6f9f;
  --good: #1c7c54; --bad: #b3403a; --warn: #8a5a00; --warn-paper: #fff6e0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ef; --dim: #98a2b3; --line: #343c49; --paper: #161a21;
  --accent: #79b4de; --good: #5fc99b; --bad: #ef8a83; --warn: #f0c36a; --warn-paper: #33290f; } }
body { margin: 2.5rem auto; max-width: 72rem; padding: 0 1.25rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .5rem; } h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .8rem .28rem 0; text-align: right; white-space: pre; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--dim); } th.words, td.words { text-align: left; }
td.words { white-space: normal; overflow-wrap: anywhere; min-width: 6rem; }
tr.first td { font-weight: 600; } tr.group td { font-style: italic; color: var(--dim); text-align: left; }
.better, .holds, .helps { color: var(--good); } .worse, .does-not-hold, .hurts { color: var(--bad); }
.undecided { color: var(--dim); }
.note { color: var(--warn); } .banner { background: var(--warn-paper); color: var(--warn); padding: .4rem .8rem; }
.below { color: var(--dim); font-size: .86rem; margin: .4rem 0; } .below p { margin: .1rem 0; }
svg { display: block; margin: 1rem 0 .2rem; max-width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .axis { fill: var(--dim); }
svg .interval { stroke: var(--accent); stroke-width: 2; }
ul { padding-left: 1.2rem; }
</style>
</head>
<body>
{% for report in reports %}
<h1>{{ report.name or "results" }}</h1>
{% if report.progress %}<p>running: {{ report.progress }}</p>{% endif %}
{% if report.note %}<p class="note">{{ report.note }}</p>{% endif %}
{% for section in report.sections %}
<h2>{{ section.title }}</h2>
{% if section.banner %}<p class="banner">{{ section.banner }}</p>{% endif %}
<div class="scroll"><table>
<thead><tr>
{%- for column in section.grid.columns %}<th{{ column | kind }}>{{ column.header }}</th>{% endfor -%}
</tr></thead>
<tbody>
{% for row in section.grid.rows %}{% if loop.index0 in section.labels %}
<tr class="group"><td colspan="{{ row | length }}">{{ section.labels[loop.index0] }}</td></tr>{% endif %}
<tr{% if row[0] == "1" %} class="first"{% endif %}>
{%- for cell in row %}<td{{ section.grid.columns[loop.index0] | kind(cell) }}>{{ cell | breakable }}</td>{% endfor -%}
</tr>
{%- endfor %}
</tbody></table></div>
{% if section.plot %}{% set plot = section.plot %}
<svg viewBox="0 0 {{ plot.width }} {{ plot.height }}" width="{{ plot.width }}" role="img" aria-label="{{ plot.label }}">
<line x1="{{ plot.zero }}" x2="{{ plot.zero }}" y1="4" y2="{{ plot.height - 22 }}" stroke="var(--line)"/>
<text class="axis" x="{{ plot.left }}" y="{{ plot.height - 6 }}">{{ plot.label }}</text>
{% for mark in plot.marks %}
<text x="{{ plot.left - 14 }}" y="{{ mark.y + 4 }}" text-anchor="end">{{ mark.name | shortened }}
<title>{{ mark.name }}</title></text>
{% if mark.low is not none %}
<line x1="{{ mark.low }}" x2="{{ mark.high }}" y1="{{ mark.y }}" y2="{{ mark.y }}" class="interval"/>
{% endif %}
<circle cx="{{ mark.x }}" cy="{{ mark.y }}" r="4" fill="var(--accent)"/>
<text class="axis" x="{{ plot.width - 4 }}" y="{{ mark.y + 4 }}" text-anchor="end">{{ mark.text }}</text>
{% endfor %}
</svg>{% endif %}
{{ section.figure }}
<div class="below">{% for line in section.below %}<p>{{ line }}</p>{% endfor %}</div>
{% else %}<p>{{ report.nothing }}</p>
{% endfor %}
{% if report.endings %}
<h2>Not in the ranking</h2>
<ul>{% for line in report.endings %}<li>{{ line }}</li>{% endfor %}</ul>{% endif %}
{% endfor %}
</body>
</html>
"""


@dataclass(frozen=True)
class Mark:
    """A gain in a plot: centre and ends of its interval in pixels (None without interval)."""

    name: str
    text: str
    y: float
    x: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Plot:
    """Gains over one reference with their intervals, as positions in pixels."""

    label: str
    marks: tuple[Mark, ...]
    zero: float
    height: int
    width: int
    left: int


def as_page(reports: Iterable[Report]) -> str:
    reports = list(reports)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["kind"] = _kind
    environment.filters["breakable"] = _breakable
    environment.filters["shortened"] = _shortened
    title = "kdharness: " + ", ".join(report.name or "results" for report in reports)
    return environment.from_string(TEMPLATE).render(title=title, reports=[_report(report) for report in reports]) + "\n"


def plot_of(view: SettingView) -> Plot | None:
    """Of the gains over the first reference that has any; None without one."""
    if not view.references:
        return None
    name = f"gain_over_{view.references[0]}"
    rows = [row for row in view.board.to_dict("records") if not pd.isna(row[name])]
    spread = [row[n] for row in rows for n in (name, f"{name}_ci_low", f"{name}_ci_high") if not pd.isna(row[n])]
    low, high = min(0.0, *spread), max(0.0, *spread)
    names = [name_of({str(k): v for k, v in row.items()}) for row in rows]
    left = 24 + round(LETTER_WIDTH * max((len(_shortened(name)) for name in names), default=0))
    scale = PLOT_WIDTH / ((high - low) or 1.0)

    def at(points: float) -> float | None:
        return None if pd.isna(points) else float(round(left + (points - low) * scale, 1))

    marks = tuple(
        Mark(
            name=names[i],
            text=f"{row[name]:+.2f}",
            y=ROW_HEIGHT * (i + 0.5),
            x=at(row[name]) or 0.0,
            low=at(row[f"{name}_ci_low"]),
            high=at(row[f"{name}_ci_high"]),
        )
        for i, row in enumerate(rows)
    )
    label = f"points over {view.references[0]}, 95 % interval"
    return Plot(label, marks, at(0.0) or 0.0, ROW_HEIGHT * len(rows) + 24, left + PLOT_WIDTH + RIGHT, left)


def _breakable(text: str) -> Markup:
    """A variant's name may be broken after each of its parameters."""
    return Markup(str(escape(text)).replace(",", ",<wbr>"))


def _shortened(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…"


def _report(report: Report) -> dict[str, Any]:
    gains = [plot_of(view) for view in report.settings]
    return {
        "name": report.name, "progress": report.progress, "note": report.note, "nothing": nothing(report),
        "endings": endings(report), "sections": _sections(report, gains),
    }  # fmt: skip


def _sections(report: Report, gains: Sequence[Plot | None]) -> list[dict[str, Any]]:
    official = sum(not view.deviations for view in report.settings)
    between: list[Plot | None] = [None] * len(report.overalls)
    after: list[Plot | None] = [None] * len(list(further(report)))
    ordered = [*gains[:official], *between, *gains[official:], *after]
    # `further` begins with the outputs.
    figures = [*[Markup()] * (len(ordered) - len(after)), *map(_figure, report.exits)]
    figures += [Markup()] * (len(ordered) - len(figures))
    return [
        {
            "title": section.title, "grid": section.grid, "banner": section.banner, "below": section.below,
            "labels": dict(section.grid.groups), "plot": plot, "figure": figure,
        }
        for section, plot, figure in zip(sections(report), ordered, figures, strict=True)
    ]  # fmt: skip


def _figure(view: ExitsView) -> Markup:
    """Drawn, or a line on what drawing needs."""
    if not plots.can_draw():
        return Markup("<p>{}</p>").format(plots.ADVICE)
    return Markup(plots.exits_svg(view))  # our own drawing: matplotlib escapes the names in it


def _kind(column: Any, cell: str = "") -> Any:
    classes = [
        *(["words"] if column.name or column.words else []),
        *([cell.partition(" (")[0].replace(" ", "-")] if column.words and cell else []),
    ]
    return Markup(' class="{}"').format(" ".join(classes)) if classes else ""
