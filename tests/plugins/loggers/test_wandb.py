"""The logger for Weights & Biases, offline; skipped where it is not installed."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("wandb")

from hearing import KD, ODD, tell
from kdharness_plugins.loggers.wandb import WeightsAndBiases

BLOCK_BYTES = 2**15
START_BYTES = 7
# Checksum, length, kind: 1 a whole record, 2 its first part, 3 a further one, 4 its last.
HEADER = struct.Struct("<IHB")
# W&B's own process writes what is left of a run's file after the run has ended here.
MOST_SECONDS = 30.0


def chunks(data: bytes) -> Iterator[bytes]:
    """The records of a .wandb file, which is a log as LevelDB writes it, after a head of its own."""
    place, parts = START_BYTES, b""
    while place + HEADER.size <= len(data):
        room = BLOCK_BYTES - place % BLOCK_BYTES
        if room < HEADER.size:
            place += room
            continue
        _, length, kind = HEADER.unpack_from(data, place)
        place += HEADER.size + length
        parts += data[place - length : place]
        if kind in (1, 4):
            yield parts
            parts = b""


def values(items: Iterable[Any]) -> dict[str, Any]:
    return {item.key or item.nested_key[0]: json.loads(item.value_json) for item in items}


def stored(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any], int]:
    """History, summary and config of a .wandb file, and the exit code."""
    from wandb.proto import wandb_internal_pb2

    history, summary, config, code = [], {}, {}, -1
    for chunk in chunks(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(chunk)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            history.append(values(record.history.item))
        elif kind == "summary":
            summary.update(values(record.summary.update))
        elif kind == "run":
            config.update(values(record.run.config.update))
        elif kind == "exit":
            code = record.exit.exit_code
    return history, summary, config, code


def test_a_run_for_each_cell_without_a_network(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    logger = WeightsAndBiases()
    tell(logger, tmp_path)
    logger.kdharness_run_finished()
    files = {
        path.stem.removeprefix("run-"): path for path in (tmp_path / "logs" / "wandb").glob("offline-run-*/*.wandb")
    }
    assert files.keys() == {KD.key, ODD.key}
    until = time.monotonic() + MOST_SECONDS
    while any(stored(path)[3] < 0 for path in files.values()) and time.monotonic() < until:
        time.sleep(0.1)
    history, summary, config, code = stored(files[KD.key])
    assert [(row["epoch"], row["train/ce"], row["train/kd"]) for row in history] == [(1, 2.0, 0.5), (2, 1.0, 0.5)]
    assert (summary["status"], summary["top1"]) == ("ok", 91.5)
    assert (config["method"], config["variant"], config["seed"]) == ("kd", "temperature=2", 0)
    assert code == 0
    assert stored(files[ODD.key])[3] == 1
