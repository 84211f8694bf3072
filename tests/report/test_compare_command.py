"""`kdharness compare` as a command."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import fabricate
import pytest

from kdharness.cli.main import execute
from kdharness.planning.cell import digest
from kdharness.results.record import Record, Status
from kdharness.text import plain

Capture = pytest.CaptureFixture[str]


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


BESIDE = "--method or --reference holds methods of the first against the reference of the second"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "nll"], f"two folders are compared cell by cell, without --metric; {BESIDE}"),
        (
            ["--equal-within", "1", "--plots", "x"],
            "two folders are compared cell by cell, without --equal-within, --pl",
        ),
        (["--tolerance", "-1"], "--tolerance must be a number from 0 on, not -1"),
        (["--reference", "kd", "--tolerance", "1"], "--tolerance is for two folders, cell by cell"),
        (["--reference", "left"], "unknown method 'left' (--reference)"),
        (["--method", "right", "--reference", "kd"], "unknown method 'right' (--method)"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    two: tuple[Path, Path], capsys: Capture, arguments: list[str], message: str
) -> None:
    out, err = said(capsys, *two, *arguments, code=2)
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.count("\n") == 1


def test_a_tolerance_needs_two_folders_and_three_are_too_many(two: tuple[Path, Path], capsys: Capture) -> None:
    assert said(capsys, two[0], "--tolerance", "1", code=2)[1].startswith("error: --tolerance is for two folders")
    assert "one folder or two, not 3" in said(capsys, *two, two[0], code=2)[1]


# -- methods of one folder against the reference of another ------------------------------------------------------------

OURS = {"vanilla": [88.0, 88.5, 87.9, 88.2], "dkd": [92.0, 92.5, 91.0, 92.2]}
THEIRS = {"vanilla": [88.0, 88.5, 87.9, 88.2], "kd": [91.0, 91.4, 90.9, 91.3]}


def folders(path: Path, ours: Sequence[Record], theirs: Sequence[Record]) -> tuple[Path, Path]:
    for name, records in (("ours", ours), ("theirs", theirs)):
        fabricate.write(path / name, [record.cell for record in records], records)
    return path / "ours", path / "theirs"


def records(scores: Mapping[str, list[float]], **changes: Any) -> list[Record]:
    return fabricate.records_of({name: list(values) for name, values in scores.items()}, **changes)


def rows_of(text: str) -> list[dict[str, str]]:
    return [dict(row) for row in csv.DictReader(io.StringIO(text))]


@pytest.mark.parametrize("metric", ["top1", "nll"])
def test_the_numbers_are_those_of_one_folder(tmp_path: Path, capsys: Capture, metric: str) -> None:
    """Whichever of both the plain student is in."""
    one = tmp_path / "one"
    whole = [*records(OURS), *records({"kd": THEIRS["kd"]})]
    fabricate.write(one, [record.cell for record in whole], whole)
    asked = ["--method", "dkd", "--metric", metric, "--format", "csv"]
    expected = rows_of(said(capsys, one, *asked)[0])
    assert len(expected) == 2
    for place, (ours, theirs) in enumerate(((OURS, {"kd": THEIRS["kd"]}), ({"dkd": OURS["dkd"]}, THEIRS))):
        both = folders(tmp_path / str(place), records(ours), records(theirs))
        for name in ("kd", "kd@theirs"):
            found = rows_of(said(capsys, *both, *asked, "--reference", name)[0])
            assert [row.pop("method") for row in found] == ["dkd", "kd@theirs"]
            assert found == [{k: v for k, v in row.items() if k != "method"} for row in expected]


@pytest.mark.parametrize("form", ["terminal", "markdown", "latex", "html"])
def test_the_reference_says_where_it_is_from(tmp_path: Path, capsys: Capture, form: str) -> None:
    both = folders(tmp_path, records(OURS), records(THEIRS))
    out, err = said(capsys, *both, "--method", "dkd", "--format", form)
    assert "kd@theirs" in out.replace("\\", "").replace("@<!-- -->", "@")
    assert err == ""
    assert "attention" not in out


def test_a_method_against_itself_in_another_folder(tmp_path: Path, capsys: Capture) -> None:
    """As after an update: the same cells, other numbers."""
    newer = [fabricate.record(r.cell, r.values["top1"] + 0.5, fingerprint="cuda-def") for r in records(THEIRS)]
    both = folders(tmp_path, newer, records(THEIRS))
    out, _ = said(capsys, *both, "--method", "kd", "--reference", "kd")
    line = next(line for line in out.splitlines() if line.startswith("kd  "))
    assert line.split()[1] == "+0.50"
    assert "results of several fingerprints (device, versions, precision): cpu-abc, cuda-def" in " ".join(out.split())


def test_another_protocol_is_not_compared(tmp_path: Path, capsys: Capture) -> None:
    both = folders(tmp_path, records(OURS), records(THEIRS, protocol="p2"))
    out, err = said(capsys, *both, "--method", "dkd", code=2)
    assert (out, err.count("\n")) == ("", 1)
    assert "no setting is in both, and no statistic crosses a protocol: ours has tiny digits clean" in err
    assert "(protocol p1, each seed draws anew student); kd@theirs is in tiny digits clean" in err
    assert "(protocol p2, each seed" in err


def test_a_setting_that_lacks_the_reference_is_said(tmp_path: Path, capsys: Capture) -> None:
    more = records(OURS, scenario="noise40", protocol="p3")
    both = folders(tmp_path, [*records(OURS), *more], records(THEIRS))
    out, _ = said(capsys, *both, "--method", "dkd")
    text = " ".join(out.split())
    assert "top1 against kd@theirs" in text
    assert "not compared, for kd@theirs is not there: tiny digits noise40 conv32:conv16 (protocol p3" in text


def test_teachers_of_other_weights_are_said(tmp_path: Path, capsys: Capture) -> None:
    def taught(digest: str, scores: Mapping[str, list[float]]) -> list[Record]:
        return [
            replace(r, values={**r.values, "teacher_digest": digest} if r.cell.teachers else r.values)
            for r in records(scores)
        ]

    same = folders(tmp_path / "same", taught("ab12", OURS), taught("ab12", THEIRS))
    assert "teachers of other weights" not in said(capsys, *same, "--method", "dkd")[0]
    other = folders(tmp_path / "other", taught("ab12", OURS), taught("cd34", THEIRS))
    text = " ".join(said(capsys, *other, "--method", "dkd")[0].split())
    assert "ours and theirs have teachers of other weights in all of them: a difference is that of the teachers" in text


def test_no_seed_in_common_and_a_folder_without_measurements(tmp_path: Path, capsys: Capture) -> None:
    late = [fabricate.record(fabricate.cell("kd", seed), 91.0) for seed in (7, 8)]
    both = folders(tmp_path / "late", records(OURS), late)
    assert "no seed in common with kd@theirs, and so not compared: dkd" in said(capsys, *both, "--method", "dkd")[0]
    failed = fabricate.records_of({"kd": [None, None]})
    both = folders(tmp_path / "failed", records(OURS), failed)
    assert "the reference 'kd@theirs' has no top1" in said(capsys, *both, "--method", "dkd", code=2)[1]


@pytest.mark.parametrize("name", ["<script>", "=1+1", "a,b", "a|b", "%", "\x1b[31mred", "методика"])
def test_names_of_folders_are_data(tmp_path: Path, capsys: Capture, name: str) -> None:
    both = folders(tmp_path, records(OURS), records(THEIRS))
    other = both[1].rename(tmp_path / name)
    for form in ("terminal", "markdown", "latex", "html", "csv"):
        out, _ = said(capsys, both[0], other, "--method", "dkd", "--format", form)
        assert "\x1b" not in out
        assert form not in ("markdown", "html") or "kd@<script>" not in out.replace("<!-- -->", "")
    row = rows_of(said(capsys, both[0], other, "--method", "dkd", "--format", "csv")[0])[-1]
    assert row["method"] == f"kd@{plain(name)}"
