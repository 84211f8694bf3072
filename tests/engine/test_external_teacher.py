"""Teachers from files: what is read, what is refused, and that nothing in them is executed."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kdharness.cli.main import execute
from kdharness.engine.teachers import least_top1
from kdharness.errors import UserError
from kdharness.planning import make_plan
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import load
from kdharness.results.record import Record, Status
from kdharness.weights.reading import load_weights


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, torch.Tensor]:
    """Of a conv32 that was trained for a while."""
    from kdharness.testing import Lab

    lab = Lab(tmp_path_factory.mktemp("teacher") / "lab")
    teacher = lab.plan(methods=("kd",), epochs=8).cells[0].cell
    assert lab.train([teacher])[teacher.key].values["top1"] > 60
    return load_file(lab.folder.cell(teacher.key).model)


def planned(lab, path: Path) -> Plan:
    """As the command line plans."""
    selection = Selection(methods=("kd",), epochs=2, seeds=(0,), teachers=(str(path),))
    return make_plan(load("digits"), selection, lab.registry, read_weights=True)


def train_with(lab, *files: str, **rest: object) -> Record:
    """The record of kd taught from the files."""
    plan = lab.plan(methods=("kd",), teachers=files, scenarios=("few100",), **rest)
    (student,) = [p.cell for p in plan.cells]
    assert not student.requires
    return lab.train([student])[student.key]


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("plain.safetensors", None),
        ("plain.pt", lambda w: w),
        ("model.pt", lambda w: {"model": w, "epoch": 3}),
        ("state_dict.pth", lambda w: {"state_dict": w, "args": {"lr": 0.1}}),
        ("parallel.pt", lambda w: {"model": {f"module.{k}": v for k, v in w.items()}}),
        ("nested.pt", lambda w: {"model": {"state_dict": w}}),
    ],
)
def test_a_teacher_from_a_file(lab, tmp_path, weights, name, pack):
    path = tmp_path / name
    if pack is None:
        save_file(weights, path)
    else:
        torch.save(pack(weights), path)
    record = train_with(lab, str(path))
    assert record.status is Status.OK, record.traceback
    assert record.values["teacher_top1"] > 60
    assert "teacher conv32 from file" in record.cell.deviations
    assert record.cell.document["teachers"][0]["source"] == record.cell.teachers[0].sha256
    assert record.values["teacher_digest"] == record.cell.teachers[0].sha256[:16]


def test_the_same_weights_give_the_same_run_whatever_their_file(lab, tmp_path, weights):
    save_file(weights, tmp_path / "a.safetensors")
    torch.save(weights, tmp_path / "b.pt")
    records = [train_with(lab, f"conv32={tmp_path / name}") for name in ("a.safetensors", "b.pt")]
    assert records[0].cell.key != records[1].cell.key  # a file enters by its digest
    one, other = (lab.bits(r.cell.key) for r in records)
    assert one["model.safetensors"] == other["model.safetensors"]


def test_a_file_at_another_path_is_the_same_teacher(lab, tmp_path, weights):
    save_file(weights, tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes())
    keys = {
        lab.plan(methods=("kd",), teachers=(str(tmp_path / name),)).cells[-1].cell.key
        for name in ("a.safetensors", "b.safetensors")
    }
    assert len(keys) == 1


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: {k: v for k, v in w.items() if k != "fc.bias"}, "it lacks 'fc.bias'"),
        (lambda w: {**w, "more": torch.zeros(1)}, "'more' is not part of it"),
        (lambda w: {**w, "fc.bias": torch.zeros(11)}, "'fc.bias' is [11], not [10]"),
        (lambda w: {"model": [1, 2]}, "holds no state dict of tensors: it has 'model'; save model.state_dict() alone"),
        (lambda w: torch.zeros(3), "holds no state dict of tensors: it is a Tensor"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_when_planned_and_by_a_worker(lab, tmp_path, weights, change, says):
    path = tmp_path / "teacher.pt"
    torch.save(change(weights), path)
    with pytest.raises(UserError) as caught:
        planned(lab, path)
    record = train_with(lab, str(path))
    assert (record.status, record.error_type) == (Status.FAILED, "UserError")
    assert str(caught.value) == record.error_message
    assert record.error_message.startswith(f"teacher file {path} ")
    assert says in record.error_message
    assert "\n" not in record.error_message


@pytest.mark.parametrize(
    "change",
    [
        lambda w: {**w, "fc.bias": w["fc.bias"] + float("nan")},
        lambda w: {k: torch.randn_like(v.float()).abs() for k, v in w.items()},
    ],
)
def test_a_teacher_that_knows_too_little_fails_its_cells_with_one_line(lab, tmp_path, weights, change):
    path = tmp_path / "teacher.pt"
    torch.manual_seed(0)
    torch.save(change(weights), path)
    record = train_with(lab, str(path))
    says = "on the test split, less than the 19.00 % asked (chance and a tenth of the rest); teacher_top1_floor in"
    assert record.status is Status.FAILED
    assert record.error_type == "UserError"
    assert record.error_message.startswith(f"teacher file {path} ")
    assert says in record.error_message
    assert "\n" not in record.error_message


@pytest.mark.parametrize("name", ["noise.pt", "noise.safetensors", "empty.pt", "empty.safetensors"])
def test_a_file_that_holds_no_weights(lab, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"" if "empty" in name else b"these are no weights" * 100)
    with pytest.raises(UserError) as caught:
        planned(lab, path)
    reason = "it is empty" if "empty" in name else "it is damaged, or neither a safetensors nor a PyTorch file"
    assert str(caught.value) == f"teacher file {path} cannot be read as weights: {reason}"


@pytest.mark.parametrize("legacy", [True, False])
def test_code_in_a_file_is_not_executed(lab, tmp_path, legacy):
    path, trace = tmp_path / "bomb.pt", tmp_path / "it-ran"
    if legacy:
        path.write_bytes(pickle.dumps(Bomb(trace), protocol=2))
    else:
        torch.save({"model": Bomb(trace)}, path)
    with pytest.raises(UserError, match=r"it holds an object of '[.\w]+', which only code could make"):
        planned(lab, path)
    assert not trace.exists()
    with pytest.raises(UserError):
        load_weights(path)
    assert not trace.exists()


@pytest.mark.parametrize(("classes", "least"), [(2, 55.0), (10, 19.0), (100, 10.9), (1000, 10.09)])
def test_the_floor_is_chance_and_a_tenth_of_the_rest(classes, least):
    """Of two classes, twice what chance gives would be all."""
    assert least_top1(classes) == pytest.approx(least)


def test_the_floor_is_the_benchmarks(lab, tmp_path, weights):
    """Where it names one, it replaces twice what chance gives."""
    from kdharness.device.door import open_device
    from kdharness.engine.world import World
    from kdharness.measure.evaluate import top1

    save_file(weights, tmp_path / "t.safetensors")
    cell = lab.plan(methods=("kd",), teachers=(str(tmp_path / "t.safetensors"),)).cells[-1].cell
    strict, lenient = (
        World(lab.registry, lab.folder, lab.path, open_device("cpu"), teacher_top1_floor=floor)
        for floor in (99.5, 50.0)
    )
    with pytest.raises(UserError, match=r"less than the 99\.50 % asked; teacher_top1_floor"):
        strict.teachers.of(cell, strict.data.of(cell))
    data = lenient.data.of(cell)
    (teacher,) = lenient.teachers.of(cell, data)
    assert top1(teacher.logits_on("test"), data.test_targets) > 60


@pytest.mark.parametrize("off", [0.0, 0.29, -0.29, 0.32, -0.32])
def test_a_file_reaches_what_is_said_of_it(lab, tmp_path, weights, off):
    from kdharness.device.door import open_device
    from kdharness.engine.world import World
    from kdharness.measure.evaluate import top1

    save_file(weights, tmp_path / "t.safetensors")
    cell = lab.plan(methods=("kd",), teachers=(str(tmp_path / "t.safetensors"),)).cells[-1].cell
    plain = World(lab.registry, lab.folder, lab.path, open_device("cpu"))
    data = plain.data.of(cell)
    (teacher,) = plain.teachers.of(cell, data)
    reached = top1(teacher.logits_on("test"), data.test_targets)
    claims = ((f"{cell.dataset}/conv32", reached + off), ("elsewhere/conv32", 0.0))
    held = World(lab.registry, lab.folder, lab.path, open_device("cpu"), teacher_claims=claims)
    if abs(off) <= 0.3:
        assert len(held.teachers.of(cell, data)) == 1
    else:
        what = rf"reaches {reached:.2f} % on the test split, and not the {reached + off:.2f} % that are said of it"
        with pytest.raises(UserError, match=what):
            held.teachers.of(cell, data)


def test_a_file_that_changed_after_planning_is_refused(lab, tmp_path, weights):
    path = tmp_path / "t.safetensors"
    save_file(weights, path)
    cell = lab.plan(methods=("kd",), teachers=(str(path),)).cells[-1].cell
    save_file({k: v + 1 for k, v in weights.items()}, path)
    record = lab.train([cell])[cell.key]
    assert record.error_type == "UserError"
    assert "is not the one that was planned with" in record.error_message
    path.unlink()
    record = lab.train([cell])[cell.key]
    assert "is not the one that was planned with" in record.error_message


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("nowhere.pt", "--teacher: file nowhere.pt cannot be read: No such file or directory"),
        ("conv16=nowhere.pt", "unknown teacher model 'conv16' (--teacher); did you mean 'conv32'?"),
    ],
)
def test_what_the_command_line_says_of_files(lab, given, says):
    with pytest.raises(UserError) as caught:
        lab.plan(methods=("kd",), teachers=(given,))
    assert str(caught.value) == says


def test_two_teachers_need_names(lab, tmp_path, weights):
    save_file(weights, tmp_path / "t.safetensors")
    with pytest.raises(UserError, match="name its model, as model=FILE; the pairs have conv32, conv8"):
        lab.plan(methods=("kd",), pairs=("conv32+conv8:conv16",), teachers=(str(tmp_path / "t.safetensors"),))
    plan = lab.plan(
        methods=("kd",), pairs=("conv32:conv16", "conv8:conv16"), teachers=(f"conv32={tmp_path / 't.safetensors'}",)
    )
    assert [(p.cell.role, p.cell.teacher) for p in plan.cells] == [
        ("student", "conv32"), ("teacher", ""), ("student", "conv8"),
    ]  # fmt: skip


@pytest.mark.parametrize("change", [{"precision": "bf16"}, {"channels_last": True}])
def test_cells_of_different_precision_do_not_share_a_teacher(lab, change):
    """What a worker met first must not decide what a later cell is taught."""
    from kdharness.device.door import open_device
    from kdharness.engine.world import World

    protocol = load("digits")
    plain = lab.plan(protocol, methods=("kd",), scenarios=("few100",))
    other = replace(plain.cells[-1].cell, document={**plain.cells[-1].cell.document})
    other.document["recipe"] = {**other.recipe, **change}
    lab.train([plain.cells[0].cell])
    world = World(lab.registry, lab.folder, lab.path, open_device("cpu"))
    data = world.data.of(other)
    first, second = (world.teachers.of(cell, data)[0] for cell in (plain.cells[-1].cell, other))
    assert first is not second
    assert world.teachers.of(other, data)[0] is second


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize("option", ["--teacher", "--set"])
def test_a_run_and_a_dry_run_refuse_a_file_alike(tmp_path, weights, capsys, option, dry):
    """Before anything is written."""
    path = tmp_path / "weights.pt"
    torch.save({"net": {k: v for k, v in weights.items() if k != "fc.bias"}}, path)
    what = str(path) if option == "--teacher" else f"conv32.weights={path}"
    out = tmp_path / "out"
    arguments = ["run", "--methods", "kd", "--seeds", "0", "--out", str(out), option, what, *(["--dry-run"] * dry)]
    assert execute(arguments) == 2
    said = capsys.readouterr().err
    assert "weights.pt does not fit model 'conv32': it lacks 'fc.bias'; found under 'net', names such as " in said
    assert len(said.splitlines()) == 1
    assert not out.exists()


def test_a_dry_run_measures_a_teachers_file_as_the_run_does(tmp_path, weights, capsys, monkeypatch):
    monkeypatch.setattr("kdharness.engine.foreseen.LONG_SECONDS", 0.0)
    good, bad = tmp_path / "good.pt", tmp_path / "bad.pt"
    torch.save(weights, good)
    torch.save({k: torch.zeros_like(v) if k.startswith("fc.") else v for k, v in weights.items()}, bad)
    command = ["run", "--methods", "kd", "--seeds", "0-1", "--out", str(tmp_path / "out"), "--device", "cpu"]
    told = f"warning: its cells would fail: teacher file {bad} reaches "
    for path, code, refusals in ((good, 0, 0), (bad, 1, 1)):
        assert execute([*command, "--teacher", str(path), "--dry-run"]) == code
        lines = capsys.readouterr().err.splitlines()
        assert [f"measuring teacher file {path} on" in line for line in lines].count(True) == 1
        refused = [line for line in lines if line.startswith(told)]
        assert len(refused) == refusals
        assert all(line.endswith("teacher_top1_floor in the benchmark's file changes it") for line in refused)
    assert not (tmp_path / "out").exists()
