"""Names and messages from outside are data in every format: nothing in them is interpreted."""

from __future__ import annotations

import csv
import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fabricate
import pandas as pd
import pytest
from rich.console import Console

from kdharness.cli.main import execute
from kdharness.cli.session import RunRequest, dry
from kdharness.protocol.claim import Claim
from kdharness.registry.manager import Registry
from kdharness.report.figures import Mark, OutputFigure, OutputPoint
from kdharness.report.latex import as_latex
from kdharness.report.markdown import as_markdown
from kdharness.report.page import as_page
from kdharness.report.plots.files import rendered, write_figures
from kdharness.report.terminal import as_text
from kdharness.report.view import Report, report_of
from kdharness.results.foreign_rows import read_rows
from kdharness.results.history import write_history
from kdharness.results.record import MetricRow, Status
from kdharness.results.store import ResultsFolder
from kdharness.results.table import write_csv

CONTROL = "\x1b]0;title\x07\x1b[31mred\x9b2J\u202eright\r\n\u2028% next"
HTML, RICH, LATEX = "<script>alert(1)</script>", "[bold red]loud[/]", r"\input{/etc/passwd} $x_1$"
NASTY = f"=1+1|{HTML}|{RICH}|{LATEX}|{CONTROL}"


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    """A name with all of it wherever a name or a message can stand."""
    cells = [
        fabricate.cell(method, seed, student=NASTY) for method in ("vanilla", "kd", "fitnet") for seed in (0, 1, 2)
    ]
    records = [fabricate.record(cell, 90.0 + cell.seed) for cell in cells[:6]]
    records += [fabricate.record(cell, None, Status.FAILED, NASTY) for cell in cells[6:]]
    claim = Claim(text=NASTY, better="kd", than="vanilla")
    made = fabricate.write(tmp_path / "tiny", cells, records, claims=(claim,), note=NASTY)
    made.progress.write({"running": [{"cells": [cells[0].key], "label": NASTY}]})
    return made


@pytest.fixture
def report(folder: ResultsFolder) -> Report:
    return report_of(folder.load(), figures=True, appendix=True)


def is_clean(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


def test_nothing_controls_a_terminal(report: Report) -> None:
    text = as_text([report], 200)
    assert is_clean(text)
    assert HTML in text
    assert RICH in text


def test_nothing_is_a_tag_in_a_page(report: Report) -> None:
    page = as_page([report])
    assert is_clean(page)
    assert page.count("<script") == 1  # the page's own
    assert "&lt;script&gt;" in page


def test_nothing_is_a_command_or_ends_a_comment_in_latex(report: Report) -> None:
    text = as_latex([report]).replace(r"\allowbreak{}", "")
    assert is_clean(text)
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    assert not [line for line in lines if re.search(r"\\input|(?<!\\)\$x", line)]
    assert r"\textbackslash{}input\{/etc/passwd\} \$x\_1\$" in text
    assert not [line for line in text.splitlines() if line.startswith("next")]


def test_a_row_that_begins_with_a_bracket_is_no_argument_of_the_row_before() -> None:
    from kdharness.report.tex.floats import line

    assert line(["[2cm]", "1"]) == r"{}[2cm] & 1 \\"
    assert line(["*", "1"]) == r"{}* & 1 \\"
    assert line(["kd[t=2]", "1"]) == r"kd[t=2] & 1 \\"


def test_nothing_is_markup_in_markdown(report: Report) -> None:
    text = as_markdown([report])
    assert is_clean(text)
    assert "<script" not in text.replace(r"\<script", "")
    assert r"\$x\_1\$" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. a", r"1\. a"),
        ("- a", r"\- a"),
        ("+ a", r"\+ a"),
        ("&lt;", r"\&lt;"),
        ("~~a~~", r"\~\~a\~\~"),
        ("-0.5", "-0.5"),
        ("@someone", "@<!-- -->someone"),
        ("a@b.org", "a@<!-- -->b.org"),
        ("org/repo#12", r"org/repo\#<!-- -->12"),
        ("# vs", r"\# vs"),
        ("see https://x.org", "see https:<!-- -->//x.org"),
        ("WWW.x.org", "WWW<!-- -->.x.org"),
        ("a|`b`|c", r"a\|\`b\`\|c"),
    ],
)
def test_markdown_of_a_name_is_the_name(text: str, expected: str) -> None:
    from kdharness.report.markdown import _escape

    assert _escape(text) == expected


@pytest.mark.parametrize("command", ["status", "report", "leaderboard"])
def test_commands_print_nothing_that_controls_a_terminal(
    folder: ResultsFolder, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    folder.cell("\x1b[31mkey").folder.mkdir()
    (folder.cell("\x1b[31mkey").record).write_text("{")
    hostile = folder.path.rename(folder.path.with_name("ti\x1b[31m[red]ny"))
    assert execute([command, str(hostile)]) == 0
    said = capsys.readouterr()
    assert is_clean(said.out)
    assert is_clean(said.err)
    assert "cannot be read" in said.err
    assert execute([command, "no\x1b[31m\nwhere"]) == 2
    assert is_clean(capsys.readouterr().err)


def test_a_table_has_no_formula_and_comes_back_as_it_was(folder: ResultsFolder, tmp_path: Path) -> None:
    frame = folder.load().frame.assign(**{"x_=a\nb\x1b": 1.0})
    path = tmp_path / "results.csv"
    write_csv(frame, path)
    rows = list(csv.reader(io.StringIO(path.read_text())))
    assert len(rows) == 1 + len(frame)
    assert all(cell.isprintable() for row in rows for cell in row)
    texts = [cell for row in rows for cell in row if not is_number(cell)]
    assert not [text for text in texts if text.startswith(("=", "+", "-", "@"))]
    assert pd.read_csv(path)["student"].str.startswith("'=1+1").all()
    assert [row["student"] for row in read_rows(path)] == frame["student"].to_list()


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def test_metrics_and_curves_have_no_formula(folder: ResultsFolder, tmp_path: Path) -> None:
    cell = fabricate.cell("vanilla", 0, student=NASTY)
    record = fabricate.record(cell)
    folder.write_record(replace(record, metrics=(MetricRow("@a\x1bb", "-c", "+d", -1.5),)))
    frame = folder.load().metrics_frame
    path = tmp_path / "metrics.csv"
    write_csv(frame[frame["cell"] == cell.key], path)
    assert path.read_text().splitlines()[1] == f"{cell.key},'@a b,'-c,'+d,-1.5"
    write_history(path, [(1, "=test", "@a", "top1", -2.0)])
    assert path.read_text().splitlines()[1:] == ["1,'=test,'@a,top1,-2.0"]


def test_a_figures_title_is_no_formula_and_its_file_stays_in_the_folder(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = (OutputPoint(Mark.PLAIN, "$\\frac{", 1e6, 90.0, 1.0),)
    figure = OutputFigure("../../$\\frac{ \x1b" + "long " * 100, "", points)
    assert rendered(figure, "svg").startswith(b"<?xml")  # as a formula it could not be drawn: it is not a whole one
    paths = write_figures([figure], tmp_path / "drawn")
    assert [path.parent for path in paths] == [tmp_path / "drawn"] * 2
    assert all(path.is_file() for path in paths)


def test_a_plan_is_printed_without_markup(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    cell = fabricate.cell("vanilla", student="conv16", variant=RICH)
    document = {**cell.document, "student": {"name": "conv16"}, "teachers": []}
    cell = replace(cell, document=document)
    plan = fabricate.plan([cell], {cell.key: f"[/nothing] {RICH}\x1b"}, benchmark="[/tiny]")
    request = RunRequest(
        plan=plan,
        registry=Registry.load(),
        out=tmp_path,
        devices=("cpu",),
        executor="inline",
        data_root=tmp_path,
        download=False,
        plugin_files=(),
        timeout_seconds=None,
        teacher_top1_floor=None,
        rerun=None,
        show=lambda contents: None,
    )
    assert dry(request) == 0
    text = capsys.readouterr().out
    assert "plan of '[/tiny]'" in text
    assert f"vanilla[{RICH}]" in text
    assert f"skip: [/nothing] {RICH}" in text
    assert is_clean(text)
    assert Console().width == 300


@pytest.mark.parametrize("encoding", ["ascii", "cp932", "latin-1", "utf-8"])
@pytest.mark.parametrize("command", ["status", "report", "leaderboard"])
def test_a_narrow_encoding_ends_no_command(folder: ResultsFolder, command: str, encoding: str) -> None:
    environment = {**os.environ, "LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}
    program = "from kdharness.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, command, str(folder.path)], capture_output=True, env=environment, check=False
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    assert b"tiny" in done.stdout or b"vanilla" in done.stdout


@pytest.mark.parametrize("command", ["status", "report", "leaderboard"])
def test_a_reader_that_leaves_early_is_no_fault(folder: ResultsFolder, command: str) -> None:
    program = "from kdharness.cli.main import main; main()"
    shell = f"'{sys.executable}' -c '{program}' {command} '{folder.path}' | head -n 1"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr
    assert len(done.stdout.splitlines()) == 1
