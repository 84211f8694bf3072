"""The logger for TensorBoard; skipped where it is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorboard")

from hearing import KD, ODD, tell
from kdharness_plugins.loggers.tensorboard import TensorBoard

from kdharness.api import RunInfo


def scalars(folder: Path) -> dict[str, dict[str, list[tuple[int, float]]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for run in sorted((folder / "logs" / "tensorboard").iterdir()):
        events = EventAccumulator(str(run))
        events.Reload()
        tags = events.Tags()["scalars"]
        found[run.name] = {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}
    return found


def test_a_run_for_each_cell(tmp_path):
    logger = TensorBoard()
    tell(logger, tmp_path)
    logger.kdharness_run_finished()
    found = scalars(tmp_path)
    kd, odd = (next(name for name in found if name.endswith(cell.key[:8])) for cell in (KD, ODD))
    assert kd == "digits-clean-standard-student-kd[temperature=2]-conv32-conv16-seed0-aaaaaaaa"
    assert found[kd] == {
        "train/ce": [(1, 2.0), (2, 1.0)],
        "train/kd": [(1, 0.5), (2, 0.5)],
        "result/top1": [(2, 91.5)],
        "result/epochs": [(2, 2.0)],
    }
    assert list(found[odd]) == ["train/ce"]
    assert len(found) == 2  # no name led out of the folder


def test_a_cell_that_goes_on_takes_back_what_it_does_again(tmp_path):
    for epochs in ((1, 2), (2, 3)):
        logger = TensorBoard()
        logger.kdharness_run_started(run=RunInfo("tiny", tmp_path, 1))
        for epoch in epochs:
            logger.kdharness_epoch_finished(cell=KD, epoch=epoch, values={"ce": float(10 * epochs[0] + epoch)})
        logger.kdharness_run_finished()
    (found,) = scalars(tmp_path).values()
    assert found["train/ce"] == [(1, 11.0), (2, 22.0), (3, 23.0)]
