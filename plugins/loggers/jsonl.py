"""JSON lines: what happens, one object a line, in `logs/events.jsonl` of the results folder. Later runs go on in it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO

from kdharness.api import CellInfo, LoggerSpec, RunInfo, hookimpl

FILE = "events.jsonl"


class JsonLines:
    """Writes each event when it is heard. What is no number is null; infinity is the text "inf"."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None

    @hookimpl
    def kdharness_run_started(self, run: RunInfo) -> None:
        path = Path(run.folder) / "logs" / FILE
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)
        self._end_torn_line(self._file)
        self._write("run_started", benchmark=run.benchmark, cells=run.cells, command=list(run.command))

    @hookimpl
    def kdharness_cell_started(self, cell: CellInfo) -> None:
        self._write("cell_started", **asdict(cell))

    @hookimpl
    def kdharness_epoch_finished(self, cell: CellInfo, epoch: int, values: Mapping[str, float]) -> None:
        self._write("epoch_finished", key=cell.key, epoch=epoch, values=dict(values))

    @hookimpl
    def kdharness_cell_finished(self, record: Mapping[str, object]) -> None:
        self._write("cell_finished", key=record.get("cell"), record=dict(record))

    @hookimpl
    def kdharness_run_finished(self, counts: Mapping[str, int]) -> None:
        self._write("run_finished", counts=dict(counts))
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, event: str, **said: object) -> None:
        if self._file is not None:
            line = json.dumps(_plain({"event": event, "time": time.time(), **said}), default=str, ensure_ascii=False)
            self._file.write(line.encode("utf-8", errors="backslashreplace") + b"\n")

    @staticmethod
    def _end_torn_line(file: IO[bytes]) -> None:
        """A run that was killed may have left half a line."""
        if file.seek(0, 2):
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")


def _plain(value: object) -> object:
    """JSON has no other numbers than finite ones."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


@hookimpl
def kdharness_loggers() -> Iterable[LoggerSpec]:
    yield LoggerSpec("jsonl", JsonLines, summary=f"JSON lines in logs/{FILE} of the results folder")
