"""How a run is shown while it works: live on a terminal, one plain line per finished cell elsewhere."""

from __future__ import annotations

import sys
from typing import IO, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kdharness.execution.tally import RunningGroup, Tally
from kdharness.planning.cell import Cell
from kdharness.results.origins import origin_of
from kdharness.results.record import Record, Status
from kdharness.text import duration, printable

STYLES = {Status.OK: "green", Status.NOT_RUN: "yellow", Status.INTERRUPTED: "yellow"}

# More running groups than this are counted, not listed.
MOST_GROUPS = 12
MOST_METHODS = 6


class Display(Protocol):
    """What a run tells the one who watches it."""

    def start(self, tally: Tally) -> None: ...

    def ended(self, cell: Cell, status: Status, record: Record | None = None, reason: str = "") -> None:
        """The tally counts the cell already. record: None for a cell that was not run."""

    def note(self, text: str) -> None:
        """One line on something out of the ordinary."""

    def refresh(self) -> None:
        """Called a few times a second."""

    def stop(self) -> None: ...


def make_display(stream: IO[str] | None = None, live: bool | None = None) -> Display:
    """The live display when `stream` (default stderr) is a terminal, plain lines otherwise. live: decides it instead.

    Plain lines suit an executor in this very process: a debugger needs the terminal.
    """
    console = Console(file=stream if stream is not None else sys.stderr)
    if live is None:
        live = console.is_terminal and not console.is_dumb_terminal
    return LiveDisplay(console) if live else PlainDisplay(console.file)


class PlainDisplay:
    """Lines without control codes, for logs and pipes."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._tally: Tally | None = None

    def start(self, tally: Tally) -> None:
        self._tally = tally

    def ended(self, cell: Cell, status: Status, record: Record | None = None, reason: str = "") -> None:
        place = f"[{self._tally.done}/{self._tally.total}] " if self._tally else ""
        self._print(place + cell_line(cell, status, record, reason))

    def note(self, text: str) -> None:
        self._print(text)

    def refresh(self) -> None:
        """Nothing moves."""

    def stop(self) -> None:
        """Nothing to put away."""

    def _print(self, line: str) -> None:
        print(printable(line), file=self._stream, flush=True)


class LiveDisplay:
    """A bar, the groups at work, speed and time left; above them a line for each cell that did not end well."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._tally: Tally | None = None

    def start(self, tally: Tally) -> None:
        self._tally = tally
        # Refreshed by the run's loop: a thread would read the tally while it changes.
        self._live = Live(render(tally), console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def ended(self, cell: Cell, status: Status, record: Record | None = None, reason: str = "") -> None:
        if status is not Status.OK or (record is not None and record.error_message):
            line = Text(printable(cell_line(cell, status, record, reason)))
            line.stylize(STYLES.get(status, "red"), 0, len(status.value))
            self._console.print(line)

    def note(self, text: str) -> None:
        self._console.print(Text(printable(text), style="yellow"))

    def refresh(self) -> None:
        if self._live is not None and self._tally is not None:
            self._live.update(render(self._tally), refresh=True)

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()


def cell_line(cell: Cell, status: Status, record: Record | None = None, reason: str = "") -> str:
    """'ok kd conv32:conv16 digits seed 0  top-1 96.1 %  1.4 s', or why the cell is not ok."""
    parts = [f"{status.value} {cell.label}"]
    if record is not None and status is Status.OK:
        top1, seconds = record.values.get("top1"), record.values.get("train_seconds")
        parts += [f"top-1 {top1:.1f} %"] if top1 is not None else []
        parts += [f"{seconds:.1f} s"] if seconds is not None else []
        parts.append(record.error_message)
    elif record is not None:
        message = record.error_message.strip().partition("\n")[0]
        parts.append(": ".join(text for text in (record.error_type, message) if text))
        if origin := origin_of(record.traceback):
            parts.append(f"({origin})")
    else:
        parts.append(reason)
    return "  ".join(part for part in parts if part)


def render(tally: Tally) -> Group:
    """The live display of a moment."""
    head = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=max(tally.total, 1), completed=tally.done, width=30)
    head.add_row(bar, Text(f"{tally.done}/{tally.total} cells"), Text(_speed(tally), style="dim"))
    groups = Table.grid(padding=(0, 2))
    shown = list(tally.groups.values())
    for group in shown[:MOST_GROUPS]:
        groups.add_row(*(Text(printable(text), overflow="ellipsis", no_wrap=True) for text in _group_row(group)))
    rest = len(shown) - MOST_GROUPS
    more = [Text(f"and {rest} more groups", style="dim")] if rest > 0 else []
    return Group(head, groups, *more)


def _speed(tally: Tally) -> str:
    failures = sum(n for status, n in tally.counts.items() if status in (Status.FAILED, Status.OOM, Status.TIMEOUT))
    speed, left = tally.images_per_second, tally.seconds_left
    parts = [
        f"{failures} failed" if failures else "",
        f"{speed:,.0f} images/s" if speed is not None else "",
        f"about {duration(left)} left" if left is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _group_row(group: RunningGroup) -> tuple[str, str, str, str]:
    epoch, epochs = group.epoch
    cells = len(group.cells)
    more = len(group.methods) - MOST_METHODS
    names = ", ".join(group.methods[:MOST_METHODS]) + (f" and {more} more" if more > 0 else "")
    return (
        f"{cells} cell{'s' if cells > 1 else ''}",
        f"epoch {epoch}/{epochs}" if epochs else "starting",
        group.label,
        names if cells > 1 else "",
    )
