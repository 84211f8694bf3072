"""What a run shows: plain lines in a log, a live display on a terminal."""

from __future__ import annotations

import io
from collections import Counter

import pytest
from fake_groups import make_cell, make_teacher
from rich.console import Console

from kdharness.api.executors import EpochFinished
from kdharness.execution.display import LiveDisplay, PlainDisplay, make_display, render
from kdharness.execution.tally import Tally
from kdharness.planning.cell_group import CellGroup
from kdharness.results.record import Record, Status

TEACHER = make_teacher()
CELL = make_cell("kd", teachers=(TEACHER,))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def a_tally(done: int = 12) -> Tally:
    ticks = iter(range(0, 1000, 10))
    return Tally(71, Counter({Status.OK: done}), clock=lambda: next(ticks))


def test_a_plain_line_per_cell() -> None:
    stream = io.StringIO()
    display = make_display(stream)
    assert isinstance(display, PlainDisplay)
    display.start(a_tally())
    display.ended(CELL, Status.OK, Record(CELL, Status.OK, {"top1": 96.125, "train_seconds": 1.44}))
    display.ended(CELL, Status.FAILED, Record(CELL, Status.FAILED, error_type="ValueError", error_message="bad\nvery"))
    display.ended(CELL, Status.NOT_RUN, reason="teacher conv32 seed 0 failed")
    display.refresh()
    display.stop()
    assert stream.getvalue().splitlines() == [
        "[12/71] ok kd conv32:conv16 digits seed 0  top-1 96.1 %  1.4 s",
        "[12/71] failed kd conv32:conv16 digits seed 0  ValueError: bad",
        "[12/71] not_run kd conv32:conv16 digits seed 0  teacher conv32 seed 0 failed",
    ]


def test_numbers_that_were_not_measured_are_not_shown() -> None:
    stream = io.StringIO()
    make_display(stream).ended(CELL, Status.OK, Record(CELL, Status.OK))
    assert stream.getvalue() == "ok kd conv32:conv16 digits seed 0\n"


def test_a_terminal_gets_the_live_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert isinstance(make_display(Terminal()), LiveDisplay)
    assert isinstance(make_display(Terminal(), live=False), PlainDisplay)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(make_display(Terminal()), PlainDisplay)


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown() -> str:
        stream = Terminal()
        display = make_display(stream, live=True)
        display.start(a_tally())
        display.ended(CELL, Status.FAILED, Record(CELL, Status.FAILED, error_type="ValueError"))
        display.stop()
        return stream.getvalue()

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[31m" in shown()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in shown()
    assert "failed kd" in shown()


def test_the_live_display_says_what_runs_how_fast_and_how_long() -> None:
    tally = a_tally()
    cells = tuple(make_cell(name, teachers=(TEACHER,)) for name in ("kd", "at"))
    tally.begin(CellGroup(1, cells))
    tally.note(EpochFinished(1, cells[0].key, 3, 10, 5000, {}))
    console = Console(width=160, file=io.StringIO())
    console.print(render(tally))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("12/71 cells", "2 cells", "epoch 3/10", "conv32:conv16 digits seed 0", "kd, at", "images/s", "left"):
        assert part in text


def test_a_variant_s_brackets_are_no_markup() -> None:
    console = Console(width=160, file=io.StringIO(), force_terminal=False)
    LiveDisplay(console).note("kd[red] failed")
    assert "kd[red] failed" in console.file.getvalue()  # type: ignore[attr-defined]


def test_time_left_goes_by_the_work_done_in_this_run() -> None:
    ticks = iter([0.0, 100.0])
    tally = Tally(10, Counter({Status.OK: 4}), clock=lambda: next(ticks))
    tally.count(Status.OK)
    tally.count(Status.NOT_RUN)
    assert tally.seconds_left == 400.0


def test_nothing_is_foretold_before_anything_is_known() -> None:
    tally = a_tally()
    assert (tally.images_per_second, tally.seconds_left) == (None, None)
    assert tally.to_json()["running"] == []
