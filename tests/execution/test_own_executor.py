"""An executor of somebody else's, written against kdharness.api.executors: the one of plugins/README.md."""

from __future__ import annotations

import ast
import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_groups import RUNNER, Events, jobs_seen, make_cell, make_plan, make_settings

from kdharness.execution.display import PlainDisplay
from kdharness.execution.run import Outcome, execute
from kdharness.planning.plan import Plan
from kdharness.registry.manager import Registry
from kdharness.results.record import Status
from kdharness.results.store import ResultsFolder

README = Path(__file__).parents[2] / "plugins" / "README.md"
(SOURCE,) = (
    block
    for block in re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if "kdharness_executors" in block
)


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    (tmp_path / "fresh_processes.py").write_text(SOURCE)
    return tmp_path / "fresh_processes.py"


def run(plugin: Path, folder: ResultsFolder, plan: Plan) -> Outcome:
    """Trains the plan's made-up cells with the plugin's executor."""
    settings = make_settings(folder.path)
    executor = Registry.load([plugin]).get("executor", "fresh_processes").spec.factory(settings)
    return execute(plan, folder, settings, executor, Events(), PlainDisplay(io.StringIO()), runner=RUNNER)  # type: ignore[arg-type]


def test_it_imports_the_api_alone() -> None:
    modules = [node.module or "" for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.ImportFrom)]
    in_worker = re.findall(r"^from (\S+) import", SOURCE, re.MULTILINE)
    assert {name for name in (*modules, *in_worker) if name.startswith("kdharness")} == {
        "kdharness.api",
        "kdharness.api.executors",
    }


def test_the_command_trains_with_it(tmp_path: Path, plugin: Path) -> None:
    options = ["--methods", "vanilla", "--device", "cpu", "--epochs", "1", "--seeds", "0", "--out", "out"]
    command = ["kdharness", "run", "digits", "--plugin", str(plugin), "--executor", "fresh_processes", *options]
    done = subprocess.run([sys.executable, "-m", *command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out" / "digits" / "results.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["method"], row["status"], row["epochs"]) == ("vanilla", "ok", "1")
    assert "[1/1] ok vanilla" in done.stderr


def test_a_process_that_dies_is_reported_and_its_cells_are_tried_alone(
    tmp_path: Path, plugin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = (str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    good, bad, other = make_cell("a"), make_cell("dies_nowhere"), make_cell("b", seed=1)
    folder = ResultsFolder(tmp_path / "made_up")
    outcome = run(plugin, folder, make_plan(good, bad, other))
    assert outcome.statuses == {good.key: Status.OK, bad.key: Status.FAILED, other.key: Status.OK}
    jobs = jobs_seen(folder.path)
    assert [(alone, methods) for _, alone, methods in jobs] == [
        (False, ["a", "dies_nowhere"]),
        (True, ["a"]),
        (True, ["dies_nowhere"]),
        (False, ["b"]),
    ]
    assert len({pid for pid, _, _ in jobs}) == 4
    record = folder.read_record(bad.key)
    assert record is not None
    assert "exit code 4" in record.error_message
