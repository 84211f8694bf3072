"""Methods with several outputs: their table, and accuracy against compute as a plot."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest

from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.report import plots
from kdharness.report.page import as_page
from kdharness.report.terminal import as_text
from kdharness.report.view import report_of
from kdharness.results.record import MetricRow, Record
from kdharness.results.store import ResultsFolder

MACS = {"exit1": 100.0, "exit2": 200.0, "ensemble": 400.0}
TOP1 = {"exit1": 85.0, "exit2": 91.0, "ensemble": 92.0}


def with_exits(record: Record) -> Record:
    rows = [
        MetricRow(name, "test", metric, value)
        for name in MACS
        for metric, value in (
            ("macs", MACS[name]),
            ("top1", TOP1[name] + record.cell.seed),
            ("latency_seconds", 0.002),
            ("parameters", 5000.0),
        )
    ]
    return replace(record, metrics=tuple(rows), values={**record.values, "student_macs": 200})


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    plain = [
        replace(r, values={**r.values, "student_macs": 300}) for r in fabricate.records_of({"vanilla": [88.0] * 3})
    ]
    records = [*plain, *fabricate.records_of({"kd": [90.0] * 3})]
    records += [with_exits(r) for r in fabricate.records_of({"byot": [91.0, 92.0, 93.0]}, teacher=None)]
    return fabricate.write(tmp_path / "tiny", [r.cell for r in records], records)


def test_numbers_by_hand(folder: ResultsFolder) -> None:
    (view,) = report_of(folder).exits
    assert view.method == "byot"
    assert [each.name for each in view.exits] == ["exit1", "exit2", "ensemble"]
    first = view.exits[0]
    assert (first.top1.n, first.top1.mean, first.top1.sd) == (3, 86.0, 1.0)
    assert [each.saving for each in view.exits] == [3.0, 1.5, 0.75]
    assert (first.latency_seconds, first.parameters) == (0.002, 5000.0)
    assert view.plain is not None
    assert (view.plain[0].mean, view.plain[1]) == (88.0, 300.0)


def test_without_a_plain_student_the_main_output_is_the_measure(tmp_path: Path) -> None:
    records = [with_exits(r) for r in fabricate.records_of({"byot": [91.0]}, teacher=None)]
    (view,) = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records)).exits
    assert view.plain is None
    assert [each.saving for each in view.exits] == [2.0, 1.0, 0.5]


def test_one_output_is_no_section(tmp_path: Path) -> None:
    assert report_of(fabricate.tiny_world(tmp_path)).exits == ()


def test_the_terminal_table(folder: ResultsFolder) -> None:
    text = as_text([report_of(folder)], 100)
    assert "outputs of byot" in text
    (line,) = [line for line in text.splitlines() if line.startswith("exit1")]
    assert line.split() == ["exit1", "86.00", "±1.00", "3", "100", "3.00x", "2", "5", "k"]
    assert "operations of the plain student (88.00 %)" in text


def test_files_and_page(folder: ResultsFolder, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out, drawn = tmp_path / "page.html", tmp_path / "drawn"
    assert execute(["report", str(folder.path), "--format", "html", "--out", str(out), "--plots", str(drawn)]) == 0
    assert sorted(path.suffix for path in drawn.iterdir()) == [".png", ".svg"]
    (png,) = drawn.glob("*.png")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert out.read_text(encoding="utf-8").count("<svg") == 2  # gains, and outputs
    (view,) = report_of(folder).exits
    assert plots.exits_svg(view) == plots.exits_svg(view)


def test_without_matplotlib(folder: ResultsFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(plots, "can_draw", lambda: False)
    assert "pip install &#39;kdharness[plots]&#39;" in as_page([report_of(folder)])
    with pytest.raises(UserError, match=r"plots need matplotlib: pip install 'kdharness\[plots\]'"):
        plots.write_exits(report_of(folder).exits, tmp_path)
