"""Findings for people, in 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from kdharness.device.names import is_cpu
from kdharness.speed.advice import Advice
from kdharness.speed.findings import STUDENT_ALONE, TEACHER_ALONE, Findings, Row, Spread
from kdharness.speed.random_images import evaluated_beside
from kdharness.speed.stopwatch import PARTS
from kdharness.text import printable

HEADS = {"teacher": "teach.", "student": "stud.", "optimizer": "optim.", "evaluation": "eval.", "backward": "backw."}


def shown(findings: Findings) -> Iterator[RenderableType]:
    """Speeds, parts, and dimly how they were measured."""
    rows = findings.rows()
    if not rows:
        yield Text("nothing was measured", style="bold")
        return
    yield Text(f"{findings.request.pair}, {findings.request.setting}", style="bold")
    yield _speeds(findings, rows)
    yield Text("percent of the time by part; operations of a step", style="bold")
    yield _parts(rows)
    for line in _remarks(findings, rows):
        yield Text(printable(line), style="dim")


def advice_table(advice: Advice) -> Table:
    """Times of settings, as multiples of fp32's."""
    table = _table(advice.pair, "time / fp32", "least", "most")
    for setting, ratio in advice.ratios.items():
        table.add_row(Text(str(setting)), *(f"{value:.2f}" for value in (ratio.median, ratio.low, ratio.high)))
    return table


def _table(*heads: str, gap: int = 2) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for number, head in enumerate(heads):
        table.add_column(Text(head), justify="right" if number else "left", no_wrap=True)
    return table


def _speeds(findings: Findings, rows: list[Row]) -> Table:
    table = _table("", "images/s", "s/epoch", "cells/h", "to plain", "to solo", "of bound")
    for row in rows:
        reached = row.share_of_bound
        table.add_row(
            Text(row.label),
            _with_spread(findings.images_per_second(row)),
            _number(findings.counted(row).median / len(row.methods)),
            _number(findings.cells_per_hour(row).median),
            _ratio(row.to_plain),
            _ratio(row.to_solo),
            "" if reached is None else f"{reached:.0%} of {row.bound:.2f}",
        )
    return table


def _parts(rows: list[Row]) -> Table:
    table = _table("", *(HEADS.get(part, part) for part in PARTS), "MiB", "oper.", gap=1)
    for row in rows:
        shares = (f"{100 * row.parts[part]:.0f}" for part in PARTS)
        memory = f"{row.memory_bytes / 2**20:.0f}" if row.memory_bytes else ""
        operations = "" if math.isnan(row.operations) else f"{row.operations:.0f}"
        table.add_row(Text(row.label), *shares, memory, operations)
    return table


def _remarks(findings: Findings, rows: list[Row]) -> Iterator[str]:
    request = findings.request
    yield f"methods: {', '.join(request.methods)}"
    if findings.served and findings.served != request.methods:
        yield f"table, and the group beside it: {', '.join(findings.served)}, which read no maps"
    teacher, student = findings.alone(TEACHER_ALONE), findings.alone(STUDENT_ALONE)
    if student is not None:
        forward = "no teacher" if teacher is None else f"teacher forward T {_number(teacher)} s"
        yield f"{forward}, student step S {_number(student)} s per epoch; bound N(T+S)/(T+NS), with a table (T+S)/S"
    if findings.paid_after_epochs is not None and findings.fill_seconds is not None:
        yield (
            f"a table of all {findings.pictures} pictures of each image takes {_number(findings.fill_seconds)} s;"
            f" it has paid after {math.ceil(findings.paid_after_epochs)} epochs of its group"
        )
    seconds = "CPU seconds of this process and its children" if is_cpu(request.device) else "seconds"
    least, most = min(row.rounds for row in rows), max(row.rounds for row in rows)
    measured = f"{least}" if least == most else f"{least} to {most}"
    rounds = f"{measured} rounds in turn of {request.repeats}, medians (least to most), {seconds}"
    yield f"{rounds}; {request.images} random images, {evaluated_beside(request.images)} for evaluation"
    yield f"batches of {request.batch_size}; cells/h: {request.epochs} epochs of {request.train_images} images"
    yield f"plain: fp32, {request.loaders} processes that make pictures; {findings.where}"


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _with_spread(spread: Spread) -> str:
    return f"{_number(spread.median)} ({_number(spread.low)}-{_number(spread.high)})"


def _ratio(spread: Spread | None) -> str:
    return "" if spread is None else f"{spread.median:.2f}"
