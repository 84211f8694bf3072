"""Plans are kept in order, and their union is what is planned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import fabricate
import pytest

from kdharness.errors import UserError
from kdharness.results.plans import planned_cells
from kdharness.results.store import ResultsFolder


def test_the_newest_plan_wins_at_each_address(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    old, kept, new = fabricate.cell("kd"), fabricate.cell("fitnets"), fabricate.cell("kd", method_revision="2")
    assert old.key != new.key
    assert old.addresses == new.addresses
    folder.plans.write(fabricate.plan([old, kept]))
    folder.plans.write(fabricate.plan([new]))
    assert set(folder.load().planned) == {kept.key, new.key}
    for cell in (old, new):
        folder.write_record(fabricate.record(cell))
    assert list(folder.load().stale) == [old.key]


def test_the_newer_plan_decides_what_is_skipped(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    cell = fabricate.cell()
    folder.plans.write(fabricate.plan([cell], {cell.key: "no stages"}))
    folder.plans.write(fabricate.plan([cell]))
    assert folder.load().planned[cell.key].skip == ""


def test_two_cells_of_one_plan_never_hide_each_other(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    twins = fabricate.cell("kd"), fabricate.cell("kd", method_revision="2")
    folder.plans.write(fabricate.plan(twins))
    assert set(folder.load().planned) == {c.key for c in twins}


def test_plans_keep_their_order_when_the_clock_goes_back(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    folder.plans.folder.mkdir(parents=True)
    first = folder.plans.write(fabricate.plan([fabricate.cell("kd")]))
    future = first.rename(first.with_name("29990101T000000.000000Z.json"))
    assert folder.plans.write(fabricate.plan([fabricate.cell("fitnets")])) > future
    assert [p.cells[0].cell.method for p in folder.plans.read()] == ["kd", "fitnets"]


def test_the_same_plan_is_kept_once(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    paths = {folder.plans.write(fabricate.plan([fabricate.cell()], created_at=t)) for t in ("1", "2")}
    assert len(paths) == 1
    assert folder.plans.paths() == list(paths)


def test_a_plan_of_another_schema_names_file_and_versions(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    path = folder.plans.write(fabricate.plan([fabricate.cell()]))
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 9}))
    with pytest.raises(UserError, match="version 9"):
        folder.load()


def test_another_command_is_another_plan(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    paths = [folder.plans.write(fabricate.plan([fabricate.cell()], command=(name,))) for name in "ab"]
    assert folder.plans.paths() == paths


def test_a_plan_beside_one_that_is_damaged_is_kept(tmp_path: Path) -> None:
    warnings: list[str] = []
    folder = ResultsFolder(tmp_path / "tiny", warnings.append)
    damaged = folder.plans.write(fabricate.plan([fabricate.cell()]))
    damaged.write_text('{"schema": 3, "cells"')
    kept = folder.plans.write(fabricate.plan([fabricate.cell()]))
    assert folder.plans.paths() == [damaged, kept]
    assert len(folder.plans.read()) == 1
    assert len(warnings) == 1


def test_what_some_plan_asks_for_is_no_step(tmp_path: Path) -> None:
    """First needed and later asked for, or the other way round: one cell, one row, a student."""
    step = fabricate.cell("kd", role="step")
    asked = replace(step, role="student")
    for name, order in (("first_needed", (step, asked)), ("first_asked", (asked, step))):
        folder = ResultsFolder(tmp_path / name)
        for cell in order:
            folder.plans.write(fabricate.plan([cell]))
        folder.write_record(fabricate.record(order[0]))
        (row,) = folder.load().rows
        assert (row["role"], row["status"]) == ("student", "ok")


def test_what_is_needed_alone_stays_a_step(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    folder.plans.write(fabricate.plan([fabricate.cell("kd", role="step")]))
    (row,) = folder.load().rows
    assert row["role"] == "step"


def test_a_method_whose_teachers_were_put_right_replaces_what_had_none(tmp_path: Path) -> None:
    """And the other way round. What was planned only for the one that went goes with it; what others need stays."""
    teacher, asked = fabricate.teacher_cell(), fabricate.cell("vanilla")
    step = fabricate.cell("kd", role="step")
    # The method's first edition required the wrong step, and its second could not say what it requires.
    source = fabricate.TeacherSource("conv16", step.key)
    wrong = fabricate.cell("chain", teacher=None, teachers=(source,), method_revision="1")
    mute, right = (fabricate.cell("chain", teacher=t, method_revision=r) for t, r in ((None, "2"), ("conv32", "3")))
    other = fabricate.cell("other", teacher=None)
    plans = [
        fabricate.plan([teacher, step, wrong, asked]),
        fabricate.plan([asked, mute, other], {mute.key: "failed in requires()"}),
        fabricate.plan([teacher, right]),
    ]
    kept = [set(planned_cells(plans[:n])) for n in (1, 2, 3)]
    assert kept[0] == {c.key for c in (teacher, step, wrong, asked)}
    assert kept[1] == {c.key for c in (asked, mute, other)}
    assert kept[2] == {c.key for c in (asked, other, teacher, right)}


def test_a_step_that_another_cell_needs_outlives_the_cell_that_is_replaced() -> None:
    step = fabricate.cell("kd", role="step")
    source = fabricate.TeacherSource("conv16", step.key)
    old, new = (fabricate.cell("chain", teachers=(source,), method_revision=r) for r in "12")
    friend = fabricate.cell("friend", teachers=(source,))
    first = fabricate.plan([step, old, friend])
    assert set(planned_cells([first, fabricate.plan([new])])) == {c.key for c in (step, friend, new)}
    assert set(planned_cells([fabricate.plan([step, old]), fabricate.plan([new, step])])) == {step.key, new.key}


def test_plans_of_two_tracks_stand_beside_each_other() -> None:
    """The same cell in both, a cell of each, and what a newer plan puts in one cell's place in one track."""
    shared, own = fabricate.cell("vanilla"), fabricate.cell("kd")
    tuned = fabricate.cell("kd", parameters={"weight": 3}).standing_in({"published": ""})
    first = fabricate.plan([shared, own])
    second = fabricate.plan([shared.standing_in({"published": ""}), tuned])
    for plans in ([first, second], [second, first]):
        found = {key: dict(entry.cell.standings) for key, entry in planned_cells(plans).items()}
        assert found == {
            shared.key: {"default": "", "published": ""}, own.key: {"default": ""}, tuned.key: {"published": ""},
        }  # fmt: skip
    newer = fabricate.cell("vanilla", method_revision="2")
    planned = planned_cells([second, first, fabricate.plan([newer])])
    found = {key: dict(entry.cell.standings) for key, entry in planned.items()}
    assert (found[newer.key], found[shared.key]) == ({"default": ""}, {"published": ""})
