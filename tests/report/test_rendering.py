"""What reports show, in every format."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import fabricate
import pytest
from rich.cells import cell_len
from rich.console import Console

from kdharness.protocol.claim import Claim
from kdharness.report.document import sections
from kdharness.report.latex import as_latex
from kdharness.report.markdown import as_markdown
from kdharness.report.page import as_page
from kdharness.report.sections.section import SectionKind
from kdharness.report.terminal import as_text, show
from kdharness.report.view import Report, ranking_of, report_of
from kdharness.results.store import ResultsFolder

METHODS = ("vanilla", "kd", "kd[temperature=2]", "label_smoothing", "attention_transfer", "broken", "hint", "slow")


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return report_of(fabricate.tiny_world(tmp_path).load())


def test_eighty_columns_hold_every_method(report: Report) -> None:
    text = as_text([report], 80)
    assert max(map(len, text.splitlines())) <= 80
    for name in METHODS:
        assert name in text


@pytest.mark.parametrize("width", [50, 60, 72])
def test_narrow_places_drop_cost_before_uncertainty(report: Report, width: int) -> None:
    text = as_text([report], width)
    assert max(map(len, text.splitlines())) <= width
    assert "MiB" not in text
    assert "train s" not in text
    assert "92.18 ±0.24" in text
    assert "+1.02 ±0.14" in text
    assert ("±0.10" in text) == (width > 60)


def test_wide_places_show_cost(report: Report) -> None:
    text = as_text([report], 120)
    assert "train s" in text
    assert "MiB" in text


def test_numbers_stand_below_each_other(report: Report) -> None:
    lines = [line for line in as_text([report], 100).splitlines() if re.match(r"\d +\d  ", line)]
    assert len(lines) == 5
    assert len({line.index(".") for line in lines}) == 1
    assert len({line.index("±") for line in lines}) == 1


def test_the_text_says_what_was_measured_and_what_went_wrong(report: Report) -> None:
    text = as_text([report], 100)
    assert "tiny · digits · conv32:conv16 · teacher 97.00 %" in text
    assert text.count("A smoke test, not a ranking.") == 1
    assert text.index("A smoke test") < text.index("attention_transfer")
    assert "last epoch · seeds 0-4 · cpu · cpu-abc" in text
    assert "failed 5: broken" in text
    assert text.count("loss became nan") == 1
    assert "skipped 5: hint" in text
    assert text.count("the student has no stage of the teacher's shape") == 1
    assert "interrupted 1: slow" in text
    assert "deviates" not in text


@pytest.mark.parametrize("status", [s for s in fabricate.Status if s is not fabricate.Status.OK])
def test_every_status_but_ok_is_told_in_every_format(tmp_path: Path, status: fabricate.Status) -> None:
    records = [fabricate.record(fabricate.cell("kd")), *(
        fabricate.record(fabricate.cell("slow", seed), None, status, "longer than 5 s") for seed in range(2)
    )]  # fmt: skip
    report = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())
    word = status.value.replace("_", " ")
    for write in (as_text, as_markdown, as_latex, as_page):
        text = write([report])
        assert f"{word} 2: slow" in text
        assert "longer than 5 s" in text


def test_long_lists_of_problems_are_cut(tmp_path: Path) -> None:
    failed = [fabricate.record(fabricate.cell(f"m{i:02}"), None, fabricate.Status.FAILED) for i in range(14)]
    report = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in failed], failed).load())
    for write in (as_text, as_markdown, as_latex, as_page):
        text = " ".join(write([report]).replace("%", " ").split())
        assert "failed 14: m00, m01, m02, m03, m04, m05, m06, m07, m08, m09, m10, m11, and 2 more" in text
    twelve = report_of(fabricate.write(tmp_path / "fewer", [r.cell for r in failed[:12]], failed[:12]).load())
    assert "m10, m11 (" in as_markdown([twelve])


def test_stale_results_are_one_line(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    assert "stale result" not in as_text([report_of(folder.load())])
    folder.plans.write(fabricate.plan([fabricate.cell("kd", 0, method_revision="2")]))
    assert "1 stale result is kept on disk" in as_text([report_of(folder.load())])


def test_a_deviating_run_has_its_banner_and_stays_off_the_leaderboard(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    short = fabricate.records_of({"quick": [99.0, 99.5]}, deviations="recipe.epochs=3", protocol="p2")
    folder.plans.write(fabricate.plan([r.cell for r in short]))
    for each in short:
        folder.write_record(each)
    text = as_text([report_of(folder.load())], 80)
    assert "deviates from the benchmark: recipe.epochs=3; not on the leaderboard" in text
    assert text.index("attention_transfer") < text.index("deviates") < text.index("quick")
    from kdharness.report.leaderboard import merge

    assert "quick" not in as_text([ranking_of(merge([folder.load()]))])


def test_several_pairs_end_in_a_mean(tmp_path: Path) -> None:
    records = [
        r
        for student in ("conv16", "conv8")
        for r in fabricate.records_of(
            {"kd": [90, 91, 92], "at": [91, 93, 94], "vanilla": [80, 81, 83]}, student=student
        )
    ]
    text = as_text([report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())], 80)
    assert "conv32:conv16" in text
    assert "conv32:conv8" in text
    mean = text[text.index("mean gain over 2 pairs") :]
    assert mean.index("\nat ") < mean.index("\nkd ") < mean.index("\nvanilla ")
    assert "2/2" in mean


def test_sections_come_in_one_order_in_every_format(tmp_path: Path) -> None:
    scores: dict[str, list[float | None]] = {"vanilla": [80, 81, 83], "kd": [90, 91, 92]}
    records = [r for student in ("conv16", "conv8") for r in fabricate.records_of(scores, student=student)]
    records += fabricate.records_of({"kd": [99.0]}, deviations="recipe.epochs=3", protocol="p2")
    claim = Claim(text="A is better", better="kd", than="vanilla", smaller=False, equal_within=0.2)
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records, claims=(claim,))
    report = report_of(folder.load())
    found = list(sections(report))
    assert [(section.kind, bool(section.banner)) for section in found] == [
        (SectionKind.RANKING, False), (SectionKind.RANKING, False), (SectionKind.MEAN_GAINS, False),
        (SectionKind.RANKING, True), (SectionKind.CLAIMS, False),
    ]  # fmt: skip
    assert [bool(section.figures) for section in found] == [True, True, False, False, False]
    titles = [section.title.removesuffix(" · teacher 97.00 %") for section in found]
    for write, dot in ((as_text, "·"), (as_markdown, "·"), (as_latex, "$\\cdot$"), (as_page, "·")):
        text = write([report]).replace("&#39;", "'").replace("\\%", "%")
        rest = text
        for title in titles:
            _, title_found, rest = rest.partition(title.replace("·", dot))
            assert title_found, title


def test_different_seeds_are_said(tmp_path: Path) -> None:
    records = fabricate.records_of({"kd": [90, 91, 92], "at": [91, None, 93], "dkd": [91, 92, 93]})
    text = as_text([report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())], 100)
    assert "means are over different seeds: at 0,2; the others 0-2" in text
    assert re.search(r"\n- +at +92\.00 ±1\.41  2/3", text)


def test_a_plan_without_results_has_a_report(tmp_path: Path) -> None:
    folder = fabricate.write(tmp_path / "tiny", [fabricate.cell()], [])
    for write in (as_text, as_markdown, as_latex, as_page):
        assert "nothing is measured yet" in write([report_of(folder.load())])


def test_single_seed_has_no_interval(tmp_path: Path) -> None:
    records = fabricate.records_of({"kd": [90.0], "at": [91.0]})
    text = as_text([report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())], 80)
    assert "no interval below 3 seeds" in text
    assert "±" not in text.replace("top-1 ±sd", "")


def test_names_with_brackets_are_no_markup(tmp_path: Path) -> None:
    records = fabricate.records_of({"kd[red]": [90.0], "kd": [91.0]})
    folder = fabricate.write(tmp_path / "tiny", [r.cell for r in records], records, note="[bold]x[/bold]")
    text = as_text([report_of(folder.load())])
    assert "kd[red]" in text
    assert "[bold]x[/bold]" in text


def test_running_cells_are_not_called_interrupted(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    key = fabricate.cell("slow", 0).key
    folder.progress.write({"done": 36, "total": 38, "seconds_left": 61.0, "running": [{"cells": [key]}]})
    text = as_text([report_of(folder.load())])
    assert "running: 36 of 38 cells done · about 61 s left" in text
    assert "running 1: slow" in text
    assert "interrupted" not in text
    told = fabricate.record(
        fabricate.cell("slow", 0), None, fabricate.Status.INTERRUPTED, "the run ended before this cell did"
    )
    folder.write_record(told)
    text = as_text([report_of(folder.load())])
    assert "running 1: slow" in text
    assert "ended" not in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_best_of_each_regime_is_bold_whatever_columns_are_left(tmp_path: Path, width: int) -> None:
    records = fabricate.records_of({"kd": [90.0, 91.0, 92.0], "1": [80.0, 81.0, 83.0]})
    records += fabricate.records_of({"dml": [70.0, 71.0, 72.0]}, regime="no_teacher")
    report = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())
    file = StringIO()
    show(report, Console(file=file, width=width, force_terminal=True, color_system="standard"))
    bold = [line for line in file.getvalue().splitlines() if line.count("\x1b[1") > 3 and " ±1.00" in line]
    assert [
        re.sub("\x1b[^m]*m", "", line).split()[:4].count(name) for name, line in zip(("kd", "dml"), bold, strict=True)
    ] == [1, 1]


def test_names_are_broken_between_their_parameters(tmp_path: Path) -> None:
    name = "rona[mechanism=gradient,target_epsilon=8.87]"
    records = fabricate.records_of({"vanilla": [80.0, 81.0, 83.0], "kd": [90.0, 91.0, 92.0], name: [70.0, 71.0, 72.0]})
    lines = as_text([report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())], 80)
    assert not re.search(r"8\.$|^ *\S?87\]", lines, re.MULTILINE)
    assert re.search(r"^ +\S*8\.87\]$", lines, re.MULTILINE)


def test_wide_letters_take_two_cells(tmp_path: Path) -> None:
    records = fabricate.records_of(
        {"vanilla": [80.0, 81.0], "kd": [90.0, 91.0], "知识蒸馏方法知识蒸馏方法": [70.0, 71.0]}
    )
    text = as_text([report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())], 72)
    assert max(map(cell_len, text.splitlines())) <= 72
    table = [line for line in text.splitlines() if re.search(r" \d\d\.\d\d ±", line)]
    assert len({cell_len(line[: line.index("±")]) for line in table}) == 1


def test_markdown_tables_are_tables(report: Report) -> None:
    text = as_markdown([report])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    widths = [line.replace("\\|", "").count("|") for line in rows]
    assert set(widths) == {4, widths[-1]}
    assert widths == sorted(widths), "the paper's table, then the ranking"
    assert "attention\\_transfer" in text
    assert "failed 5" in text


def test_latex_escapes_and_balances(report: Report) -> None:
    text = as_latex([report])
    assert "attention\\_transfer" in text
    assert "$\\pm$" in text
    assert "$-$2.96" in text
    assert not re.search(r"(?<!\\)[&#_](?=\w*\})", text.replace("&", ""))
    for name, count in (("table", 2), ("table*", 1), ("tabular", 3)):
        assert text.count(f"\\begin{{{name}}}") == text.count(f"\\end{{{name}}}") == count
    assert r"teacher 97.00 \%" in text
    body = [line for line in text.rpartition("\\begin{tabular}")[2].splitlines() if line.endswith("\\\\")]
    assert len({line.count(" & ") for line in body}) == 1


class Balanced(HTMLParser):
    VOID = ("meta", "circle", "line", "wbr", "polyline", "polygon", "input")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_stands_by_itself(report: Report) -> None:
    text = as_page([report])
    page = Balanced()
    page.feed(text)
    assert page.open == []
    assert page.addresses == []
    assert text.count("<script") == 1
    assert "http" not in text
    for name in METHODS:
        assert name in text
    assert text.count("<circle") == 4


EVIL = "<b>&'\""


def evil_world(path: Path) -> ResultsFolder:
    """Every text that somebody else may have chosen is markup."""
    scores: dict[str, list[float | None]] = {
        "vanilla": [80.0] * 3, "kd": [90.0] * 3, f"at{EVIL}": [91.0] * 3, f"kd[a={EVIL},b=2]": [89.0] * 3,
    }  # fmt: skip
    changes = {"student": f"s{EVIL}", "scenario": f"few{EVIL}", "regime": f"r{EVIL}"}
    records = fabricate.records_of(scores, **changes)
    failed = fabricate.record(fabricate.cell(f"f{EVIL}"), None, fabricate.Status.FAILED, f"why{EVIL}")
    short = fabricate.records_of({"kd": [90.0]}, deviations=f"d{EVIL}", protocol="p2", **changes)
    claim = Claim(text=f"c{EVIL}", paper=f"p{EVIL}", better="kd", than="vanilla", smaller=False, equal_within=0.0)
    all_of = [*records, failed, *short]
    names = {"kd": "kd", f"at{EVIL}": f"part{EVIL}"}
    parts = {r.cell.key: (names[r.cell.method],) for r in records if r.cell.method in names and not r.cell.variant}
    return fabricate.write(
        path, [r.cell for r in all_of], all_of, note=f"n{EVIL}", claims=(claim,), ablated="kd", parts=parts
    )


def test_nothing_in_a_page_is_markup(tmp_path: Path) -> None:
    text = as_page([report_of(evil_world(tmp_path / "tiny").load())])
    page = Balanced()
    page.feed(text)
    assert page.open == []
    assert "<b>" not in text
    assert "&<" not in text
    escaped = "&lt;b&gt;&amp;&#39;&#34;"
    for start in ("at", "a=", "s", "few", "r", "f", "why", "d", "c", "p", "part", "n"):
        assert f"{start}{escaped}" in text, start
    (table, *_) = text.split("</table>")
    assert f'<th scope="row" class="words">at{escaped}</th>' in table
    assert f'<th scope="row" class="words">kd[<wbr>a=<wbr>{escaped},<wbr>b=<wbr>2]</th>' in table


def test_markdown_cells_are_no_markup(tmp_path: Path) -> None:
    text = as_markdown([report_of(evil_world(tmp_path / "tiny").load())])
    assert "<b>" not in text.replace("\\<b\\>", "")


def test_a_foreign_table_has_a_report(tmp_path: Path) -> None:
    from kdharness.results.table import write_csv

    folder = fabricate.tiny_world(tmp_path)
    (tmp_path / "shared").mkdir()
    write_csv(folder.load().frame, tmp_path / "shared" / "results.csv")
    assert "attention_transfer" in as_text([report_of(ResultsFolder(tmp_path / "shared").load())])
