"""results/reading.ipynb runs from top to bottom, without Jupyter."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = json.loads((ROOT / "results" / "reading.ipynb").read_text(encoding="utf-8"))
CODE = [cell for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


def last_value(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell; the value of its last line, which a notebook would show."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "reading.ipynb", "exec"), names)
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "reading.ipynb", "eval"), names)


def test_every_cell_runs_and_shows_something(monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    monkeypatch.chdir(ROOT / "results")
    names: dict[str, Any] = {}
    shown = [last_value("".join(cell["source"]), names) for cell in CODE]
    frames = [value for value in shown if isinstance(value, pd.DataFrame)]
    assert len(frames) == 5
    assert all(len(frame) for frame in frames)
    assert repr(shown[0]).startswith("Results(")
    assert frames[1].loc["top1", "unit"] == "%"
    assert names["figure"].axes[0].get_xlabel().startswith("gain over vanilla in points")
    monkeypatch.chdir(ROOT)
    exec("".join(CODE[0]["source"]), names)  # from the root of the repository, too


def test_outputs_are_not_kept():
    assert NOTEBOOK["nbformat"] == 4
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in CODE)
    assert len({cell["id"] for cell in NOTEBOOK["cells"]}) == len(NOTEBOOK["cells"])
