"""The logger of JSON lines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from hearing import KD, ODD, record, tell
from kdharness_plugins.loggers.jsonl import JsonLines

from kdharness.api import RunInfo
from kdharness.cli.main import execute
from kdharness.results.store import ResultsFolder


def lines(folder: Path) -> list[dict[str, Any]]:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    text = (folder / "logs" / "events.jsonl").read_text(encoding="utf-8")
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_a_line_for_each_event(tmp_path):
    logger = JsonLines()
    tell(logger, tmp_path)
    logger.kdharness_run_finished(counts={"ok": 1})
    said = lines(tmp_path)
    names = [line["event"] for line in said]
    assert names == [
        "run_started", "cell_started", "cell_started", *["epoch_finished"] * 3, "cell_finished", "run_finished",
    ]  # fmt: skip
    assert (said[0]["benchmark"], said[0]["cells"], said[0]["command"]) == ("tiny", 2, ["run", "tiny"])
    assert (said[1]["key"], said[1]["variant"], said[2]["method"]) == (KD.key, "temperature=2", ODD.method)
    assert (said[4]["epoch"], said[4]["values"]) == (2, {"ce": 1.0, "kd": 0.5})
    assert said[5]["values"] == {"ce": None}
    assert said[6]["record"] == {**record(KD, top1=91.5, epochs=2), "epsilon": "inf"}
    assert said[7]["counts"] == {"ok": 1}
    assert all(isinstance(line["time"], float) for line in said)


def test_a_later_run_goes_on_after_a_torn_line(tmp_path):
    path = tmp_path / "logs" / "events.jsonl"
    path.parent.mkdir()
    path.write_text('{"event": "cell_sta')
    logger = JsonLines()
    logger.kdharness_run_started(run=RunInfo("tiny", tmp_path, 0))
    logger.kdharness_cell_finished(record={"cell": "k", "error_message": "蒸留 \ud800 \x1b", "nll": math.nan})
    logger.kdharness_run_finished(counts={})
    torn, *rest = path.read_text(encoding="utf-8").splitlines()
    assert torn == '{"event": "cell_sta'
    assert [json.loads(line)["event"] for line in rest] == ["run_started", "cell_finished", "run_finished"]
    assert json.loads(rest[1])["record"]["nll"] is None
    logger.kdharness_cell_finished(record={})  # nothing is written after the end
    assert len(path.read_text(encoding="utf-8").splitlines()) == 4


def test_a_run_gives_the_same_bits_with_a_logger(tmp_path, capsys):
    folders = []
    for name, log in (("without", []), ("with", ["--log", "jsonl"])):
        command = ["run", "digits", "--methods", "vanilla", "--seeds", "0", "--epochs", "1", "--executor", "inline"]
        assert execute([*command, "--out", str(tmp_path / name), *log]) == 0
        folders.append(ResultsFolder(tmp_path / name / "digits"))
    capsys.readouterr()
    keys = list(folders[0].records())
    assert keys == list(folders[1].records())
    for key in keys:
        for file in ("history.csv", "predictions.npz"):
            one, other = (folder.cell(key).folder / file for folder in folders)
            assert one.read_bytes() == other.read_bytes(), file
    assert not (folders[0].path / "logs" / "events.jsonl").exists()
    said = lines(folders[1].path)
    assert [line["event"] for line in said if line["event"].startswith("run")] == ["run_started", "run_finished"]
    finished = [line["record"]["cell"] for line in said if line["event"] == "cell_finished"]
    assert sorted(finished) == sorted(keys)


def test_a_logger_that_there_is_not(tmp_path, capsys):
    assert execute(["run", "digits", "--log", "jsnl", "--out", str(tmp_path), "--dry-run"]) == 2
    assert "unknown logger 'jsnl' (--log); did you mean 'jsonl'?" in capsys.readouterr().err
