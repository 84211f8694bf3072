"""The report in short: rankings whole, a line for each of the other sections and for each claim."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import pytest
from rich.console import Console

from kdharness.cli.main import execute
from kdharness.protocol.claim import Claim
from kdharness.report.document import in_short, sections
from kdharness.report.sections.section import SectionKind
from kdharness.report.terminal import as_text, shortened, show
from kdharness.report.view import Report, report_of
from kdharness.results.record import MetricRow, Record, Status
from kdharness.results.store import ResultsFolder

LONG = "Distillation between exits adds to training every exit on labels, at the end of the network: last exit"
PROTECTED = {"x_guard_epsilon": 4.0, "x_guard_delta": 1e-5, "x_guard_releases": 100.0, "x_guard_mu": 1.0}
MACS, TOP1 = {"exit1": 100.0, "exit2": 200.0}, {"exit1": 85.0, "exit2": 91.0}


def claim(text: str, better: str, than: str) -> Claim:
    return Claim(text=text, better=better, than=than, smaller=False, equal_within=0.2)


def records_of(**changes: Any) -> list[Record]:
    """Three methods, one of them with two exits and one with a budget."""
    found = []
    for seed in range(3):
        for position, method in enumerate(("vanilla", "kd", "byot", "guard")):
            cell = fabricate.cell(method, seed, scenario="split80", **changes)
            leak = {"x_mia_advantage": 0.01 * position} | (PROTECTED if method == "guard" else {})
            made = fabricate.record(
                cell, 88.0 + position + (0.1 + 0.01 * position) * seed, Status.OK, "", student_macs=400.0, **leak
            )
            rows = [
                MetricRow(name, "test", metric, value)
                for name in MACS
                for metric, value in (("macs", MACS[name]), ("top1", TOP1[name] + seed))
            ]
            found.append(replace(made, metrics=tuple(rows)) if method == "byot" else made)
    return found


CLAIMS = (claim(LONG, "kd", "vanilla"), claim("Wildness helps", "kd", "byot"), claim("Nobody asks", "slow", "kd"))


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    records = records_of()
    return fabricate.write(tmp_path / "tiny", [r.cell for r in records], records, claims=CLAIMS)


@pytest.fixture
def report(folder: ResultsFolder) -> Report:
    return report_of(folder.load())


def test_long_sections_are_a_line_each(report: Report) -> None:
    assert in_short(report) == (
        "outputs of byot: top-1 in % (saving) exit1 86.00 (4.00x), exit2 92.00 (2.00x)",
        "private images: 1 of 4 methods keep a budget (epsilon 4 a student), 1 ask no teacher that saw them, "
        "2 ask without protection; largest leak +3.00 ±0.00 points (guard)",
    )
    kinds = [section.kind for section in sections(report, whole=False)]
    assert kinds == [SectionKind.RANKING, SectionKind.CLAIMS_IN_SHORT]


def test_what_is_left_out_is_whole_on_request(folder: ResultsFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["report", str(folder.path)]) == 0
    short = capsys.readouterr().out
    assert "kdharness report DIR --all prints their tables and what each claim rests on" in short
    assert "exit1     86.00" not in short
    assert execute(["report", str(folder.path), "--all"]) == 0
    whole = capsys.readouterr().out
    assert "exit1   86.00 ±1.00" in whole
    assert "corrected together over all claims" in " ".join(whole.split())
    assert "report DIR --all" not in whole
    assert len(short.splitlines()) < len(whole.splitlines())


def test_a_claim_is_a_line_with_its_answer_and_numbers(report: Report) -> None:
    lines = as_text([report], 80, whole=False).splitlines()
    start = lines.index("Do the papers' claims hold here?")
    assert lines[start + 1].split() == ["answer", "difference", "claim"]
    assert lines[start + 2].startswith("holds          +1.01 ±0.02  Distillation between exits")
    assert lines[start + 2].endswith("last exit")
    assert "…" in lines[start + 2]
    assert lines[start + 3] == "does not hold  -1.01 ±0.02  Wildness helps"
    assert lines[start + 4] == "claims: 1 hold, 1 do not hold, 1 not measured"
    wide = as_text([report], 200, whole=False)
    assert f"holds          +1.01 ±0.02  <0.001  {LONG}" in wide


def test_lines_say_where_they_are_from_if_there_are_several_places(tmp_path: Path) -> None:
    records = [*records_of(), *records_of(student="conv8")]
    made = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records, claims=CLAIMS).load())
    starts = [line.partition(": ")[0] for line in in_short(made)]
    assert starts == [
        "outputs of byot (tiny · digits · split80 · conv32:conv16)",
        "outputs of byot (tiny · digits · split80 · conv32:conv8)",
        "private images (tiny · digits · split80 · conv32:conv16)",
        "private images (tiny · digits · split80 · conv32:conv8)",
    ]
    (claims,) = [each for each in sections(made, whole=False) if each.kind is SectionKind.CLAIMS_IN_SHORT]
    where = next(column for column in claims.grid.columns if column.header == "where")
    assert where.values[:2] == ("digits split80 conv32:conv16", "digits split80 conv32:conv8")


def test_what_deviates_says_so_in_its_line(tmp_path: Path) -> None:
    records = records_of(deviations="recipe.epochs=3", protocol="p2")
    made = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())
    assert in_short(made)[0].startswith("outputs of byot (deviates from the benchmark: recipe.epochs=3): top-1")


def test_nothing_is_announced_where_nothing_is_left_out(tmp_path: Path) -> None:
    made = report_of(fabricate.tiny_world(tmp_path).load())
    assert in_short(made) == ()
    assert as_text([made], 80, whole=False) == as_text([made], 80)


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("whole", [False, True])
def test_no_line_is_wider_than_the_terminal(report: Report, width: int, whole: bool) -> None:
    lines = as_text([report], width, whole).splitlines()
    tables = [line for line in lines if "top-1" not in line]
    assert max(map(len, tables if width == 40 else lines)) <= width


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [("short", 5, "short"), ("a long sentence", 10, "a long…nce"), ("a b c d e f", 7, "a b…f"), ("", 3, "")],
)
def test_the_middle_of_a_long_sentence_goes(text: str, width: int, expected: str) -> None:
    assert shortened(text, width) == expected
    assert len(shortened(text, width)) <= width


def test_colours_are_for_terminals_alone(report: Report) -> None:
    told = {}
    for name, terminal in (("terminal", True), ("file", False)):
        file = io.StringIO()
        console = Console(file=file, width=100, force_terminal=terminal, color_system="truecolor" if terminal else None)
        show(report, console, whole=False)
        told[name] = file.getvalue()
    assert "\x1b[" in told["terminal"]
    assert "\x1b" not in told["file"]
    assert not [line for line in told["file"].splitlines() if line != line.rstrip()]
    assert told["file"] == as_text([report], 100, whole=False)


def test_a_run_prints_the_short_form(folder: ResultsFolder, capsys: pytest.CaptureFixture[str]) -> None:
    from kdharness.cli.session import _report

    _report(folder.load())
    assert capsys.readouterr().out == as_text([report_of(folder.load())], 80, whole=False)


def test_the_environment_says_whether_there_are_colours(
    folder: ResultsFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("TERM", "xterm"), ("FORCE_COLOR", "1")):
        monkeypatch.setenv(name, value)
    said = []
    for value in ("", "1"):
        monkeypatch.setenv("NO_COLOR", value)
        assert execute(["report", str(folder.path)]) == 0
        said.append(capsys.readouterr().out)
    assert ["\x1b[32mholds" in text for text in said] == [True, False]
