"""Weights & Biases: a run for each cell, in `logs/wandb` of the results folder, offline unless WANDB_MODE says else.

`wandb sync` sends what was kept offline.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from kdharness.api import CellInfo, LoggerSpec, RunInfo, hookimpl

from ._numbers import measured, title

if TYPE_CHECKING:
    import wandb

OFFLINE = "offline"


class WeightsAndBiases:
    """Loss terms and curves as `train/NAME` by epoch; numbers of the finished cell in the run's summary.

    The project is the benchmark (WANDB_PROJECT names another), the group is what is compared, the run's id the key.
    """

    def __init__(self) -> None:
        import wandb

        self._wandb = wandb
        self._folder = Path()
        self._runs: dict[str, wandb.Run] = {}

    @hookimpl
    def kdharness_run_started(self, run: RunInfo) -> None:
        self._folder = Path(run.folder) / "logs"
        self._folder.mkdir(parents=True, exist_ok=True)

    @hookimpl
    def kdharness_epoch_finished(self, cell: CellInfo, epoch: int, values: Mapping[str, float]) -> None:
        numbers = {f"train/{name}": value for name, value in values.items()}
        self._run(cell).log({"epoch": epoch, **numbers}, step=epoch)

    @hookimpl
    def kdharness_cell_started(self, cell: CellInfo) -> None:
        self._run(cell)

    @hookimpl
    def kdharness_cell_finished(self, record: Mapping[str, object]) -> None:
        run = self._runs.pop(str(record.get("cell")), None)
        if run is not None:
            status = str(record.get("status"))
            run.summary.update({"status": status, **measured(record)})
            run.finish(exit_code=0 if status == "ok" else 1)

    @hookimpl
    def kdharness_run_finished(self) -> None:
        while self._runs:
            self._runs.popitem()[1].finish(exit_code=1)

    def _run(self, cell: CellInfo) -> wandb.Run:
        if cell.key not in self._runs:
            self._runs[cell.key] = self._begin(cell)
        return self._runs[cell.key]

    def _begin(self, cell: CellInfo) -> wandb.Run:
        mode = os.environ.get("WANDB_MODE") or OFFLINE
        return self._wandb.init(
            project=os.environ.get("WANDB_PROJECT") or cell.benchmark,
            group="-".join(filter(None, (cell.dataset, cell.scenario, cell.recipe, cell.teacher, cell.student))),
            job_type=cell.role,
            name=title(cell),
            id=cell.key,
            config=asdict(cell),
            dir=str(self._folder),
            mode=mode,
            resume=None if mode == OFFLINE else "allow",
            reinit="create_new",
            # The run's terminal is kdharness's own, and what the machine is stands in the record.
            settings=self._wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                disable_code=True,
                x_disable_meta=True,
                x_disable_stats=True,
            ),
        )


@hookimpl
def kdharness_loggers() -> Iterable[LoggerSpec]:
    yield LoggerSpec(
        "wandb",
        WeightsAndBiases,
        summary="Weights & Biases runs in logs/wandb of the results folder, offline unless WANDB_MODE says else",
        needs=("wandb",),
        install="pip install 'kdharness[wandb]'",
    )
