"""The logger for Weights & Biases, offline; skipped where it is not installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("wandb")

from hearing import KD, ODD, tell
from kdharness_plugins.loggers.wandb import WeightsAndBiases


def stored(path: Path) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any], int]:
    """History, summary and config of a .wandb file, and the exit code."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    history, summary, config, code = [], {}, {}, -1
    store = DataStore()
    store.open_for_scan(str(path))
    while (data := store.scan_data()) is not None:
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            items = record.history.item
            history.append({item.key or item.nested_key[0]: json.loads(item.value_json) for item in items})
        elif kind == "summary":
            summary.update(
                {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.summary.update}
            )
        elif kind == "run":
            config.update({item.key: json.loads(item.value_json) for item in record.run.config.update})
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
    history, summary, config, code = stored(files[KD.key])
    assert [(row["epoch"], row["train/ce"], row["train/kd"]) for row in history] == [(1, 2.0, 0.5), (2, 1.0, 0.5)]
    assert (summary["status"], summary["top1"]) == ("ok", 91.5)
    assert (config["method"], config["variant"], config["seed"]) == ("kd", "temperature=2", 0)
    assert code == 0
    assert stored(files[ODD.key])[3] == 1
