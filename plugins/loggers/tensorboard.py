"""TensorBoard: a run for each cell, in `logs/tensorboard` of the results folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kdharness.api import CellInfo, LoggerSpec, RunInfo, hookimpl

from ._numbers import measured, title

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class TensorBoard:
    """Loss terms and curves as `train/NAME` by epoch; numbers of the finished cell as `result/COLUMN`, at its last."""

    def __init__(self) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._new = SummaryWriter
        self._folder = Path()
        self._cells: dict[str, CellInfo] = {}
        self._writers: dict[str, SummaryWriter] = {}

    @hookimpl
    def kdharness_run_started(self, run: RunInfo) -> None:
        self._folder = Path(run.folder) / "logs" / FOLDER

    @hookimpl
    def kdharness_cell_started(self, cell: CellInfo) -> None:
        self._cells[cell.key] = cell

    @hookimpl
    def kdharness_epoch_finished(self, cell: CellInfo, epoch: int, values: Mapping[str, float]) -> None:
        self._cells[cell.key] = cell
        for name, value in values.items():
            self._writer(cell, epoch).add_scalar(f"train/{name}", value, epoch)

    @hookimpl
    def kdharness_cell_finished(self, record: Mapping[str, object]) -> None:
        cell, numbers = self._cells.pop(str(record.get("cell")), None), measured(record)
        if cell is not None:
            last = int(numbers.get("epochs", 0))
            for name, value in numbers.items():
                self._writer(cell, last).add_scalar(f"result/{name}", value, last)
            self._close(cell.key)

    @hookimpl
    def kdharness_run_finished(self) -> None:
        for key in list(self._writers):
            self._close(key)

    def _writer(self, cell: CellInfo, epoch: int) -> SummaryWriter:
        """The cell's. A cell that goes on from a checkpoint takes what was written of this epoch and later back."""
        if cell.key not in self._writers:
            self._writers[cell.key] = self._new(str(self._folder / title(cell)), purge_step=epoch)
        return self._writers[cell.key]

    def _close(self, key: str) -> None:
        if key in self._writers:
            self._writers.pop(key).close()


@hookimpl
def kdharness_loggers() -> Iterable[LoggerSpec]:
    yield LoggerSpec(
        "tensorboard",
        TensorBoard,
        summary=f"TensorBoard runs in logs/{FOLDER} of the results folder",
        needs=("tensorboard",),
        install="pip install 'kdharness[tensorboard]'",
    )
