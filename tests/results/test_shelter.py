"""What cells learned from private images lies apart, is found there, and is in nothing that is handed on."""

from __future__ import annotations

import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest

from kdharness.cli.main import execute
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.results.record import Status
from kdharness.results.seal import altered
from kdharness.results.store import ResultsFolder
from kdharness.testing import Lab

SENSITIVE = {"history.csv", "model.safetensors", "predictions.npz"}


def rona_plan(lab: Lab) -> Plan:
    settings = ("rona.mechanism=gradient", "rona.query_rate=0.05", "rona.iterations=1")
    return lab.plan(methods=("vanilla", "rona"), scenarios=("split80",), settings=settings, epochs=4)


def teachers_of(plan: Plan) -> tuple[Cell, Cell]:
    """The one that saw everything, and its public twin."""
    sensitive, public = (p.cell for p in plan.cells if p.cell.role == "teacher")
    assert (sensitive.saw_private, public.saw_private) == (True, False)
    return sensitive, public


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_teachers_files_are_under_private_for_the_owner_alone(lab: Lab) -> None:
    plan = rona_plan(lab)
    sensitive, public = teachers_of(plan)
    records = lab.train_plan(plan)
    assert {record.status for record in records.values()} == {Status.OK}
    private = lab.path / "private"
    assert [path.name for path in private.iterdir()] == [sensitive.key]
    for folder in (private, private / sensitive.key):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert names(private / sensitive.key) == SENSITIVE
    assert names(lab.path / "cells" / sensitive.key) == {"record.json"}
    assert names(lab.path / "cells" / public.key) == {"record.json", *SENSITIVE}
    assert records[sensitive.key].weights, "the record knows its weights, wherever they lie"
    assert not lab.folder.load().doubts
    told = {event.key: event.values for event in lab.events if hasattr(event, "values")}
    assert told[sensitive.key] == {}, "loggers are told nothing of its training"
    assert told[public.key]


def test_checkpoints_lie_there_too_and_are_taken_up(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(checkpoint_seconds=0.0)
    plan = lab.plan(methods=("vanilla", "rona"), scenarios=("split80",), epochs=3)
    sensitive, _ = teachers_of(plan)
    seen: list[set[str]] = []

    def stop(event: object) -> None:
        if getattr(event, "epoch", 0) == 2 and not seen:
            seen.append(names(lab.path / "private" / sensitive.key))
            raise KeyboardInterrupt

    lab.on_event = stop
    with pytest.raises(KeyboardInterrupt):
        lab.train([sensitive])
    lab.events.clear()
    lab.train([sensitive])
    assert "checkpoint" in seen[0]
    assert next(event.epoch for event in lab.events if hasattr(event, "epoch")) == 2


def test_a_changed_file_is_doubted_there(lab: Lab) -> None:
    plan = rona_plan(lab)
    lab.folder.plans.write(plan)
    sensitive, _ = teachers_of(plan)
    record = lab.train([sensitive])[sensitive.key]
    files = lab.folder.cell(sensitive.key)
    files.model.write_bytes(b"others")
    assert altered(files, record.files) == [files.model]
    assert lab.folder.weights_fault(record) == "not those of its record"
    assert f"private/{sensitive.key}/model.safetensors" in "".join(lab.folder.load().doubts)


def test_what_an_earlier_release_left_elsewhere_is_moved(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    cell = fabricate.teacher_cell(scenario="split80")
    folder.write_record(fabricate.record(cell))
    for name in SENSITIVE:
        (folder.cell(cell.key).folder / name).write_text(name)
    for _ in range(2):
        folder.shelter(cell.key)
        assert names(folder.cell(cell.key).folder) == {"record.json"}
        assert names(folder.path / "private" / cell.key) == SENSITIVE
    assert folder.cell(cell.key).model.read_text() == "model.safetensors"


def test_a_run_moves_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["run", "digits", "--methods", "kd", "--scenarios", "split80", "--seeds", "0", "--epochs", "1"]
    run += ["--out", str(tmp_path), "--executor", "inline", "--yes"]
    assert execute(run) == 0
    folder = ResultsFolder(tmp_path / "digits")
    (teacher,) = (key for key, record in folder.records().items() if record.cell.saw_private)
    for path in (folder.path / "private" / teacher).iterdir():
        path.rename(folder.cell(teacher).folder / path.name)
    (folder.path / "private" / teacher).rmdir()
    assert execute(run) == 0
    assert names(folder.path / "private" / teacher) == SENSITIVE
    assert names(folder.cell(teacher).folder) == {"record.json"}


def test_pruning_removes_both(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    gone = fabricate.teacher_cell("conv8", scenario="split80")
    folder.plans.write(fabricate.plan([gone]))
    folder.write_record(fabricate.record(gone, None, Status.FAILED))
    folder.shelter(gone.key)
    folder.cell(gone.key).history.write_text("curves")
    folder.plans.write(fabricate.plan([fabricate.cell()]))
    assert execute(["results", "prune", str(folder.path), "--yes"]) == 0
    assert not folder.cell(gone.key).folder.exists()
    assert list((folder.path / "private").iterdir()) == []


MARK = b"what only the private images could tell"


def written_by(command: list[str], out: Path) -> dict[str, bytes]:
    before = {path for path in out.rglob("*") if path.is_file()}
    assert execute(command) == 0
    found = [path for path in out.rglob("*") if path.is_file() and path not in before]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["report", "--format", "html", "--out", "{out}/page.html"], {"page.html"}),
        (["report", "--format", "markdown", "--out", "{out}/page.md"], {"page.md"}),
        (["report", "--format", "latex", "--out", "{out}/page.tex"], {"page.tex"}),
        (["leaderboard", "--out", "{out}/board.csv"], {"board.csv"}),
        (["report", "--format", "terminal"], set()),
        (["status"], set()),
    ],
)
def test_what_commands_write_has_nothing_from_there(
    tmp_path: Path, command: list[str], expected: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    teacher = replace(fabricate.teacher_cell(scenario="split80"), sheltered=True)
    cells = [teacher, *(fabricate.cell(name, seed, scenario="split80") for name in ("kd", "at") for seed in range(3))]
    records = [fabricate.record(cell, x_mia_advantage=0.1) for cell in cells]
    folder = fabricate.write(tmp_path / "out" / "tiny", cells, records)
    folder.shelter(teacher.key)
    for path in folder.cell(teacher.key).sensitive:
        path.write_bytes(MARK)
    out = tmp_path / "handed-on"
    out.mkdir()
    verb, *options = [part.format(out=out) for part in command]
    written = written_by([verb, str(folder.path), *options], out)
    assert set(written) == expected
    printed = capsys.readouterr().out.encode()
    for content in (*written.values(), printed):
        assert MARK not in content
        assert b"private/" not in content
    assert names(folder.path / "private" / teacher.key) == {path.name for path in folder.cell(teacher.key).sensitive}
