"""Reports as one HTML page that stands by itself: no script, no font, no picture from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from jinja2 import Environment
from markupsafe import Markup, escape

from kdharness.report.document import endings, nothing, sections
from kdharness.report.sections.grid import Column
from kdharness.report.svg import as_svg
from kdharness.report.view import Report

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
{% set labels = dict(section.grid.groups) %}
{% for row in section.grid.rows %}{% if loop.index0 in labels %}
<tr class="group"><td colspan="{{ row | length }}">{{ labels[loop.index0] }}</td></tr>{% endif %}
<tr{% if row[0] == "1" %} class="first"{% endif %}>
{%- for cell in row %}<td{{ section.grid.columns[loop.index0] | kind(cell) }}>{{ cell | breakable }}</td>{% endfor -%}
</tr>
{%- endfor %}
</tbody></table></div>
{% for figure in section.figures %}
{{ figure | drawn }}
{% endfor %}
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


def as_page(reports: Iterable[Report]) -> str:
    reports = list(reports)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(kind=_kind, breakable=_breakable, drawn=as_svg)
    title = "kdharness: " + ", ".join(report.name or "results" for report in reports)
    return environment.from_string(TEMPLATE).render(title=title, reports=[_report(report) for report in reports]) + "\n"


def _report(report: Report) -> dict[str, Any]:
    return {
        "name": report.name, "progress": report.progress, "note": report.note, "nothing": nothing(report),
        "endings": endings(report), "sections": list(sections(report)),
    }  # fmt: skip


def _breakable(text: str) -> Markup:
    """A variant's name may be broken after each of its parameters."""
    return Markup(str(escape(text)).replace(",", ",<wbr>"))


def _kind(column: Column, cell: str = "") -> Markup:
    """The classes of a cell as an attribute: whether it holds words, and which, for some have a colour."""
    classes = [
        *(["words"] if column.name or column.words else []),
        *([cell.partition(" (")[0].replace(" ", "-")] if column.words and cell else []),
    ]
    return Markup(' class="{}"').format(" ".join(classes)) if classes else Markup()
