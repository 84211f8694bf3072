"""Results that are odd: every command that reads them says what is so in plain lines, and none breaks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import fabricate
import numpy as np
import pytest

import kdharness
from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.results.files import write_atomic
from kdharness.results.record import Record
from kdharness.results.seal import digest_of
from kdharness.results.store import ResultsFolder

NAMES = (
    "<script>alert(1)</script>",
    "=1+1",
    "nan",
    "a,b",
    "a|b",
    "50%",
    "r&d",
    "\x1b[31mred",
    "日本語",
    "метод",
    "'q'\"",
)


def made(path: Path, records: list[Record]) -> ResultsFolder:
    return fabricate.write(path / "tiny", [each.cell for each in records], records)


def of_scores(path: Path, scores: Mapping[str, list[float | None]]) -> ResultsFolder:
    return made(path, fabricate.records_of(scores))


def empty(path: Path) -> None:
    (path / "tiny").mkdir()


def only_failures(path: Path) -> None:
    of_scores(path, {"vanilla": [None, None], "kd": [None, None]})


def one_seed(path: Path) -> None:
    of_scores(path, {"vanilla": [88.0], "kd": [91.0]})


def one_method(path: Path) -> None:
    of_scores(path, {"attention_transfer": [90.0, 91.0, 92.0]})


def other_seeds(path: Path) -> None:
    late = [fabricate.record(fabricate.cell("kd", seed), 91.0 + seed / 10) for seed in (5, 6, 7)]
    made(path, [*fabricate.records_of({"vanilla": [88.0, 88.5, 87.9]}), *late])


def mixed_origins(path: Path) -> None:
    records = fabricate.records_of({"vanilla": [88.0, 88.5, 87.9], "kd": [91.0, 91.4, 90.9]})
    others = {"kdharness_version": "0.2.0", "torch_version": "3.0", "fingerprint": "cuda-def"}
    made(path, [replace(r, values={**r.values, **others}) if r.cell.method == "kd" else r for r in records])


def not_numbers(path: Path) -> None:
    """As a writer of their own may have left them, for kdharness leaves them out: NaN and infinity with a digest."""
    folder = of_scores(path, {"vanilla": [88.0, 88.5, 87.9], "kd": [91.0, 91.4, 90.9]})
    file = folder.cell(fabricate.cell("kd", 1).key).record
    data = json.loads(file.read_bytes())
    data["values"].update(top1=math.nan, nll=math.inf, x_own=-math.inf)
    data["metrics"][0]["value"] = math.nan
    write_atomic(file, json.dumps({**data, "digest": digest_of(data)}))


def odd_names(path: Path) -> None:
    records = [fabricate.record(fabricate.cell(name, seed), 90.0 + seed) for name in NAMES for seed in range(3)]
    made(path, [*records, *fabricate.records_of({"vanilla": [88.0, 88.5, 87.9], "kd": [91.0, 91.4, 90.9]})])


MAKERS: Mapping[str, Callable[[Path], None]] = {
    each.__name__: each
    for each in (empty, only_failures, one_seed, one_method, other_seeds, mixed_origins, not_numbers, odd_names)
}
COMMANDS: Mapping[str, list[str]] = {
    "status": ["status", "DIR"],
    "terminal": ["report", "DIR", "--all"],
    "html": ["report", "DIR", "--format", "html", "--out", "OUT.html"],
    "latex": ["report", "DIR", "--format", "latex"],
    "markdown": ["report", "DIR", "--format", "markdown"],
    "board": ["leaderboard", "DIR"],
    "csv": ["leaderboard", "DIR", "--out", "OUT.csv"],
    "compare": ["compare", "DIR"],
    "verify": ["verify", "DIR"],
    "bundle": ["bundle", "DIR", "--out", "OUT.zip"],
}


def ran(command: str, path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code, and all that it said and wrote as text."""
    places = {"DIR": str(path / "tiny"), **{f"OUT.{end}": str(path / f"out.{end}") for end in ("html", "csv", "zip")}}
    code = execute([places.get(word, word) for word in COMMANDS[command]])
    said = capsys.readouterr()
    texts = [said.out, said.err, *(p.read_text() for p in path.glob("out.[hc]*"))]
    return code, "\n".join(texts)


WAITING = "nothing is measured yet"
APART = "means are over different seeds: kd 5-7; the others 0-2"
SEVERAL = "results of several releases of kdharness: 0.1.0, 0.2.0"
ABSENT = "counts as absent (the value of 'nll' is not finite)"
# By condition, what a command says; "" for those that are not named.
SAYS: Mapping[str, Mapping[str, str]] = {
    "empty": {"": "holds no results; 'kdharness run --out"},
    "only_failures": {
        "": WAITING, "status": "failed", "html": "failed 4: vanilla conv16", "csv": ",kd,,,0,,,,",
        "verify": "4 cells planned (4 failed), 4 records", "bundle": "9 files",
    },
    "one_seed": {
        "": "no interval below 3 seeds", "status": "ok", "csv": ",undecided,", "latex": "1 student seed, one teacher",
        "compare": "no test below two seeds, no interval and no verdict below 3", "verify": "found: 2 doubt",
        "bundle": "3 files",
    },
    "one_method": {
        "": "over 3 student seeds, one teacher", "status": "ok", "csv": ",attention_transfer,,last,3,0-2,91.0,",
        "compare": "none of the usual references is here (vanilla, kd); --reference names another method",
        "verify": "and 2 more: ok without a predictions.npz", "bundle": "4 files",
    },
    "other_seeds": {
        "": APART, "status": "ok", "latex": "dagger", "csv": ",kd,,last,3,5-7,",
        "verify": "were not asked for: kd 0-2, vanilla 5-7",
        "compare": "no seed in common with kd, and so not compared: vanilla", "bundle": "7 files",
    },
    "mixed_origins": {
        "": "cuda-def · and 1 other fingerprint", "status": "ok", "board": SEVERAL, "csv": SEVERAL, "compare": SEVERAL,
        "latex": "3 student seeds", "verify": "found: 2 doubt", "bundle": "7 files",
    },
    "not_numbers": {"": ABSENT, "verify": "the value of 'nll' is not finite"},
    "odd_names": {
        "": "日本語", "status": "39", "csv": "'=1+1", "verify": "39 cells planned (39 ok)", "bundle": "40 files",
    },
}  # fmt: skip
CODES = {("one_method", "compare"): 2, ("not_numbers", "verify"): 1, **{("empty", command): 2 for command in COMMANDS}}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("condition", MAKERS)
def test_odd_results_are_said_plainly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], condition: str, command: str
) -> None:
    MAKERS[condition](tmp_path)
    code, text = ran(command, tmp_path, capsys)
    assert code == CODES.get((condition, command), 0)
    assert SAYS[condition].get(command, SAYS[condition][""]) in " ".join(text.split())
    assert all(line.isprintable() for line in text.split("\n"))
    assert "Traceback (most recent call last)" not in text


@pytest.mark.parametrize("condition", [name for name in MAKERS if name != "empty"])
def test_odd_results_are_frames(tmp_path: Path, condition: str, recwarn: pytest.WarningsRecorder) -> None:
    MAKERS[condition](tmp_path)
    results = kdharness.load(tmp_path / "tiny")
    assert len(results.cells) == len(list((tmp_path / "tiny" / "cells").iterdir()))
    assert np.isfinite(results.leaderboard["top1_mean"].dropna()).all()
    said = [str(warning.message) for warning in recwarn]
    assert [ABSENT in line for line in said] == ([True] if condition == "not_numbers" else [])
    assert condition != "odd_names" or set(results.cells["method"]) >= {"nan", "=1+1", "a,b", "日本語", "метод"}


def test_an_empty_folder_has_no_frames(tmp_path: Path) -> None:
    empty(tmp_path)
    with pytest.raises(UserError, match="holds no results"):
        kdharness.load(tmp_path / "tiny")
