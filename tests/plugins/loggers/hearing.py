"""Two cells' events, as a run would tell a logger of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from kdharness.api import CellInfo, RunInfo

KD = CellInfo("a" * 20, "tiny", "digits", "clean", "student", "kd", "temperature=2", "conv32", "conv16", 0, "standard")
ODD = CellInfo("b" * 20, "tiny", "digits", "clean", "student", "../=1+1 <b>", "", "", "conv16", 1, "standard")


def record(cell: CellInfo, **values: Any) -> dict[str, Any]:
    return {"cell": cell.key, "status": "ok", "seed": cell.seed, "group_size": 2, "method": cell.method, **values}


def tell(logger: Any, folder: Path) -> None:
    """One cell that ends well, one that is cut off."""
    logger.kdharness_run_started(run=RunInfo("tiny", folder, 2, ("run", "tiny")))
    if hasattr(logger, "kdharness_cell_started"):
        logger.kdharness_cell_started(cell=KD)
        logger.kdharness_cell_started(cell=ODD)
    for epoch in (1, 2):
        logger.kdharness_epoch_finished(cell=KD, epoch=epoch, values={"ce": 2.0 / epoch, "kd": 0.5})
    logger.kdharness_epoch_finished(cell=ODD, epoch=1, values={"ce": math.nan})
    logger.kdharness_cell_finished(record=record(KD, top1=91.5, epochs=2, epsilon=math.inf))
