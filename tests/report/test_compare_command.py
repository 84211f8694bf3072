"""`kdharness compare` as a command."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest

from kdharness.cli.main import execute
from kdharness.planning.cell import digest
from kdharness.results.record import Status

Capture = pytest.CaptureFixture[str]
BOTH = ", and 'kdharness leaderboard add' makes one of two"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "80")
    fabricate.tiny_world(tmp_path)
    return tmp_path


def said(capsys: Capture, *arguments: object, code: int = 0) -> tuple[str, str]:
    assert execute(["compare", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


def test_gains_tests_and_costs(world: Path, capsys: Capture) -> None:
    out, _ = said(capsys, world)
    assert max(map(len, out.splitlines())) <= 80
    assert "tiny · digits · conv32:conv16 · top1 against kd" in out
    line = next(line for line in out.splitlines() if line.startswith("attention_transfer"))
    assert line.split() == ["attention_transfer", "+1.02", "±0.14", "5", "0.062", "<0.001", "1.000", "better"]
    assert "no seed in common with kd, and so not compared: broken, hint, slow" in out
    assert "Holm over all 4 comparisons here" in out
    assert "top1 and what it costs" in out


def test_chosen_methods_another_reference_another_margin(world: Path, capsys: Capture) -> None:
    out, _ = said(capsys, world, "--method", "kd,kd[temperature=2]", "--reference", "vanilla", "--equal-within", "5")
    assert "against vanilla" in out
    assert "attention_transfer" not in out
    assert out.count(" equal") >= 2
    assert "within ± 5" in out


def test_a_loss_of_which_less_is_better(world: Path, capsys: Capture) -> None:
    out, err = said(capsys, world, "--metric", "nll")
    assert "less is better" in out
    assert "the same nll as kd for every seed" in out
    assert err == ""


def test_figures_as_files(world: Path, capsys: Capture, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out, err = said(capsys, world, "--format", "csv", "--plots", tmp_path / "figures")
    assert out.startswith("benchmark,")
    assert err.count("wrote ") == len(list((tmp_path / "figures").iterdir())) > 0


@pytest.mark.parametrize("form", ["markdown", "latex", "html"])
def test_every_format(world: Path, capsys: Capture, tmp_path: Path, form: str) -> None:
    out, err = said(capsys, world, "--format", form, "--out", tmp_path / "made")
    assert out == ""
    assert err.endswith(f"wrote {tmp_path / 'made'}\n")
    text = (tmp_path / "made").read_text()
    assert "attention" in text
    assert ("points over kd, 95 % interval" in text) == (form == "html")
    assert "nothing is measured" not in text


def test_csv_has_a_row_per_method_and_setting(world: Path, capsys: Capture) -> None:
    rows = list(csv.DictReader(io.StringIO(said(capsys, world, "--format", "csv")[0])))
    found = {row["method"] + row["variant"]: row for row in rows}
    assert float(found["attention_transfer"]["gain"]) == pytest.approx(1.02)
    assert found["attention_transfer"]["tests"] == "4"
    assert found["broken"]["n"] == "0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "kdd"], "unknown method 'kdd' (--method); did you mean 'kd'"),
        (["--reference", "vanila"], "unknown method 'vanila' (--reference); did you mean 'vanilla'?"),
        (["--metric", "top11"], "unknown metric 'top11' (--metric); did you mean 'top1'"),
        (["--method", "kd"], "--method names the reference alone"),
        (["--equal-within", "nan"], "--equal-within must be a number from 0 on, not nan"),
        (["--equal-within", "-1"], "--equal-within must be a number from 0 on, not -1"),
        (["--reference", "broken"], "the reference 'broken' has no top1; these have: "),
    ],
)
def test_a_mistake_is_one_line(world: Path, capsys: Capture, arguments: list[str], message: str) -> None:
    out, err = said(capsys, world, *arguments, code=2)
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_no_folder_is_a_mistake(tmp_path: Path, capsys: Capture) -> None:
    assert "does not exist" in said(capsys, tmp_path / "nowhere", code=2)[1]
    assert "holds no results" in said(capsys, tmp_path, code=2)[1]


def test_only_failures_are_said(tmp_path: Path, capsys: Capture) -> None:
    records = fabricate.records_of({"kd": [None, None], "at": [None, None]})
    fabricate.write(tmp_path / "tiny", [r.cell for r in records], records)
    assert "nothing is measured yet" in said(capsys, tmp_path)[0]


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_have_no_verdict(tmp_path: Path, capsys: Capture, seeds: int) -> None:
    records = fabricate.records_of({"kd": [90.0, 91.0][:seeds], "at": [92.0, 92.5][:seeds]})
    fabricate.write(tmp_path / "tiny", [r.cell for r in records], records)
    out, _ = said(capsys, tmp_path)
    line = next(line for line in out.splitlines() if line.startswith("at "))
    assert line.split()[-2:] == ["undecided", str(3 - seeds)]


def test_mixed_versions_are_said(tmp_path: Path, capsys: Capture) -> None:
    records = fabricate.records_of({"kd": [90.0, 91.0], "at": [92.0, 92.5]})
    records[0] = fabricate.record(records[0].cell, 90.0, kdharness_version="0.0.9")
    fabricate.write(tmp_path / "tiny", [r.cell for r in records], records)
    assert "results of several releases of kdharness: 0.0.9, 0.1.0" in said(capsys, tmp_path)[0]


@pytest.mark.parametrize("name", ["<script>", "=1+1", "nan", "a,b", "a|b", "%", "&", "\x1b[31mred", "методика"])
def test_names_are_data(tmp_path: Path, capsys: Capture, name: str) -> None:
    records = fabricate.records_of({"kd": [90.0, 91.0, 90.5], "x": [92.0, 92.5, 91.0]})
    renamed = [fabricate.record(fabricate.cell(name if r.cell.method == "x" else "kd", r.cell.seed)) for r in records]
    fabricate.write(tmp_path / "tiny", [r.cell for r in renamed], renamed)
    for form in ("terminal", "markdown", "latex", "html", "csv"):
        out, _ = said(capsys, tmp_path, "--format", form)
        assert "\x1b" not in out
        if name == "<script>" and form in ("markdown", "html"):
            assert (r"\<script\>" if form == "markdown" else "&lt;script&gt;") in out
    row = list(csv.DictReader(io.StringIO(said(capsys, tmp_path, "--format", "csv")[0])))[-1]
    assert row["method"] in (name, f"'{name}", " [31mred", "[31mred", "kd")


# -- two folders -------------------------------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Equal but for kd, which another release measured; at has another recipe; one cell failed; each has one alone."""
    monkeypatch.setenv("COLUMNS", "100")
    cells = {name: [fabricate.cell(name, seed) for seed in (0, 1)] for name in ("kd", "rkd", "at", "left", "right")}
    kd, rkd, at = ([fabricate.record(cell, 90.0) for cell in cells[name]] for name in ("kd", "rkd", "at"))
    newer = [fabricate.record(cell, 90.5, kdharness_version="0.2.0") for cell in cells["kd"]]
    failed = fabricate.record(cells["rkd"][1], None, Status.FAILED, "loss became nan")
    moved = []
    for cell in cells["at"]:
        document = {**cell.document, "recipe": {"epochs": 3}}
        moved.append(fabricate.record(replace(cell, document=document, key=digest(document))))
    left, right = fabricate.record(cells["left"][0]), fabricate.record(cells["right"][0])
    for name, records in (("old", [*kd, *rkd, *at, left]), ("new", [*newer, rkd[0], failed, *moved, right])):
        fabricate.write(tmp_path / name, [record.cell for record in records], records)
    return tmp_path / "old", tmp_path / "new"


def test_two_folders_cell_by_cell(two: tuple[Path, Path], capsys: Capture) -> None:
    out, _ = said(capsys, *two)
    text = " ".join(out.split())
    for counted in (
        "1 the same, to the last bit",
        "2 other numbers",
        "1 another status",
        "2 another key at the same address",
        "1 in old alone",
        "1 in new alone",
        "kdharness 0.1.0 -> 0.2.0 0 2",
        "kd digits conv32:conv16 0-1 top1 0.5, student test top1 0.5",
        "ok failed (loss became nan)",
        "2 at recipe.epochs 2 -> 3",
        "in old, and not in new",
    ):
        assert counted in text


def test_two_folders_as_a_table(two: tuple[Path, Path], capsys: Capture) -> None:
    """A row for each number that differs; of what is the same, or in one alone, one."""
    rows = list(csv.DictReader(io.StringIO(said(capsys, *two, "--format", "csv")[0])))
    kinds = [row["difference_kind"] for row in rows]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "same": 1, "other": 4, "status": 1, "key": 2, "only_here": 1, "only_there": 1,
    }  # fmt: skip
    same, number = rows[0], next(row for row in rows if row["what"] == "top1")
    assert (same["method"], same["seed"], same["what"], same["difference"]) == ("rkd", "0", "", "")
    assert (number["method"], number["here"], number["there"], number["difference"]) == ("kd", "90.0", "90.5", "0.5")
    assert number["origin"] == "kdharness_version 0.1.0 -> 0.2.0"
    status = next(row for row in rows if row["difference_kind"] == "status")
    assert (status["said_here"], status["said_there"], status["cell"]) == ("ok", "failed", status["cell_there"])
    key = next(row for row in rows if row["difference_kind"] == "key")
    assert (key["what"], key["said_here"], key["said_there"]) == ("recipe.epochs", "2", "3")
    assert key["cell"] != key["cell_there"]
    here, there = rows[-2:]
    assert (here["method"], bool(here["cell"]), here["cell_there"]) == ("left", True, "")
    assert (there["method"], there["cell"], bool(there["cell_there"])) == ("right", "", True)
    near = list(csv.DictReader(io.StringIO(said(capsys, *two, "--tolerance", "0.5", "--format", "csv")[0])))
    assert [row["difference_kind"] for row in near].count("near") == 4


def test_two_folders_within_a_tolerance_in_every_format(two: tuple[Path, Path], capsys: Capture) -> None:
    assert "2  the same within 0.5" in said(capsys, *two, "--tolerance", "0.5")[0]
    for form in ("markdown", "latex", "html"):
        assert "other numbers" in said(capsys, *two, "--format", form)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "kd"], f"two folders are compared cell by cell: --method is for one folder{BOTH}"),
        (["--equal-within", "1"], f"two folders are compared cell by cell: --equal-within is for one folder{BOTH}"),
        (["--plots", "x"], f"two folders are compared cell by cell: --plots is for one folder{BOTH}"),
        (["--tolerance", "-1"], "--tolerance must be a number from 0 on, not -1"),
    ],
)
def test_options_of_one_folder_are_refused(
    two: tuple[Path, Path], capsys: Capture, arguments: list[str], message: str
) -> None:
    assert said(capsys, *two, *arguments, code=2) == ("", f"error: {message}\n")


def test_a_tolerance_needs_two_folders_and_three_are_too_many(two: tuple[Path, Path], capsys: Capture) -> None:
    assert said(capsys, two[0], "--tolerance", "1", code=2)[1] == "error: --tolerance is for two folders\n"
    assert "one folder or two, not 3" in said(capsys, *two, two[0], code=2)[1]
