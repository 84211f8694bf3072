"""A metric that breaks loses its own numbers, and nothing else happens."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kdharness.api.executors import EpochFinished
from kdharness.results.record import Record, Status
from kdharness.results.table import frame_of
from kdharness.stats.outcomes import problems_of

FAULTY = """
import sys
import torch
from kdharness.api import MetricSpec, hookimpl

def compute(evaluation):
    raise ValueError("compute broke")

def inspect(cell):
    raise ValueError("inspect broke")

def leave(cell):
    sys.exit(3)

def words(evaluation):
    return {"words": "many"}

def bare(evaluation):
    return 1.0

def foreign_number(evaluation):
    return {"top5": 1.0}

def not_a_number(evaluation):
    return {"not_a_number": float("nan")}

def vector(evaluation):
    return {"vector_all": evaluation.test.logits.mean(1)}

def of_train(evaluation):
    return {"of_train": float(evaluation.splits["train"].logits.mean())}

def of_teacher(evaluation):
    return {"of_teacher": float(evaluation.test.teacher_logits.mean())}

def flat(cell):
    return {"flat": 1.0}

def elsewhere(cell):
    return {"man": {"elsewhere": 1.0}}

def threads(evaluation):
    torch.set_num_threads(2)
    return {}

def private(cell):
    return {cell.main: {"private": float(len(cell.predict("private")[cell.main].targets))}}

def spoil(cell):
    next(cell.student.parameters()).data.add_(1)
    return {}

def hook(cell):
    cell.student.classifier.register_forward_hook(lambda module, inputs, output: output * 0)
    return {}

class Observer:
    def __init__(self, student, place):
        self.student, self.place = student, place
        if place == "start":
            raise ValueError("start broke")

    def before_update(self, parameters):
        torch.randn(3)
        if self.place == "before_update":
            raise ValueError("before_update broke")
        if self.place == "memory":
            raise MemoryError
        if self.place == "spoil":
            next(self.student.parameters()).add_(1)

    def values(self):
        if self.place == "values":
            raise ValueError("values broke")
        return {"foreign": 1.0} if self.place == "foreign" else {f"on_{self.place}": 1.0}

@hookimpl
def kdharness_metrics():
    yield MetricSpec("broken_compute", compute)
    yield MetricSpec("broken_inspect", inspect=inspect)
    yield MetricSpec("leave", inspect=leave)
    yield MetricSpec("words", words)
    yield MetricSpec("threads", threads)
    for compute_one in (bare, foreign_number, not_a_number, vector, of_train, of_teacher):
        yield MetricSpec(compute_one.__name__, compute_one)
    for inspect_one in (flat, elsewhere):
        yield MetricSpec(inspect_one.__name__, inspect=inspect_one)
    yield MetricSpec("private", inspect=private, splits=("private",))
    yield MetricSpec("spoil", inspect=spoil)
    yield MetricSpec("hook", inspect=hook)
    for place in ("start", "before_update", "values", "foreign", "spoil", "memory", "nothing"):
        yield MetricSpec(f"on_{place}", observe=lambda student, place=place: Observer(student, place))
"""


@pytest.fixture
def faulty(make_lab, tmp_path):
    file = tmp_path / "broken_metrics.py"
    file.write_text(FAULTY)

    def make(name: str, *metrics: str, **rest: object):
        return make_lab(name, plugin_files=(file,), metrics=metrics, **rest)

    return make


def cells_of(lab, **selection: object):
    given = {"methods": ("vanilla", "sp"), "scenarios": ("few100",), **selection}
    plan = lab.plan(**given)
    lab.train([p.cell for p in plan.cells if p.cell.role == "teacher"])
    return plan, [p.cell for p in plan.cells if p.cell.role == "student"]


def metrics_of(record: Record) -> set[str]:
    return {row.metric for row in record.metrics}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("broken_compute", "compute broke"),
        ("broken_inspect", "inspect broke"),
        ("leave", "it called sys.exit(3)"),
        ("spoil", "it changed the networks that it was to look at"),
        ("hook", "it changed the networks that it was to look at"),
        ("words", "its number 'words' is a str"),
        ("bare", "it returned a float and not numbers by name, as in {'bare': 1.0}"),
        (
            "foreign_number",
            "its number 'top5' is not called 'foreign_number', and does not begin with 'foreign_number_'",
        ),
        ("not_a_number", "its number 'not_a_number' is nan: leave out what cannot be measured"),
        ("vector", "its number 'vector_all' is a Tensor of shape [797]"),
        ("of_train", "it reads no split 'train'; there is test; the spec's `splits` says which a metric reads"),
        (
            "of_teacher",
            "'NoneType' object has no attribute 'mean'; "
            "teacher_logits is None where the metric's spec does not say needs_teacher=True",
        ),
        ("flat", "it returned a dict and not numbers by output and name, as in {cell.main: {'flat': 1.0}}"),
        ("elsewhere", "it names the output 'man', and there is logits (cell.main is 'logits')"),
        ("threads", "it changed torch's number of threads, which other cells share"),
        ("on_start", "start broke"),
        ("on_before_update", "before_update broke"),
        ("on_values", "values broke"),
        ("on_foreign", "its number 'foreign' does not begin with 'on_foreign'"),
    ],
)
def test_a_metric_that_breaks(faulty, name: str, says: str) -> None:
    sound, lab = faulty("sound", "top1"), faulty("lab", name, "top1")
    _, cells = cells_of(sound)
    plan, _ = cells_of(lab)
    sound.train(cells)
    records = lab.train(cells)
    for cell in cells:
        record = records[cell.key]
        assert record.status is Status.OK
        assert (record.error_type, record.error_message) == (
            "MetricError",
            f"metric '{name}' was not measured: {says}",
        )
        assert "Error" in record.traceback
        assert record.measured == ("top1",)
        assert metrics_of(record) == {"top1"}
        assert lab.bits(cell.key) == sound.bits(cell.key)
    lab.folder.plans.write(plan)
    (problem,) = problems_of(lab.folder.load().frame)
    assert (problem.status, problem.reason) == ("incomplete", f"MetricError: metric '{name}' was not measured: {says}")


def test_a_metric_without_fault_leaves_no_message(faulty) -> None:
    lab = faulty("lab", "on_nothing", "top1")
    _, cells = cells_of(lab)
    record = lab.train(cells)[cells[0].key]
    assert (record.status, record.error_message, record.measured) == (Status.OK, "", ("on_nothing", "top1"))
    assert record.values["x_on_nothing"] == record.values["x_on_nothing_last"] == 1.0
    assert lab.folder.read_record(cells[0].key) == record


def test_an_observer_that_changes_the_network_ends_the_cell(faulty) -> None:
    """It trained another network than it was to train."""
    lab = faulty("lab", "on_spoil")
    (cell,) = (p.cell for p in lab.plan(methods=("vanilla",), scenarios=("few100",)).cells)
    record = lab.train([cell])[cell.key]
    assert (record.status, record.error_type) == (Status.FAILED, "SharedStateChanged")
    assert record.error_message == "the metric 'on_spoil' changed the network that it was to look at"


def test_memory_that_an_observer_has_not_is_the_cells(faulty) -> None:
    """It may have it among fewer cells; left out, its numbers would be missing for good."""
    lab = faulty("lab", "on_memory")
    (cell,) = (p.cell for p in lab.plan(methods=("vanilla",), scenarios=("few100",)).cells)
    assert lab.train([cell])[cell.key].status is Status.OOM


@pytest.mark.parametrize(("scenario", "found"), [("few100", False), ("split80", True)])
def test_only_where_a_scenario_has_the_split(faulty, scenario: str, found: bool) -> None:
    lab = faulty("lab", "private")
    _, (cell,) = cells_of(lab, methods=("vanilla",), scenarios=(scenario,))
    record = lab.train([cell])[cell.key]
    assert record.error_message == ""
    assert (record.values.get("x_private", 0) > 0) == found


def interrupted_after(epoch: int):
    def stop(event: object) -> None:
        if isinstance(event, EpochFinished) and event.epoch == epoch:
            raise KeyboardInterrupt

    return stop


@pytest.mark.parametrize("first", ["gradient_norm", "top1"])
def test_a_cell_that_goes_on_from_its_checkpoint(make_lab, first: str) -> None:
    """An observer that saw every epoch has the numbers of an uninterrupted cell; one that did not has none."""
    whole, parts = make_lab("whole", metrics=("gradient_norm",)), make_lab("parts", checkpoint_seconds=0.0)
    (cell,) = (p.cell for p in whole.plan(methods=("vanilla",), scenarios=("few100",), epochs=3).cells)
    expected = whole.train([cell])[cell.key]
    parts.metrics = (first,)
    parts.on_event = interrupted_after(2)
    with pytest.raises(KeyboardInterrupt):
        parts.train([cell])
    parts.metrics, parts.on_event = ("gradient_norm",), lambda event: None
    record = parts.train([cell])[cell.key]
    assert record.status is Status.OK
    if first == "gradient_norm":
        assert record.metrics == expected.metrics
        assert parts.bits(cell.key) == whole.bits(cell.key)
    else:
        assert not any(name.startswith("x_gradient") for name in record.values)
        assert "'gradient_norm' was not measured: it was asked for when the cell had been training" in (
            record.error_message
        )


def test_a_finished_cell_that_lacks_a_metric_is_told_of(lab) -> None:
    from kdharness.execution.rerun import Rerun
    from kdharness.execution.resume import resume, unmeasured

    benchmark = lab.plan(methods=("vanilla",), scenarios=("few100",), seeds=(0, 1))
    cells = [p.cell for p in benchmark.cells]
    records = {c.key: Record(c, Status.OK, measured=("top1", "nll")) for c in cells}

    def line(known, rerun=None):
        return unmeasured(benchmark, known, resume(benchmark, known, lambda key: True, rerun))

    lacking = ", ".join(name for name in benchmark.metrics if name not in ("top1", "nll"))
    says = f"what this benchmark asks for now ({lacking}); --rerun all trains again and measures it"
    assert line(records) == f"2 finished cells lack {says}"
    assert line({cells[0].key: records[cells[0].key]}) == f"1 finished cell lacks {says}"
    assert line(records, Rerun.ALL) == ""
    assert line({c.key: Record(c, Status.OK, measured=benchmark.metrics) for c in cells}) == ""
    assert line({c.key: Record(c, Status.OK) for c in cells}) == ""  # of an older release: nobody knows
    assert line({}) == ""
    secret = replace(cells[0], secret=True)  # --rerun all would not train it again
    assert line({secret.key: Record(secret, Status.OK, measured=("top1",))}) == ""


def test_an_empty_table_has_no_problems() -> None:
    assert problems_of(frame_of([])) == ()
