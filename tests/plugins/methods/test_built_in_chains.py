"""takd and ban in training: what they learn from, what they are measured against, and how they start."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from kdharness.protocol.benchmark import parse
from kdharness.results.rows import rows_of
from kdharness.results.table import frame_of
from kdharness.stats.paired import paired
from kdharness.stats.settings import comparable
from kdharness.stats.standings import standings
from kdharness.testing.lab import Lab

CONTENT: dict[str, Any] = {
    "name": "chains",
    "datasets": ["digits"],
    "pairs": ["conv16:conv8"],
    "scenarios": ["few100"],
    "run": ["vanilla", "kd", "takd", "ban"],
    "recipe": {"epochs": 2, "batch_size": 50},
    "methods": {"takd": {"assistant": "conv4"}},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The lab, its plan and the records of all cells."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    plan = lab.plan(parse(CONTENT, "chains.toml"), seeds=(0, 1))
    return lab, plan, lab.train_plan(plan)


@pytest.fixture(scope="module")
def frame(trained):
    _, plan, records = trained
    return frame_of(rows_of({p.cell.key: p for p in plan.cells}, records))


def test_chains_stand_beside_kd(frame):
    assert set(frame["status"]) == {"ok"}
    gains = paired(comparable(frame)[0], "kd")
    assert sorted(gains["method"]) == ["ban", "takd", "vanilla"]
    assert set(gains["n"]) == {2}
    board = standings(frame)
    assert sorted(board["method"]) == ["ban", "kd", "takd", "vanilla"]
    assert set(board["teacher"]) == {"conv16"}
    assert sorted(board["rank"])[0] == 1
    assert board["rank"].notna().all()


def test_steps_are_in_the_table_and_never_ranked(frame):
    steps = frame[frame["role"] == "step"]
    assert [(m, t, s) for m, t, s in zip(steps["method"], steps["teacher"], steps["student"], strict=True)] == [
        ("kd", "conv16", "conv4")
    ] * 2
    assert not set(steps["cell"]) & set(comparable(frame)[0]["cell"])
    assert len(frame[(frame["role"] == "student") & (frame["method"] == "kd")]) == 2


def test_a_chain_is_measured_against_the_pairs_teacher(frame):
    teacher = frame[frame["role"] == "teacher"].iloc[0]
    taught = frame[frame["method"].isin(["takd", "ban"]) & (frame["role"] == "student")]
    assert set(taught["teacher_top1"]) == {teacher["top1"]}
    assert set(taught["teacher_cell"]) == {teacher["cell"]}
    assert set(taught["x_teacher_parameters"].astype(int)) == {int(teacher["student_parameters"])}
    steps = dict(zip(frame["cell"], zip(frame["role"], frame["method"], frame["student"], strict=True), strict=True))
    assert {steps[key] for key in frame.loc[frame["method"] == "takd", "source_cells"]} == {("step", "kd", "conv4")}
    assert {steps[key] for key in frame.loc[frame["method"] == "ban", "source_cells"]} == {("student", "kd", "conv8")}


def test_agreement_is_with_the_pairs_teacher(trained, frame):
    lab = trained[0]
    teacher = frame.loc[frame["role"] == "teacher", "cell"].iloc[0]
    for _, row in frame[frame["method"] == "takd"].iterrows():
        guesses = [np.load(lab.folder.cell(key).predictions)["logits"].argmax(1) for key in (teacher, row["cell"])]
        assert row["teacher_agreement"] == pytest.approx(100 * float((guesses[0] == guesses[1]).mean()), abs=0.4)


def test_a_teacher_does_not_start_where_its_student_does(make_lab):
    lab = make_lab()
    content = {**CONTENT, "pairs": ["conv4:conv4"], "run": ["kd"], "recipe": {"epochs": 1, "lr": 1e-30}}
    plan = lab.plan(parse(content, "selves.toml"), seeds=(0,), epochs=1)
    assert all(record.status == "ok" for record in lab.train_plan(plan).values())
    teacher, student = (load_file(lab.folder.cell(p.cell.key).model)["fc.weight"] for p in plan.cells)
    assert not torch.equal(teacher, student)


def test_generations_start_from_weights_of_their_own(make_lab):
    lab = make_lab()
    content = {**CONTENT, "run": ["kd", "ban"], "recipe": {"epochs": 1, "lr": 1e-30}}
    plan = lab.plan(parse(content, "still.toml"), seeds=(0,), epochs=1, settings=("ban.generations=3",))
    lab.train_plan(plan)
    students = [p.cell for p in plan.cells if p.cell.role != "teacher"]
    assert [c.method for c in students] == ["kd", "ban", "ban"]
    starts = [load_file(lab.folder.cell(c.key).model)["fc.weight"] for c in students]
    assert not any(torch.equal(a, b) for i, a in enumerate(starts) for b in starts[:i])
