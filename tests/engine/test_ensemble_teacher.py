"""Several teachers: one ensemble to a method that reads one, each run once for all, and reported as an ensemble."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kdharness.api import ViewSpec
from kdharness.api.functional import log_mean_probability
from kdharness.device.door import open_device
from kdharness.engine.builder import build
from kdharness.engine.lockstep import Lockstep
from kdharness.engine.member import Member
from kdharness.engine.teacher_batch import TeacherBatch
from kdharness.engine.teachers import Ensemble
from kdharness.engine.view_tables import ViewTables
from kdharness.engine.world import World
from kdharness.protocol.benchmark import parse

PAIR = "conv4+sepconv16:conv4"


def small_benchmark(*methods: str, scenario: str = "few100"):
    recipe = {"epochs": 2, "batch_size": 50, "lr": 0.05}
    content = {"name": "small", "datasets": ["digits"], "pairs": [PAIR], "scenarios": [scenario], "run": list(methods)}
    return parse({**content, "seeds": [0], "recipe": recipe}, "test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    """kd, meal and meal_v2 with two teachers, in one folder."""
    from kdharness.testing import Lab

    lab = Lab(tmp_path_factory.mktemp("ensemble") / "lab")
    plan = lab.plan(small_benchmark("kd", "meal", "meal_v2"))
    return lab, plan, lab.train_plan(plan)


def cell_of(plan, method: str, role: str = "student"):
    return next(p.cell for p in plan.cells if p.cell.method == method and p.cell.role == role)


def member_of(lab, cell) -> Member:
    world = World(lab.registry, lab.folder, lab.path, open_device("cpu"))
    data = world.data.of(cell)
    teachers = world.teachers.of(cell, data)
    return Member(cell, 0, world, data, teachers, build(cell, world, data, teachers))


def test_all_are_trained(trained) -> None:
    _, _, records = trained
    assert {r.status.value for r in records.values()} == {"ok"}, [r.traceback for r in records.values()]


def test_log_mean_probability() -> None:
    logits = [torch.randn(4, 3), torch.randn(4, 3), torch.tensor([[1e4, 0.0, -1e4]]).repeat(4, 1)]
    found = log_mean_probability(logits)
    torch.testing.assert_close(found.exp(), torch.stack([one.softmax(1) for one in logits]).mean(0))
    assert found.isfinite().all()


def test_a_method_that_reads_one_teacher_gets_the_mean_probability(trained, monkeypatch) -> None:
    lab, plan, _ = trained
    member = member_of(lab, cell_of(plan, "kd"))
    ensemble = member.teachers[0]
    assert isinstance(ensemble, Ensemble)
    assert len(member.teachers) == 1
    images = member.data.test.pixels(torch.arange(20))
    with torch.no_grad():
        members = [t.model(images).softmax(1) for t in member.reference_teachers]
        torch.testing.assert_close(ensemble.model(images).softmax(1), torch.stack(members).mean(0))
    seen = []

    def losses(self, batch, student, teacher):
        seen.append(teacher)
        return {"ce": batch.task_loss(student.logits)}

    monkeypatch.setattr(type(member.method), "losses", losses)
    run_one_epoch(member)
    assert len(seen[0].logits) == 50
    torch.testing.assert_close(seen[0].logits.exp().sum(1), torch.ones(50))
    with pytest.raises(AttributeError):
        _ = seen[0].stages


def run_one_epoch(member: Member) -> None:
    def find(name: str) -> ViewSpec:
        return member.registry.views[name].spec

    def fail(one: Member, error: Exception) -> None:
        raise error

    Lockstep(open_device("cpu"), find, fail, lambda number: None, ViewTables(Path("unused"), member.registry)).run(
        member.request(), [member]
    )


def test_the_reported_teacher_is_the_ensemble(trained) -> None:
    lab, plan, records = trained
    cell = cell_of(plan, "kd")
    member = member_of(lab, cell)
    rows = torch.arange(len(member.data.test))
    with torch.no_grad():
        logits = member.teachers[0].model.eval()(member.data.test.pixels(rows))
    hits = (logits.argmax(1) == member.data.test_targets).double().mean().item() * 100
    for method in ("kd", "meal"):
        assert records[cell_of(plan, method).key].values["teacher_top1"] == pytest.approx(hits, abs=1e-9)
    digests = records[cell.key].values["teacher_digest"].split("+")
    assert [len(d) for d in digests] == [16, 16]


def test_teachers_run_once_for_the_ensemble_and_for_those_who_read_them(trained, make_lab, monkeypatch) -> None:
    lab, plan, _ = trained
    runs = []
    original = TeacherBatch._run
    monkeypatch.setattr(TeacherBatch, "_run", lambda self, *given: runs.append(given[0]) or original(self, *given))
    before = lab.bits(cell_of(plan, "kd").key)
    records = lab.train([cell_of(plan, "kd"), cell_of(plan, "meal")])
    assert all(r.status.value == "ok" for r in records.values())
    assert len(runs) == 2 * 2 * 2  # epochs, batches of 50 out of 100 images, teachers
    assert lab.bits(cell_of(plan, "kd").key) == before


def test_meal_alone_runs_one_teacher_per_batch(trained, monkeypatch) -> None:
    lab, plan, _ = trained
    runs = []
    original = TeacherBatch._run
    monkeypatch.setattr(TeacherBatch, "_run", lambda self, *given: runs.append(given[0]) or original(self, *given))
    lab.train([cell_of(plan, "meal")])
    assert len(runs) == 2 * 2


def test_methods_that_need_a_teachers_inside_are_skipped_with_the_reason(lab) -> None:
    plan = lab.plan(small_benchmark("at", "kd"))
    reasons = {p.cell.method: p.skip for p in plan.cells if p.cell.role == "student"}
    assert reasons == {"at": "reads stages of one teacher, and an ensemble of 2 has none", "kd": ""}


def test_regimes(lab) -> None:
    def regimes(scenario: str, *pairs: str) -> dict[tuple[str, str], str]:
        plan = lab.plan(small_benchmark("vanilla", "kd"), scenarios=(scenario,), pairs=pairs)
        return {(p.cell.method, p.cell.teacher): p.cell.regime for p in plan.cells if p.cell.role == "student"}

    assert regimes("few100", PAIR, "conv8:conv4") == {
        ("vanilla", ""): "",
        ("kd", "conv4+sepconv16"): "several_teachers",
        ("kd", "conv8"): "",
    }
    assert set(regimes("noise40", PAIR, "conv8:conv4").values()) == {"noisy_labels"}


# -- warm start -------------------------------------------------------------------------------------------------------


def test_a_warm_start_is_a_required_cell_that_does_not_teach(trained) -> None:
    lab, plan, records = trained
    cell, plain = cell_of(plan, "meal_v2"), cell_of(plan, "vanilla", "step")
    assert cell.requires[-1] == plain.key
    assert cell.teacher == "conv4+sepconv16"
    assert cell.document["start"] == plain.key
    assert "start" not in cell_of(plan, "meal").document
    direct = lab.plan(small_benchmark("vanilla")).cells[0].cell
    assert direct.key == plain.key, "a required plain student is the plain student of the matrix"
    assert type(cell).from_json(cell.to_json()) == cell
    assert len(records[cell.key].values["teacher_digest"].split("+")) == 2


def test_a_warm_start_begins_with_the_trained_weights(trained) -> None:
    from safetensors.torch import load_file

    lab, plan, _ = trained
    weights = load_file(lab.folder.cell(cell_of(plan, "vanilla", "step").key).model)
    started = member_of(lab, cell_of(plan, "meal_v2")).student.network.state_dict()
    fresh = member_of(lab, cell_of(plan, "meal")).student.network.state_dict()
    assert all(torch.equal(started[name], tensor) for name, tensor in weights.items())
    assert any(not torch.equal(fresh[name], tensor) for name, tensor in weights.items())


def test_batchnorm_of_private_teachers_uses_the_batch(trained, lab) -> None:
    """Its outputs change, and the teachers that others share stay as they are."""
    group, _, _ = trained
    plan = group.plan(small_benchmark("kd", "meal"), settings=("meal.teacher_batchnorm=train",))
    cell = cell_of(plan, "meal")
    member = member_of(group, cell)
    run_one_epoch(member)
    assert not any(t.touched for t in member.reference_teachers)
    assert any(t.touched for t in member.teachers)
    assert group.train([cell, cell_of(plan, "kd")])[cell.key].status.value == "ok"
