"""What audits are made of: recorded by a run, for its owner alone, and read again."""

from __future__ import annotations

import stat
from pathlib import Path

import fabricate
import numpy as np
import pandas as pd
import pytest

from kdharness.cli.main import execute
from kdharness.results.audits import Audit, read_audit, write_audit
from kdharness.results.record import Status
from kdharness.results.store import ResultsFolder

AUDIT = Audit(np.arange(3), np.array([True, False, True]), np.array([True, False, False]), np.array([1.0, -2.0, 0.5]))

BENCHMARK = """
name = "coins"
summary = "Half of the private digits are tossed for."
datasets = ["digits"]
pairs = ["conv8:conv8"]
seeds = "0-1"
scenarios = ["audit"]
scenario_seeds = "paired"

[recipe]
epochs = 1

[scenario.audit]
kind = "split"
public = 0.8
candidates = 0.5
canaries = 10
"""


def test_round_trip(tmp_path: Path) -> None:
    files = ResultsFolder(tmp_path / "tiny").cell(fabricate.cell().key)
    assert read_audit(files.audit) is None
    write_audit(files, AUDIT)
    found = read_audit(files.audit)
    assert found is not None
    assert found.teacher_confidence is None
    for name, values in AUDIT.arrays().items():
        assert np.array_equal(getattr(found, name), values), name
    for folder in (tmp_path / "tiny" / "private", files.audit.parent.parent, files.audit.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not files.shelter.exists(), "its other files stay where they are"


@pytest.mark.parametrize("damage", ["cut", "other names", "other lengths", "no archive"])
def test_a_damaged_one_counts_as_none(tmp_path: Path, damage: str) -> None:
    files = ResultsFolder(tmp_path).cell("a")
    write_audit(files, AUDIT)
    if damage == "cut":
        files.audit.write_bytes(files.audit.read_bytes()[:-30])
    elif damage == "no archive":
        files.audit.write_text("nothing")
    else:
        changed = {"candidates": np.arange(2)} if damage == "other lengths" else {"more": np.arange(3)}
        np.savez(files.audit, **{**AUDIT.arrays(), **changed})
    assert read_audit(files.audit) is None


def test_pruning_removes_it(tmp_path: Path) -> None:
    folder, gone = ResultsFolder(tmp_path / "tiny"), fabricate.cell()
    folder.plans.write(fabricate.plan([gone]))
    folder.write_record(fabricate.record(gone, None, Status.FAILED))
    write_audit(folder.cell(gone.key), AUDIT)
    folder.plans.write(fabricate.plan([fabricate.cell("vanilla")], created_at="2025-01-02T00:00:00+00:00"))
    assert execute(["results", "prune", str(folder.path), "--yes"]) == 0
    assert not folder.cell(gone.key).audit.parent.exists()


def test_a_run_keeps_and_reports_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = tmp_path / "coins.toml"
    benchmark.write_text(BENCHMARK)
    run = ["run", str(benchmark), "--methods", "vanilla,kd", "--out", str(tmp_path / "out")]
    assert execute([*run, "--executor", "inline", "--yes"]) == 0
    assert "membership audit" in capsys.readouterr().out
    folder = ResultsFolder(tmp_path / "out" / "coins")
    contents = folder.load()
    students = {key: r.cell for key, r in contents.current.items() if r.cell.role == "student"}
    assert set(contents.audits) == set(students)
    assert not contents.doubts
    by_method: dict[str, list[Audit]] = {"vanilla": [], "kd": []}
    for key, cell in sorted(students.items(), key=lambda each: each[1].seed):
        by_method[cell.method].append(contents.audits[key])
        assert "audit.npz" in contents.current[key].files
    for method, (first, second) in by_method.items():
        assert len(first.candidates) == 100
        assert (first.candidates == second.candidates).all()
        assert (first.members != second.members).any()
        assert (first.canaries == second.canaries).all()
        assert first.canaries.sum() == 10
        assert (first.teacher_confidence is None) is (method == "vanilla")
    assert (by_method["kd"][0].members == by_method["vanilla"][0].members).all(), "one draw for all methods of a seed"
    table = pd.read_csv(folder.tables.audit)
    assert set(table["attack"]) == {"lira", "threshold", "coins"}
    assert set(table["draws"]) == {2}
    key = next(iter(students))
    folder.cell(key).audit.write_bytes(b"other")
    assert f"private/audit/{key}/audit.npz" in "".join(folder.load().doubts)
