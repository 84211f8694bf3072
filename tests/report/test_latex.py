"""LaTeX that compiles: read with a small checker, for a TeX is not everywhere."""

from __future__ import annotations

import re
from pathlib import Path

import fabricate
import pytest

from kdharness.report.latex import as_latex
from kdharness.report.markdown import as_markdown
from kdharness.report.tex.letters import escape
from kdharness.report.view import Report, report_of

NAMES = [
    "<script>",
    "=1+1",
    "nan",
    "a,b",
    "a|b",
    "50%",
    "r&d",
    "a_b",
    "x^2",
    "~h",
    "#1",
    "$x$",
    "{b}",
    "\\input",
    "a--b",
]
BROKEN = re.compile(r"(?<!\\)[#%_&^~]")


def with_names(path: Path, names: list[str], **changes: str) -> Report:
    scores: dict[str, list[float | None]] = {"kd": [90.0, 91.0, 92.0]}
    scores |= {name: [88.0 - 0.1 * i, 89.0, 88.2] for i, name in enumerate(names)}
    records = fabricate.records_of(scores, **changes)
    return report_of(fabricate.write(path / "tiny", [r.cell for r in records], records).load())


def checked(text: str) -> list[str]:
    """The labels of a document; fails where environments, groups, columns or labels are wrong."""
    labels: list[str] = []
    open_: list[str] = []
    columns = 0
    body = re.sub(r"(?s)\\begingroup.*\\endgroup", "", text)
    for line in (line for line in body.splitlines() if not line.startswith("%")):
        bare = re.sub(r"\\[\\{}]|\\textbackslash\{\}", "", line)
        assert bare.count("{") == bare.count("}"), line
        assert re.sub(r"\\\$", "", line).count("$") % 2 == 0, line
        for what, name in re.findall(r"\\(begin|end)\{(\w+)\}", line):
            assert what == "begin" or open_.pop() == name, line
            open_ += [name] if what == "begin" else []
        labels += re.findall(r"\\label\{([^}]*)\}", line)
        if found := re.fullmatch(r"\\begin\{tabular\}\{(.*)\}", line):
            columns = len(re.sub(r"@\{[^}]*\}", "", found[1]).replace("}", ""))
        if line.endswith(r"\\") and open_[-1:] == ["tabular"]:
            cells = re.split(r"(?<!\\)&", line)
            spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
            assert len(cells) - len(spans) + sum(spans) == columns, line
    assert not open_
    assert len(set(labels)) == len(labels)
    assert all(re.fullmatch(r"tab:[a-z0-9-]+", label) for label in labels)
    return labels


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return report_of(fabricate.tiny_world(tmp_path).load())


def test_a_paper_gets_its_table_alone(report: Report) -> None:
    text = as_latex([report], whole=False)
    assert checked(text) == ["tab:tiny-digits"]
    assert text.startswith("% Needs \\usepackage{booktabs}. Every table fits the text of a plain article; ")
    assert "\n\n\\begin{table}\n\\centering\n\\emergencystretch=3em\n\\caption{tiny $\\cdot$ digits. " in text
    over = "\\shortstack[c]{gain over\\\\kd}"
    assert f"\nTeacher & \\multicolumn{{2}}{{c}}{{conv32}} & \\multicolumn{{2}}{{c}}{{{over}}} \\\\\n" in text
    assert "\n & \\multicolumn{2}{c}{97.00} & \\multicolumn{2}{c}{} \\\\\n" in text
    assert "\n & 88.20 & {\\footnotesize$\\pm$\\,0.25} & $-2.96$ & {\\footnotesize$\\pm$\\,0.14} \\\\\n" in text
    assert "\nattention\\_transfer & \\textbf{92.18} & {\\footnotesize$\\pm$\\,0.24} & $+1.02$ & " in text
    assert "A smoke test, not a ranking." in text
    assert "% failed 5: broken" in text


def test_every_section_follows_on_request(report: Report) -> None:
    text = as_latex([report, report])
    assert len(checked(text)) == 6, "a table of methods and a ranking on two, for each report"
    assert as_latex([report], whole=False).rstrip().splitlines()[-1] in text


def test_a_tie_has_a_dagger_and_the_best_is_bold(tmp_path: Path) -> None:
    alone = with_names(tmp_path, [])
    records = fabricate.records_of({"kd": [90.0, 91.0, 92.0], "twin": [90.5, 91.5, 90.7]})
    twin = report_of(fabricate.write(tmp_path / "b", [r.cell for r in records], records).load())
    assert "dagger}" not in as_latex([alone], whole=False)
    text = as_latex([twin], whole=False)
    assert "\nkd & \\textbf{91.00} & {\\footnotesize$\\pm$\\,1.00} &" in text
    assert "\ntwin & 90.90 & {\\footnotesize$\\pm$\\,0.53}$^{\\dagger}$ & $-0.10$ &" in text
    lines = as_markdown([twin], whole=False).splitlines()
    assert "| kd | **91.00** ±1.00 |  |" in lines
    assert "| twin | 90.90 ±0.53 † | -0.10 ±2.58 |" in lines


@pytest.mark.parametrize("whole", [False, True])
def test_names_are_names(tmp_path: Path, whole: bool) -> None:
    text = as_latex([with_names(tmp_path, NAMES)], whole)
    checked(text)
    for line in text.splitlines():
        if not line.startswith(("%", "\\begin{tabular}")):
            words = re.sub(r"(?<!\\)&|\$\^\{\\dagger\}\$|\$\^2\$", "", line)
            assert not BROKEN.search(words), line
    assert "\n\\textbackslash{}input & " in text
    assert "\na-{}-b & " in text
    assert "\na$|$b & " in text


def test_long_names_may_be_broken_and_many_methods_are_several_tables(tmp_path: Path) -> None:
    long = [f"kd[mechanism=gradient,target_epsilon=8.87,length={i}]" for i in range(30)]
    text = as_latex([with_names(tmp_path, long)], whole=False)
    labels = checked(text)
    assert labels == ["tab:tiny-digits", *(f"tab:tiny-digits--{i}" for i in range(2, 6))]
    assert text.count(r"Continues Table~\ref{tab:tiny-digits}.") == 4
    assert r"kd[\allowbreak{}mechanism=\allowbreak{}gradient,\allowbreak{}target\_\allowbreak{}epsilon=" in text


def test_letters_of_other_scripts_name_the_packages_that_have_them(tmp_path: Path) -> None:
    text = as_latex([with_names(tmp_path, ["知识蒸馏"], student="학생")], whole=False)
    checked(text)
    assert "知识蒸馏" in text
    assert "XeLaTeX" in text.split("\\begin{table}")[0]
    assert "XeLaTeX" not in as_latex([with_names(tmp_path / "latin", ["é"])], whole=False)


def test_a_name_without_ascii_has_a_label(tmp_path: Path) -> None:
    records = fabricate.records_of({"kd": [90.0]}, benchmark="基准", dataset="数据")
    report = report_of(fabricate.write(tmp_path / "tiny", [r.cell for r in records], records).load())
    assert checked(as_latex([report], whole=False)) == ["tab:table"]


def test_what_deviates_says_so_in_the_caption(tmp_path: Path) -> None:
    text = as_latex([with_names(tmp_path, [], deviations="recipe.epochs=3")], whole=False)
    assert "Deviates from the benchmark: recipe.epochs=3." in text
    assert checked(text) == ["tab:tiny-digits-recipe-epochs-3"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a_b%", r"a\_b\%"),
        ("---", "-{}--"),
        ("±†·\N{MULTIPLICATION SIGN}", r"$\pm$$\dagger$$\cdot$$\times$"),
        ("<a|b>", "$<$a$|$b$>$"),
        ("\\{}", r"\textbackslash{}\{\}"),
    ],
)
def test_signs_of_latex_are_themselves(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_markdown_begins_with_the_papers_table(report: Report) -> None:
    text = as_markdown([report], whole=False)
    lines = text.splitlines()
    start = lines.index("### tiny · digits")
    assert lines[start + 2 : start + 6] == [
        "|  | conv32:conv16 | gain over kd |",
        "| --- | ---: | ---: |",
        "| *teacher* | 97.00 |  |",
        "| *student alone* | 88.20 ±0.25 | -2.96 ±0.14 |",
    ]
    assert "| attention\\_transfer | **92.18** ±0.24 | +1.02 ±0.14 |" in lines
    assert lines.index("### tiny · digits") < next(i for i, line in enumerate(lines) if "teacher 97.00 %" in line)


def test_markdown_cells_hold_their_pipes(tmp_path: Path) -> None:
    lines = as_markdown([with_names(tmp_path, NAMES)], whole=False).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert any("a\\|b" in row for row in rows)
    assert any("\\<script\\>" in row for row in rows)
    first = lines.index("### tiny · digits") + 2
    table = lines[first : lines.index("", first)]
    assert {len(re.split(r"(?<!\\)\|", row)) for row in table} == {5}
