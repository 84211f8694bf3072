"""How a report sets published numbers beside measured ones, and the option that asks for it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest
import typer
from typer.testing import CliRunner

from kdharness.cli.report import report as command
from kdharness.planning.cell import STUDENT, TEACHER, digest
from kdharness.protocol.recipe_files import recipe_file
from kdharness.report.document import sections
from kdharness.report.latex import as_latex
from kdharness.report.sections.section import SectionKind
from kdharness.report.terminal import as_text
from kdharness.report.view import report_of
from kdharness.results.record import Record
from kdharness.results.store import ResultsFolder


def one(method: str, top1: float, seed: int = 0, role: str = STUDENT, student: str = "resnet8x4") -> Record:
    teacher = None if role == TEACHER else "resnet32x4"
    made = fabricate.cell(method, seed, teacher, student, role=role, dataset="cifar100", benchmark="cifar100")
    recipe = recipe_file("crd240").of(student).model_dump(mode="json")
    document = {**made.document, "recipe": json.loads(json.dumps(recipe))}
    return fabricate.record(replace(made, document=document, key=digest(document)), top1)


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    made = [one("vanilla", 79.3, role=TEACHER, student="resnet32x4"), one("vanilla", 74.0)]
    made += [one("kd", 73.2 + 0.2 * seed, seed) for seed in range(2)]
    return fabricate.write(tmp_path / "cifar100", [r.cell for r in made], made)


def test_a_row_for_each_published_number(folder: ResultsFolder) -> None:
    first, second = [s for s in sections(report_of(folder.load(), published=True)) if s.kind.startswith("published")]
    assert first.title == "cifar100 · beside published numbers"
    columns = {column.header: column.values for column in first.grid.columns}
    assert columns["method"][:2] == ("(teacher)", "(teacher)")
    shown = list(zip(*(columns[n] for n in ("method", "published", "source", "diff", "verdict")), strict=True))
    assert ("(teacher)", "79.42", "RepDistiller", "-0.12", "reproduced") in shown
    assert ("vanilla", "72.50", "RepDistiller", "+1.50", "above") in shown
    assert ("kd", "73.33", "RepDistiller", "-0.03", "reproduced") in shown
    (apart,) = [row for row in shown if row[:3] == ("kd", "74.42", "SemCKD")]
    number = re.fullmatch(r"not comparable \((\d)\)", apart[-1])
    assert apart[3] == ""
    assert number is not None
    assert any(line.startswith(f"not comparable ({number[1]}): there: labels and kd") for line in first.remarks)
    assert second.kind is SectionKind.PUBLISHED_SPREAD
    spread = {column.header: column.values for column in second.grid.columns}
    kd = spread["method"].index("kd")
    assert (spread["lowest"][kd], spread["highest"][kd]) == ("73.33 RepDistiller", "74.42 SemCKD")
    assert (spread["points"][kd], spread["alike"][kd]) == ("1.09", "")


def test_what_the_published_track_used_is_said_by_method_and_pair(tmp_path: Path) -> None:
    made = []
    for student, beta in (("resnet8x4", 8.0), ("shuffle_v1", 6.5), ("shuffle_v2", 8.0)):
        record = one("dkd", 76.0, student=student)
        tuned = replace(record.cell.standing_in({"published": ""}), by_pair={"beta": beta, "alpha": 1.0})
        made.append(replace(record, cell=tuned))
    folder = fabricate.write(tmp_path / "cifar100", [r.cell for r in made], made)
    first, *_ = [s for s in sections(report_of(folder.load(), published=True)) if s.kind.startswith("published")]
    assert first.how[-1] == (
        "dkd in the published track: alpha=1 beta=8 for resnet32x4:resnet8x4, resnet32x4:shuffle_v2; "
        "alpha=1 beta=6.5 for resnet32x4:shuffle_v1"
    )


def test_it_is_drawn_everywhere_and_only_when_asked_for(folder: ResultsFolder) -> None:
    plain, asked = report_of(folder.load()), report_of(folder.load(), published=True)
    assert "published" not in as_text([plain])
    text = as_text([asked], width=100)
    assert all(len(line) <= 100 for line in text.splitlines())
    assert "RepDistiller" in text
    assert "RepDistiller" in as_latex([asked])


def run(*arguments: str) -> tuple[str, str]:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.stdout, result.stderr


def test_the_option(folder: ResultsFolder, tmp_path: Path) -> None:
    assert "beside published numbers" in run(str(folder.path), "--published")[0]
    fabricate.tiny_world(tmp_path / "other")
    out, err = run(str(tmp_path / "other" / "tiny"), "--published")
    assert "beside published" not in out
    assert err == "nothing here was published of the same network on the same data\n"
