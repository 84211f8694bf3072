"""Failures of former commands go with their plans; a command that came to nothing leaves no plan."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest

from kdharness.cli.main import execute
from kdharness.errors import UserError
from kdharness.results.origins import origin_of
from kdharness.results.record import Status
from kdharness.results.store import ResultsFolder

GOOD = [fabricate.cell("kd", seed) for seed in (0, 1)]
WRONG = [fabricate.cell("kd", seed, variant="temperature=0") for seed in (0, 1)]
MIXED = [fabricate.cell("dkd", 0), fabricate.cell("dkd", 1)]


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    """A wrong command, one of which a cell is ok, and the right one, of which a cell failed."""
    made = ResultsFolder(tmp_path / "tiny")
    for cells in (WRONG, MIXED, GOOD):
        made.plans.write(fabricate.plan(cells))
    for cell in (*WRONG, MIXED[1], GOOD[1]):
        made.write_record(fabricate.record(cell, None, Status.FAILED, "wrong"))
    for cell in (MIXED[0], GOOD[0]):
        made.write_record(fabricate.record(cell))
    return made


def test_without_yes_nothing_changes(folder: ResultsFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before = folder.load().counts
    assert execute(["results", "prune", str(folder.path)]) == 0
    said = capsys.readouterr()
    assert "would drop 3 cells that are not ok, 1 plan of which nothing is left" in said.out
    assert "--yes" in said.err
    assert folder.load().counts == before == {"failed": 4, "ok": 2}


def test_what_is_ok_and_what_the_newest_command_asks_for_stays(folder: ResultsFolder) -> None:
    assert execute(["results", "prune", str(folder.path.parent), "--yes"]) == 0
    contents = folder.load()
    assert set(contents.planned) == {MIXED[0].key, GOOD[0].key, GOOD[1].key}
    assert contents.counts == {"failed": 1, "ok": 2}
    assert not contents.stale
    assert [len(plan.cells) for plan in contents.plans] == [1, 2]
    assert not folder.cell(WRONG[0].key).folder.exists()
    assert execute(["results", "prune", str(folder.path), "--yes"]) == 0
    assert folder.load().counts == {"failed": 1, "ok": 2}


def test_what_teachers_said_can_be_said_again(folder: ResultsFolder, capsys: pytest.CaptureFixture[str]) -> None:
    tables = folder.path / "view_tables" / "0123"
    tables.mkdir(parents=True)
    (tables / "logits.f32").write_bytes(bytes(range(256)) * 4096)
    assert execute(["results", "prune", str(folder.path)]) == 0
    assert "view tables of 1.0 MB" in capsys.readouterr().out
    assert tables.is_dir()
    assert execute(["results", "prune", str(folder.path), "--yes"]) == 0
    assert "dropped" in capsys.readouterr().out
    assert not tables.parent.exists()
    assert execute(["results", "prune", str(folder.path), "--yes"]) == 0
    assert "view tables" not in capsys.readouterr().out


@pytest.fixture
def damaged(folder: ResultsFolder) -> ResultsFolder:
    """A failure of a former command, an ok cell of it and a cell of the newest, none of which can be read; a plan."""
    for cell in (WRONG[0], MIXED[0], GOOD[0]):
        folder.cell(cell.key).record.write_text("{")
    folder.plans.folder.joinpath("20200101T000000.000000Z.json").write_text("{")
    return folder


def test_what_cannot_be_read_is_listed_and_stays(damaged: ResultsFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["results", "prune", str(damaged.path), "--yes"]) == 0
    said = capsys.readouterr()
    assert "dropped 2 cells that are not ok, 0 plans" in said.out
    stay = [line for line in said.out.splitlines() if "stays, cannot be read (" in line]
    assert len(stay) == 4
    assert "--damaged drops what cannot be read, too" in said.err
    assert set(damaged.load().planned) == {WRONG[0].key, MIXED[0].key, GOOD[0].key, GOOD[1].key}
    assert damaged.cell(MIXED[0].key).record.exists()


def test_what_cannot_be_read_goes_when_that_is_asked_for(
    damaged: ResultsFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["results", "prune", str(damaged.path), "--damaged"]) == 0
    said = capsys.readouterr().out
    assert len([line for line in said.splitlines() if "would drop, cannot be read" in line]) == 4
    assert damaged.cell(MIXED[0].key).record.exists()
    assert execute(["results", "prune", str(damaged.path), "--damaged", "--yes"]) == 0
    capsys.readouterr()
    assert execute(["status", str(damaged.path)]) == 0
    assert capsys.readouterr().err == ""
    assert {path.name for path in damaged.cells_path.iterdir()} == {GOOD[1].key}
    assert set(damaged.load().planned) == {GOOD[0].key, GOOD[1].key}
    assert len(damaged.plans.paths()) == 1


def test_what_cannot_be_removed_keeps_nothing_else(
    folder: ResultsFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = shutil.rmtree

    def refuse(path: Path) -> None:
        if path.name == WRONG[0].key:
            raise PermissionError(13, "Permission denied")
        real(path)

    monkeypatch.setattr(shutil, "rmtree", refuse)
    assert execute(["results", "prune", str(folder.path), "--yes"]) == 2
    assert f"{WRONG[0].key}: Permission denied" in capsys.readouterr().err
    assert not folder.cell(WRONG[1].key).folder.exists()


def test_an_unknown_action_is_a_usage_error(folder: ResultsFolder, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["results", "prun", str(folder.path)]) == 2
    assert "did you mean 'prune'?" in capsys.readouterr().err


def test_a_command_that_ends_before_its_first_cell_leaves_no_plan(folder: ResultsFolder) -> None:
    before = folder.plans.paths()
    with pytest.raises(UserError), folder.planned(fabricate.plan([fabricate.cell("typo")])):
        raise UserError("no such executor")
    assert folder.plans.paths() == before


def test_a_command_that_began_a_cell_keeps_its_plan(folder: ResultsFolder) -> None:
    cell = fabricate.cell("slow")

    def begin_and_stop() -> None:
        with folder.planned(fabricate.plan([cell])):
            folder.write_record(fabricate.record(cell, None, Status.INTERRUPTED))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin_and_stop()
    assert cell.key in folder.load().planned


def test_the_same_command_that_ends_at_once_keeps_the_plan_of_before(folder: ResultsFolder) -> None:
    before = folder.plans.paths()
    with pytest.raises(UserError), folder.planned(fabricate.plan(GOOD)):
        raise UserError("full disk")
    assert folder.plans.paths() == before


TRACE = """Traceback (most recent call last):
  File "{core}/engine/stepper.py", line 40, in step
    losses = method.losses(batch)
  File "/home/me/faulty.py", line 12, in losses
    return F.mse_loss(a, b)
  File "/env/lib/python3.11/site-packages/torch/nn/functional.py", line 3884, in mse_loss
    expanded = torch.broadcast_tensors(input, target)
  File "<frozen importlib._bootstrap>", line 1, in x
RuntimeError: sizes
"""


def test_the_line_of_a_plugin_is_found_among_those_of_others() -> None:
    import kdharness

    core = Path(kdharness.__file__).parent
    assert origin_of(TRACE.format(core=core)) == "/home/me/faulty.py:12"
    packaged = TRACE.replace("/home/me", "/env/lib/python3.11/site-packages/my_plugin")
    assert origin_of(packaged.format(core=core)) == "/env/lib/python3.11/site-packages/my_plugin/faulty.py:12"
    assert origin_of(f'  File "{core}/engine/stepper.py", line 40, in step\n') == ""
    assert origin_of("") == ""


@pytest.mark.parametrize("form", ["terminal", "html", "markdown", "latex"])
def test_a_failed_cell_shows_the_plugins_line_and_its_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    cell = fabricate.cell("kd")
    failed = fabricate.record(cell, None, Status.FAILED, "sizes")
    failed = replace(failed, traceback=TRACE.format(core="/x/kdharness"))
    folder = fabricate.write(tmp_path / "tiny", [cell], [failed])
    assert execute(["report", str(folder.path), "--format", form]) == 0
    text = capsys.readouterr().out.replace("\\", "")
    assert "/home/me/faulty.py:12" in text
    assert f"traceback in {folder.cell(cell.key).traceback}".replace("_", "") in text.replace("_", "")


def test_what_was_spent_on_noise_stays_counted(folder: ResultsFolder) -> None:
    files = folder.cell(WRONG[0].key)
    files.begun.write_text('{"0": 1}')
    files.checkpoint.write_bytes(b"half done")
    assert execute(["results", "prune", str(folder.path), "--yes"]) == 0
    assert [path.name for path in files.folder.iterdir()] == ["begun.json"]
    assert folder.load().counts == {"failed": 1, "ok": 2}
