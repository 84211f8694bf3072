"""What the outputs of a method with several are worth, and what they cost."""

from __future__ import annotations

import math

from kdharness.report.figures import Mark, OutputFigure, OutputPoint
from kdharness.report.sections.captions import over_seeds
from kdharness.report.sections.grid import COST, MEMORY, Column, Grid, count_text, with_error
from kdharness.report.sections.section import Section, SectionKind, Short
from kdharness.report.sections.titles import banner, setting_title
from kdharness.stats.exits import MethodExits
from kdharness.stats.summary import Estimate

MOST_IN_SHORT = 6


def outputs_section(outputs: MethodExits) -> Section:
    what = f"outputs of {outputs.method}"
    title = setting_title(outputs.names, what)
    departs = banner(outputs.deviations)
    return Section(
        SectionKind.OUTPUTS,
        title,
        outputs_grid(outputs),
        departs,
        how=(_how(outputs), f"± standard deviation {_over(outputs)}"),
        figures=(output_figure(outputs, title),),
        short=Short(what, setting_title(outputs.names), _in_short(outputs)),
    )


def _in_short(outputs: MethodExits) -> str:
    """'top-1 in % (saving) exit1 68.44 (2.17x), exit2 73.02 (1.37x)', of the first ones and the last."""
    each = [f"{e.name} {e.top1.mean:.2f} ({e.saving:.2f}x)" for e in outputs.exits]
    kept = each if len(each) <= MOST_IN_SHORT else [*each[: MOST_IN_SHORT - 1], "...", each[-1]]
    return f"top-1 in % (saving) {', '.join(kept)}"


def outputs_grid(outputs: MethodExits) -> Grid:
    exits = outputs.exits
    found = [
        Column("output", tuple(each.name for each in exits), name=True),
        Column("top-1 ±sd", with_error([e.top1.mean for e in exits], [e.top1.sd for e in exits])),
        Column("n", tuple(str(each.top1.n) for each in exits)),
        Column("operations", tuple(count_text(each.macs) for each in exits)),
        Column("saving", tuple(f"{each.saving:.2f}x" for each in exits)),
    ]
    if any(not math.isnan(each.latency_seconds) for each in exits):
        found.append(Column("ms/image", tuple(f"{each.latency_seconds * 1000:.3g}" for each in exits), dropped=COST))
    if any(not math.isnan(each.parameters) for each in exits):
        found.append(Column("parameters", tuple(count_text(each.parameters) for each in exits), dropped=MEMORY))
    return Grid(tuple(found))


def output_figure(outputs: MethodExits, title: str) -> OutputFigure:
    points = [
        _point(Mark.ENSEMBLE if "ensemble" in each.name else Mark.EXIT, each.name, each.macs, each.top1)
        for each in outputs.exits
    ]
    if outputs.plain is not None:
        top1, macs = outputs.plain
        points.append(_point(Mark.PLAIN, "plain student", macs, top1))
    return OutputFigure(title, outputs.deviations, tuple(points))


def _point(mark: Mark, name: str, macs: float, top1: Estimate) -> OutputPoint:
    return OutputPoint(mark, name, macs, top1.mean, (top1.ci_high - top1.ci_low) / 2)


def _over(outputs: MethodExits) -> str:
    return over_seeds(outputs.names, [each.top1.n for each in outputs.exits])


def _how(outputs: MethodExits) -> str:
    if outputs.plain is None:
        return "saving: operations of the main output over those of this one"
    top1, _ = outputs.plain
    return f"saving: operations of the plain student ({top1.mean:.2f} %) over those of this output"
