"""What teachers say, kept and read again: the same bits, fewer forward passes, and nothing that was tampered with."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdharness.api.declarations import Wanted
from kdharness.api.executors import TeacherUse, WorkerWarning
from kdharness.api.staged import Outputs, StagedModel
from kdharness.data import sheet
from kdharness.engine import table_pages, view_table
from kdharness.errors import UserError
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.planning.teacher_uses import is_of_rows
from kdharness.protocol.benchmark import Benchmark, parse
from kdharness.testing import Lab

# 60 images of 6x6 with a frame of one pixel and a flip: 18 pictures of each. A model whose outputs depend on the batch,
# and methods that do what they must not.
PLUGIN = '''
import numpy as np
import torch
from torch import nn
from kdharness.api import *

def load(request):
    rng = np.random.default_rng(0)
    def split(n):
        return Split(rng.integers(0, 256, (n, 3, 6, 6)).astype(np.uint8), (np.arange(n) % 3).astype(np.int64))
    splits = {"train": split(60), "test": split(9)}
    return ImageDataset(splits, ("a", "b", "c"), (0.5,), (0.25,), Augmentation(1, True))

def describe(request):
    return DatasetInfo("specks:1", 3, (3, 6, 6), 60)

class Small(nn.Module):
    def __init__(self, num_classes, input_shape, sociable=False):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.ReLU())
        self.classifier = nn.Linear(5, num_classes)
        self.sociable = sociable
    def forward(self, images):
        logits = self.classifier(self.features(images).mean((2, 3)))
        return logits + 0.01 * images.mean() if self.sociable and not self.training else logits

class Sociable(Small):
    def __init__(self, num_classes, input_shape):
        super().__init__(num_classes, input_shape, sociable=True)

class Reader(Method):
    """Reads the teacher's logits and embeddings."""
    name = "reader"
    reads = Reads(taps=("embedding",))
    def losses(self, batch, student, teacher):
        near = (student.embedding - teacher.embedding).pow(2).mean()
        return {"ce": batch.task_loss(student.logits), "near": near + (student.logits - teacher.logits).pow(2).mean()}

class Mapper(Method):
    """Reads maps."""
    name = "mapper"
    reads = Reads(taps=("stages",))
    def losses(self, batch, student, teacher):
        near = (student.stages[0] - teacher.stages[0]).pow(2).mean()
        return {"ce": batch.task_loss(student.logits), "near": near + (student.logits - teacher.logits).pow(2).mean()}

class Spoiler(Method):
    """Writes into what teachers said, in its second epoch."""
    name = "spoiler"
    hidden: bool = False
    def losses(self, batch, student, teacher):
        if int(batch.step.epoch) == 1:
            (teacher.logits.data if self.hidden else teacher.logits).add_(1.0)
        return {"ce": batch.task_loss(student.logits)}

class Breaker(Method):
    """Changes its teacher unnoticed, in its first epoch."""
    name = "breaker"
    def losses(self, batch, student, teacher):
        next(teacher.model.parameters()).data.mul_(1.5)
        return {"ce": batch.task_loss(student.logits)}

@hookimpl
def kdharness_datasets():
    yield DatasetSpec("specks", describe, load)

@hookimpl
def kdharness_models():
    for name, factory in (("small", Small), ("sociable", Sociable)):
        yield ModelSpec(name, factory, stages=("features",), classifier="classifier")

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Reader), MethodSpec.of(Spoiler), MethodSpec.of(Breaker), MethodSpec.of(Mapper)]
'''
EPOCHS = 8
MANY = 10**6


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "specks.py"
    path.write_text(PLUGIN)
    return path


def benchmark(teacher: str, *methods: str, batch_size: int = 16, **recipe: object) -> Benchmark:
    content = {
        "name": "specks",
        "datasets": ["specks"],
        "pairs": [f"{teacher}:small"],
        "run": list(methods),
        "seeds": [0],
    }
    return parse({**content, "recipe": {"epochs": EPOCHS, "batch_size": batch_size, **recipe}}, "test")


def uses_of(plan: Plan) -> tuple[TeacherUse, ...]:
    """Teachers that would run often."""
    return tuple(TeacherUse(p.cell.key, MANY, 0, 1) for p in plan.cells if p.cell.role == "teacher")


class Trial:
    """A lab with tables, one without, and how often teachers ran."""

    def __init__(self, folder: Path, plugin: Path, plan_of: Benchmark) -> None:
        self.plain = Lab(folder / "plain", (plugin,), metrics=())
        self.plan = self.plain.plan(plan_of, epochs=None)
        self.tabled = Lab(folder / "tabled", (plugin,), metrics=(), teachers=uses_of(self.plan))
        self.runs = 0
        teacher = [p.cell for p in self.plan.cells if p.cell.role == "teacher"]
        self.plain.train(teacher)
        self.tabled.take(self.plain, self.students())

    def students(self, *methods: str) -> list[Cell]:
        cells = [p.cell for p in self.plan.cells if p.cell.role == "student" and not p.skip]
        return [cell for cell in cells if not methods or cell.method in methods]

    @property
    def folder(self) -> Path:
        return next((self.tabled.path / "view_tables").iterdir())

    def warnings(self) -> list[str]:
        return [event.message for event in self.tabled.events if isinstance(event, WorkerWarning)]

    def again(self, plugin: Path) -> None:
        """Another process, as far as tables can tell."""
        self.tabled = Lab(self.tabled.path, (plugin,), metrics=(), teachers=self.tabled.teachers)

    def equal(self, cells: Sequence[Cell]) -> bool:
        return all(self.plain.bits(cell.key) == self.tabled.bits(cell.key) for cell in cells)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many times a teacher ran since this was last asked."""
    count = 0
    original = StagedModel.run

    def counted(self: StagedModel, images: torch.Tensor, *given: Any, **rest: Any) -> Outputs:
        nonlocal count
        count += not self.training and len(images) in (16, 12)  # and not on the test images, which are 9
        return original(self, images, *given, **rest)

    monkeypatch.setattr(StagedModel, "run", counted)

    def since() -> int:
        nonlocal count
        found, count = count, 0
        return found

    return since


@pytest.fixture
def trial(tmp_path: Path, plugin: Path) -> Trial:
    return Trial(tmp_path, plugin, benchmark("small", "vanilla", "kd", "reader", "mapper", "spoiler"))


BATCHES = 4  # 16, 16, 16, 12


def test_the_same_bits_and_no_forward_pass_once_the_table_is_there(trial: Trial, passes: Callable[[], int]) -> None:
    cells = trial.students("kd", "reader")
    trial.plain.train(cells)
    assert passes() == EPOCHS * BATCHES
    trial.tabled.train(cells)
    first = passes()
    assert trial.equal(cells)
    assert first > BATCHES, "something had to fill it"
    trial.tabled.train(cells)
    assert passes() <= EPOCHS, "pictures of short batches, which were not kept"
    assert trial.equal(cells)
    trial.tabled.train(cells)
    assert json.loads((trial.folder / "checks.json").read_text()) == {"16": True, "12": True}
    assert passes() == 0
    assert trial.equal(cells)
    assert trial.warnings() == []


def test_rows_of_one_method_serve_another_and_solo_runs(trial: Trial, passes: Callable[[], int]) -> None:
    trial.plain.train(trial.students("kd", "reader"))
    trial.tabled.train(trial.students("reader"))
    passes()
    trial.tabled.train(trial.students("kd"))
    assert passes() <= EPOCHS, "the short last batch at most"
    assert trial.equal(trial.students("kd", "reader"))


def test_what_runs_for_a_reader_of_maps_is_kept_for_others(trial: Trial, passes: Callable[[], int]) -> None:
    trial.plain.train(trial.students("kd", "mapper"))
    passes()
    trial.tabled.train(trial.students("mapper"))
    assert passes() == EPOCHS * BATCHES
    trial.tabled.train(trial.students("kd"))
    # Those of the short batches, which are not kept, and the comparison.
    assert passes() <= 2 * EPOCHS + 4
    assert trial.equal(trial.students("kd", "mapper"))


def test_a_teacher_whose_outputs_depend_on_the_batch_runs_online_and_it_is_said(
    tmp_path: Path, plugin: Path, passes: Callable[[], int]
) -> None:
    trial = Trial(tmp_path, plugin, benchmark("sociable", "kd"))
    trial.plain.train(trial.students())
    passes()
    trial.tabled.train(trial.students())
    assert trial.equal(trial.students())
    (line,) = trial.warnings()
    assert line.startswith("view table: batches of 16 pictures of sociable are not, bit for bit, what it makes of them")
    passes()
    trial.again(plugin)
    trial.tabled.train(trial.students())
    assert passes() == EPOCHS * BATCHES, "it is known of it"
    assert trial.equal(trial.students())
    assert trial.warnings() == []


def test_by_name_rows_hold_whoever_asks_alone_or_in_company(tmp_path: Path, plugin: Path) -> None:
    """A table by name is a recipe of its own, with the same bits alone, in a group, in any order, and filled anew."""
    trial = Trial(tmp_path, plugin, benchmark("sociable", "kd", "reader", "mapper", teacher_outputs="table"))
    online = Trial(tmp_path / "online", plugin, benchmark("sociable", "kd", "reader", "mapper"))
    assert {c.key for c in trial.students()}.isdisjoint(c.key for c in online.students())
    teachers = [[p.cell.key for p in each.plan.cells if p.cell.role == "teacher"] for each in (trial, online)]
    assert teachers[0] == teachers[1], "nobody teaches a teacher"
    trial.plain.train(trial.students())
    for cell in reversed(trial.students()):
        trial.tabled.train([cell])
    assert trial.equal(trial.students())
    online.plain.train(online.students())
    for mine, other in zip(trial.students(), online.students(), strict=True):
        equal = trial.plain.bits(mine.key)["model.safetensors"] == online.plain.bits(other.key)["model.safetensors"]
        assert equal == (mine.method == "mapper"), "only it has the teacher run"


@pytest.mark.parametrize(
    ("recipe", "scenario", "said"),
    [
        ({"mixup": 0.2}, "clean", "mixup and cutmix make pictures that no table has"),
        ({"augmentation": "strong"}, "clean", "view 'strong' does not say that it has finitely many pictures"),
        ({}, "private", "scenario 'private' keeps images private"),
    ],
)
def test_where_there_can_be_no_table_by_name_the_reason_is_given(
    recipe: dict[str, object], scenario: str, said: str, tmp_path: Path, plugin: Path
) -> None:
    content = benchmark("small", "kd", teacher_outputs="table", **recipe).model_dump()
    scenarios = {"private": {"kind": "split", "public": 0.5}}
    changed = parse({**content, "pairs": ["small:small"], "scenario": scenarios, "scenarios": [scenario]}, "test")
    with pytest.raises(UserError, match=r"teacher_outputs = 'table'") as caught:
        Lab(tmp_path, (plugin,)).plan(changed)
    assert said in str(caught.value)


@pytest.mark.parametrize("recipe", [{"mixup": 0.2}, {"augmentation": "strong"}])
def test_pictures_that_cannot_be_counted_leave_no_table(
    recipe: dict[str, object], tmp_path: Path, plugin: Path
) -> None:
    trial = Trial(tmp_path, plugin, benchmark("small", "kd", **recipe))
    trial.plain.train(trial.students())
    trial.tabled.train(trial.students())
    assert trial.equal(trial.students())
    assert not (trial.tabled.path / "view_tables").exists()


@pytest.mark.parametrize("harm", ["cut", "changed", "swapped", "facts", "emptied", "gone"])
def test_a_table_that_was_tampered_with_changes_no_bit(trial: Trial, plugin: Path, harm: str, tmp_path: Path) -> None:
    cells = trial.students("kd", "reader")
    trial.plain.train(cells)
    trial.tabled.train(cells)
    path = trial.folder / "logits.f32"
    content = bytearray(path.read_bytes())
    if harm == "cut":
        path.write_bytes(content[:-40])
    elif harm == "changed":
        path.write_bytes(bytes(b ^ 1 for b in content))
    elif harm == "swapped":
        other = Trial(tmp_path / "other", plugin, benchmark("small", "kd", lr=0.2))
        other.tabled.train(other.students())
        assert other.folder.name != trial.folder.name
        for name in ("logits.f32", "logits.sums", "table.json", "checks.json"):
            shutil.copy(other.folder / name, trial.folder / name)
    elif harm == "facts":
        (trial.folder / "table.json").write_text("{]")
    elif harm == "emptied":
        path.write_bytes(b"")
    else:
        shutil.rmtree(trial.folder)
    trial.again(plugin)
    trial.tabled.train(cells)
    assert trial.equal(cells)
    said = {"cut": "was cut", "facts": "", "gone": ""}.get(harm, "are not what was written")
    assert len(trial.warnings()) == (harm not in ("facts", "gone")), "once for each"
    assert all(said in line for line in trial.warnings())


def test_a_cell_that_writes_into_a_row_spoils_no_other_and_not_the_table(trial: Trial, plugin: Path) -> None:
    trial.plain.train(trial.students("kd"))
    trial.tabled.train(trial.students("kd"))
    records = trial.tabled.train(trial.students("kd", "spoiler"))
    statuses = {trial.tabled.folder.read_record(key).cell.method: r.status.value for key, r in records.items()}
    assert statuses == {"kd": "ok", "spoiler": "failed"}
    assert trial.equal(trial.students("kd"))
    trial.again(plugin)
    trial.tabled.train(trial.students("kd"))
    assert trial.equal(trial.students("kd"))


def test_what_a_changed_teacher_said_is_not_kept(tmp_path: Path, plugin: Path) -> None:
    trial = Trial(tmp_path, plugin, benchmark("small", "kd", "breaker"))
    trial.plain.train(trial.students("kd"))
    trial.tabled.train(trial.students("breaker"))
    tables = trial.tabled.path / "view_tables"
    assert not list(tables.glob("*/logits.f32"))
    trial.tabled.train(trial.students("kd"))
    assert trial.equal(trial.students("kd"))


def test_a_full_disk_ends_no_run(trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    trial.plain.train(trial.students("kd"))
    monkeypatch.setattr(view_table, "LEFT_BYTES", 1 << 62)
    trial.tabled.train(trial.students("kd"))
    assert trial.equal(trial.students("kd"))
    (line,) = trial.warnings()
    assert line.startswith("view table: there is no room for ")


@pytest.mark.parametrize("outputs", ["auto", "table"])
def test_files_that_cannot_be_made_end_no_run(
    tmp_path: Path, plugin: Path, outputs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where a table is begun, and not where another process has begun it."""
    trial = Trial(tmp_path, plugin, benchmark("small", "kd", teacher_outputs=outputs))
    trial.plain.train(trial.students())
    for harm in ("new", "begun"):
        if harm == "begun":
            trial.tabled.train(trial.students())
            (trial.folder / "logits.f32").unlink()
            trial.again(plugin)

        def refuse(path: Path, size: int, anew: bool) -> None:
            raise OSError(errno.EFBIG, "File too large")

        with monkeypatch.context() as patch:
            patch.setattr(sheet, "_make", refuse)
            (record,) = trial.tabled.train(trial.students()).values()
        assert record.status.value == "ok", record.traceback
        assert trial.equal(trial.students())
        trial.again(plugin)


def test_what_was_compared_in_an_epoch_that_counts_for_nothing_is_forgotten(tmp_path: Path, plugin: Path) -> None:
    trial = Trial(tmp_path, plugin, benchmark("small", "kd", "breaker"))
    trial.tabled.train(trial.students("kd"))
    checks = trial.folder / "checks.json"
    checks.unlink()
    trial.again(plugin)
    trial.tabled.train(trial.students("breaker", "kd"))
    assert not checks.exists(), "somebody changed the teacher in that epoch"
    trial.again(plugin)
    trial.tabled.train(trial.students("kd"))
    assert json.loads(checks.read_text()) == {"16": True, "12": True}


def test_a_run_that_was_killed_while_a_table_was_filled_goes_on(trial: Trial, plugin: Path) -> None:
    cells = trial.students("kd")
    trial.plain.train(cells)

    class Killed(BaseException):
        pass

    def kill(event: object) -> None:
        if getattr(event, "epoch", 0) == 3:
            raise Killed

    trial.tabled.on_event = kill
    trial.tabled.checkpoint_seconds = 0.0
    with pytest.raises(Killed):
        trial.tabled.train(cells)
    trial.again(plugin)
    trial.tabled.train(cells, anew=False)
    assert trial.equal(cells)


def test_memory_holds_one_epoch(trial: Trial) -> None:
    """Rows that a page made are let go of when it is committed."""
    held: list[int] = []
    original = table_pages.Pages.commit

    def commit(self: table_pages.Pages) -> None:
        original(self)
        held.extend(len(page._made) for page in self._pages.values() if page is not None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_pages.Pages, "commit", commit)
        trial.tabled.train(trial.students("kd"))
    assert held
    assert set(held) == {0}


def test_in_order_each_picture_has_one_batch() -> None:
    from kdharness.data.pictures import Pictures

    pictures = Pictures(np.arange(0), each=3, images=10, make=lambda ids: torch.empty(0))
    whole = np.arange(30)
    batches = list(table_pages.in_order(whole, pictures, 4))
    assert all(len(batch.ids) == 4 for batch in batches)
    owned = np.concatenate([batch.own for batch in batches])
    assert sorted(owned.tolist()) == whole.tolist()
    for missing in ([0], [29], [13, 26]):
        for batch in table_pages.in_order(np.array(missing), pictures, 4):
            same = next(other for other in batches if other.ids.tolist() == batch.ids.tolist())
            assert same.count == batch.count


def test_packed_batches_are_of_one_size() -> None:
    batches = list(table_pages.packed(np.array([7, 8, 9, 10, 11]), 4))
    assert [batch.ids.tolist() for batch in batches] == [[7, 8, 9, 10], [11, 7, 8, 9]]
    assert [batch.own.tolist() for batch in batches] == [[7, 8, 9, 10], [11]]
    assert [batch.ids.tolist() for batch in table_pages.packed(np.array([7]), 3)] == [[7, 7, 7]]
    assert list(table_pages.packed(np.array([], np.int64), 3)) == []


def test_what_a_table_can_give() -> None:
    assert table_pages.kept_outputs(Wanted()) == ("logits",)
    assert table_pages.kept_outputs(Wanted(("stages", "embedding"))) == ("logits", "embedding")
    assert all(map(is_of_rows, (Wanted(), Wanted(("embedding",)))))
    assert not any(map(is_of_rows, (Wanted(("stages", "embedding")), Wanted((), ("layer1",)))))
