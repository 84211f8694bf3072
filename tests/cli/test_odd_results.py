"""Results that are odd: every command that reads them says what is so in plain lines, and none breaks."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest

from kdharness.cli.main import execute
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
