"""Group against solo, bit for bit; failing neighbours; what is shared is done once."""

from __future__ import annotations

import shutil

import pytest
from torch.nn.modules.module import register_module_forward_pre_hook

from kdharness.api.executors import CellFinished, EpochFinished
from kdharness.api.staged import StagedModel
from kdharness.results.record import Status

# Those that are trained together here; tests/rehearsal checks every method alone, in a group and resumed.
METHODS = ("vanilla", "kd", "at", "rkd", "sp", "dkd", "rona")

TROUBLE = '''
import torch
from torch import nn
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, hookimpl

class Trouble(Method):
    """Does what `kind` says in its third step."""
    name = "trouble"
    kind: str = "none"

    def build(self, context):
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def losses(self, batch, student, teacher):
        self.steps += 1
        loss = F.cross_entropy(student.logits, batch.targets) + 0.0 * torch.randn(()) * torch.rand(1).sum()
        if int(self.steps) == 3:
            if self.kind == "raise":
                raise ValueError("something\\nbroke")
            if self.kind == "nan":
                loss = loss * float("nan")
            if self.kind == "shape":
                loss = loss.expand(4)
            if self.kind == "images":
                batch.images.mul_(2)
            if self.kind == "teacher_outputs":
                teacher.logits.zero_()
            if self.kind == "teacher_mode":
                teacher.model.train()
            if self.kind == "teacher_weights":
                with torch.no_grad():
                    next(teacher.model.parameters()).zero_()
            if self.kind == "dtype":
                torch.set_default_dtype(torch.float64)
            if self.kind == "stages":
                teacher.stages  # which "at", beside it, reads
            if self.kind == "memory":
                raise MemoryError("no memory left")
        return {"ce": loss}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Trouble)]
'''


def students_of(plan, *methods):
    """Their cells in the benchmark's own scenario, which share one teacher."""
    cells = [p.cell for p in plan.cells if p.cell.role == "student" and p.cell.scenario == "few100"]
    return [cell for cell in cells if cell.method in methods]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory):
    """Several methods in one group of two epochs, trained once for this module."""
    from kdharness.testing import Lab

    lab = Lab(tmp_path_factory.mktemp("everything") / "lab")
    plan = lab.plan(methods=METHODS)
    return lab, plan, lab.train_plan(plan)


def test_order_and_seeds_beside_it_do_not_matter(everything, make_lab):
    group, plan, _ = everything
    students = students_of(plan, "kd", "at", "rkd", "vanilla")
    other = make_lab()
    for source in {key for cell in students for key in cell.requires}:
        shutil.copytree(group.folder.cell(source).folder, other.folder.cell(source).folder)
    strangers = [p.cell for p in other.plan(methods=("kd",), seeds=(7,)).cells if p.cell.role == "student"]
    other.train([*strangers, *reversed(students)])
    for cell in students:
        assert other.bits(cell.key) == group.bits(cell.key)


@pytest.mark.parametrize(
    ("kind", "error_type", "says"),
    [
        ("raise", "ValueError", "something broke"),
        ("nan", "NonFiniteLoss", "the loss term 'ce' became nan in epoch 2, step 1"),
        ("shape", "MethodError", "losses()['ce'] must be a scalar tensor, got a tensor of shape [4]"),
        ("images", "SharedStateChanged", "it changed a shared tensor in place: batch.images (view 'standard')"),
        ("teacher_outputs", "SharedStateChanged", "it changed a shared tensor in place: teacher.logits"),
        (
            "teacher_mode",
            "SharedStateChanged",
            "changed its teacher, which others share (if it must, it sets private_teacher): its mode",
        ),
        ("teacher_weights", "SharedStateChanged", "private_teacher): network."),
        ("dtype", "SharedStateChanged", "default dtype"),
        ("stages", "AttributeError", "'stages' was not declared"),
    ],
)
def test_a_failing_neighbour_leaves_alone_and_the_others_go_on(everything, make_lab, tmp_path, kind, error_type, says):
    group, plan, _ = everything
    file = tmp_path / "trouble.py"
    file.write_text(TROUBLE)
    other = make_lab(plugin_files=(file,))
    well = students_of(plan, "kd", "at")
    shutil.copytree(group.folder.cell(well[0].requires[0]).folder, other.folder.cell(well[0].requires[0]).folder)
    bad = [p.cell for p in other.plan(methods=("trouble",), settings=(f"trouble.kind={kind}",)).cells]
    records = other.train([c for c in bad if c.role == "student"] + well)
    record = next(r for r in records.values() if r.cell.method == "trouble")
    assert record.status is Status.FAILED
    assert record.error_type == error_type
    assert says in record.error_message
    assert "\n" not in record.error_message
    for cell in well:
        assert records[cell.key].status is Status.OK
        assert other.bits(cell.key) == group.bits(cell.key)


def test_memory_that_runs_out_beside_others_is_tried_again_alone(lab, tmp_path, make_lab):
    file = tmp_path / "trouble.py"
    file.write_text(TROUBLE)
    other = make_lab("memory", plugin_files=(file,))
    plan = other.plan(methods=("trouble", "vanilla"), settings=("trouble.kind=memory",))
    records = other.train_plan(plan)
    trouble = next(p.cell for p in plan.cells if p.cell.method == "trouble")
    assert trouble.key not in records
    assert other.folder.read_record(trouble.key).status is Status.INTERRUPTED
    alone = other.train([trouble], alone=True)
    assert alone[trouble.key].status is Status.OOM


def test_the_teacher_runs_once_per_batch_for_the_whole_group(everything, make_lab):
    group, plan, _ = everything
    students = students_of(plan, "kd", "at", "sp", "dkd")
    other = make_lab()
    other.take(group, students)
    runs = []

    def count(module, args):
        if not module.training and len(args[0]) == 50:  # evaluation takes other batches
            runs.append(type(module).__name__)

    with register_module_forward_pre_hook(count):
        other.train(students)
    networks = [name for name in runs if name == "SmallConv"]
    assert len(networks) == 2 * 2  # epochs, batches of 50 out of 100 images


def test_a_stopped_cell_is_taken_up_from_its_checkpoint(everything, make_lab):
    """It says what it is in between, and its checkpoint goes when it ends."""
    group, plan, _ = everything
    cell = students_of(plan, "kd")[0]
    broken = make_lab("broken", checkpoint_seconds=0.0)
    shutil.copytree(group.folder.cell(cell.requires[0]).folder, broken.folder.cell(cell.requires[0]).folder)

    def stop(event: object) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 2:
            raise KeyboardInterrupt

    broken.on_event = stop
    with pytest.raises(KeyboardInterrupt):
        broken.train([cell])
    assert broken.folder.read_record(cell.key).status is Status.INTERRUPTED
    assert broken.folder.cell(cell.key).checkpoint.exists()
    broken.on_event = lambda event: None
    broken.events.clear()
    broken.train([cell])
    assert [e.epoch for e in broken.events if isinstance(e, EpochFinished)] == [2]
    assert broken.bits(cell.key) == group.bits(cell.key)
    assert not broken.folder.cell(cell.key).checkpoint.exists()


def test_a_damaged_checkpoint_counts_as_none(everything, make_lab):
    group, plan, _ = everything
    cell = students_of(plan, "vanilla")[0]
    other = make_lab()
    path = other.folder.cell(cell.key).checkpoint
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half a file")
    other.train([cell])
    assert other.bits(cell.key) == group.bits(cell.key)


def test_a_slow_cell_times_out_by_its_own_time(make_lab):
    lab = make_lab(timeout_seconds=1e-6)
    record = next(iter(lab.train_plan(lab.plan(methods=("vanilla",))).values()))
    assert record.status is Status.TIMEOUT
    assert "own steps took more than 1e-06 s" in record.error_message


def test_the_callers_generators_are_left_alone(lab):
    import torch

    before = torch.get_rng_state()
    lab.train_plan(lab.plan(methods=("vanilla",)))
    assert torch.equal(torch.get_rng_state(), before)


def test_what_a_finished_cell_leaves(everything):
    lab, plan, records = everything
    cell = students_of(plan, "kd")[0]
    values = records[cell.key].values
    assert 0 < values["top1"] < 100
    assert values["student_parameters"] == sum(p.numel() for p in _network(lab, cell).parameters())
    assert values["student_macs"] > 0
    assert values["peak_memory_bytes"] > 4 * values["student_parameters"]
    assert "top1_last10" not in values  # there were two epochs
    assert values["top1_test_oracle"] >= values["top1"]
    assert values["teacher_digest"]
    finished = [e for e in lab.events if isinstance(e, CellFinished)]
    assert {e.key for e in finished} == {p.cell.key for p in plan.cells if not p.skip}


def _network(lab, cell) -> StagedModel:
    spec = lab.registry.get("model", cell.student).spec
    return spec.factory(10, (1, 8, 8))
