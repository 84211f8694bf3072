"""Averaged weights beside the last ones: what they are, what is measured with them, and that they are state."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from kdharness.api.executors import EpochFinished
from kdharness.measure.averages import Averages
from kdharness.testing import Lab

PLUGIN = '''
import torch
from kdharness.api import Method, MethodSpec, Reads, hookimpl

class Averaging(Method):
    """Averages the student's weights by hand, beside the harness."""
    name = "averaging"
    reads = Reads(teachers="none")
    where: str = ""

    def build(self, context):
        self.network = [context.student_model.network]
        self.average = {name: t.detach().clone() for name, t in self.network[0].state_dict().items()}

    def losses(self, batch, student, teacher):
        return {"ce": batch.task_loss(student.logits)}

    def after_step(self, batch, student, teacher):
        names = {name for name, _ in self.network[0].named_parameters()}
        for name, now in self.network[0].state_dict().items():
            self.average[name] = 0.75 * self.average[name] + 0.25 * now if name in names else now.clone()

    def after_epoch(self, epoch):
        torch.save(self.average, self.where)

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Averaging)]
'''

EMA = ("recipe.ema_decay=0.75", "recipe.batch_size=25")


def train(lab: Lab, *settings: str, method: str = "vanilla", **rest: Any) -> Any:
    plan = lab.plan(methods=(method,), scenarios=("few100",), settings=(*EMA, *settings), **rest)
    records = lab.train_plan(plan)
    record = records[plan.cells[-1].cell.key]
    assert record.status.value == "ok", record.traceback
    return record


@pytest.mark.parametrize("evaluate", ["last", "ema"])
def test_the_average_is_that_of_the_weights_after_each_step(
    make_lab: Callable[..., Lab], tmp_path: Path, evaluate: str
) -> None:
    """Running statistics are copied. Of the two, what is evaluated is kept for others."""
    (tmp_path / "averaging.py").write_text(PLUGIN)
    lab = make_lab(plugin_files=(tmp_path / "averaging.py",), metrics=("top1",))
    settings = (f"averaging.where={tmp_path / 'average.pt'}", f"recipe.evaluate={evaluate}")
    record = train(lab, *settings, method="averaging")
    kept = load_file(lab.folder.cell(record.cell.key).model)
    average = torch.load(tmp_path / "average.pt")
    close = {name: torch.allclose(kept[name], value, atol=1e-6) for name, value in average.items()}
    buffers = {name for name in average if "running" in name or "batches" in name}
    assert buffers
    assert all(close[name] for name in buffers)
    assert all(close.values()) == (evaluate == "ema")


@pytest.mark.parametrize("evaluate", ["last", "ema"])
def test_each_output_has_a_twin_and_the_main_one_is_first(make_lab: Callable[..., Lab], evaluate: str) -> None:
    lab = make_lab()
    record = train(lab, f"recipe.evaluate={evaluate}", method="dml", epochs=3)
    names = ["student", "peer1", "ensemble"]
    twins = [f"ema_{name}" for name in names]
    expected = [*twins, *names] if evaluate == "ema" else [*names, *twins]
    rows = {(row.predictor, row.metric): row.value for row in record.metrics if row.split == "test"}
    assert list(dict.fromkeys(name for name, metric in rows if metric == "top1")) == expected
    assert record.values["top1"] == rows[expected[0], "top1"]
    assert rows["student", "top1"] != rows["ema_student", "top1"]
    for metric in ("parameters", "macs"):
        assert rows["peer1", metric] == rows["ema_peer1", metric]
    assert record.values["student_parameters"] == rows["student", "parameters"]
    stored = np.load(lab.folder.cell(record.cell.key).predictions)
    assert list(stored)[:-1] == ["logits", *(f"logits_{name}" for name in expected[1:])]
    accuracy = 100 * (stored["logits"].argmax(1) == stored["targets"]).mean()
    assert record.values["top1"] == pytest.approx(accuracy)
    with lab.folder.cell(record.cell.key).history.open() as file:
        told = {row["predictor"] for row in csv.DictReader(file) if row["metric"] == "top1"}
    assert told == set(expected)


@pytest.mark.parametrize("evaluate", ["last", "ema"])
def test_metrics_of_networks_look_at_what_is_evaluated(make_lab: Callable[..., Lab], evaluate: str) -> None:
    lab = make_lab(metrics=("top1", "weight_noise", "class_separation"))
    record = train(lab, f"recipe.evaluate={evaluate}", method="byot")
    assert record.error_message == ""
    noise = {row.predictor for row in record.metrics if row.metric.startswith("weight_noise")}
    twins = {name for name in noise if name.startswith("ema_")}
    assert noise
    assert twins == (noise if evaluate == "ema" else set())


def test_a_teacher_teaches_with_its_averaged_weights(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(metrics=("top1",))
    plan = lab.plan(methods=("kd",), scenarios=("few100",), settings=(*EMA, "recipe.evaluate=ema"))
    records = lab.train_plan(plan)
    teacher, student = (records[planned.cell.key] for planned in plan.cells)
    assert student.values["teacher_top1"] == pytest.approx(teacher.values["top1"])
    rows = {row.predictor: row.value for row in teacher.metrics if row.metric == "top1"}
    assert rows["logits"] != rows["ema_logits"] == teacher.values["top1"]


def test_training_itself_is_as_without_averages(make_lab: Callable[..., Lab]) -> None:
    with_, without = make_lab("with"), make_lab("without")
    one = train(with_, method="kd")
    plan = without.plan(methods=("kd",), scenarios=("few100",), settings=("recipe.batch_size=25",))
    without.train_plan(plan)
    other = plan.cells[-1].cell
    kept = [load_file(lab.folder.cell(key).model) for lab, key in ((with_, one.cell.key), (without, other.key))]
    assert all(torch.equal(kept[0][name], kept[1][name]) for name in kept[1])


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        ("dml", ("recipe.evaluate=ema",)),
        ("meal", ("recipe.precision=bf16",)),
        ("dot", ("recipe.evaluate=ema", "recipe.clip_norm=0.5")),
        ("kd", ("recipe.evaluate=ema", "recipe.schedule_per=step", "recipe.warmup_epochs=1", "recipe.repeats=2")),
        ("vid", ("recipe.decay_norms_and_biases=False", "recipe.min_lr=0.01", "recipe.schedule=cosine")),
    ],
)
def test_alone_in_a_group_and_resumed_it_gives_the_same_bits(
    make_lab: Callable[..., Lab], method: str, settings: tuple[str, ...]
) -> None:
    group, parts = make_lab("group", metrics=()), make_lab("parts", metrics=(), checkpoint_seconds=0.0)
    methods = tuple(dict.fromkeys(("vanilla", "kd", method)))
    plan = group.plan(methods=methods, scenarios=("few100",), settings=(*EMA, *settings), epochs=3)
    records = group.train_plan(plan)
    assert {record.status.value for record in records.values()} == {"ok"}
    cell = next(p.cell for p in plan.cells if p.cell.method == method and p.cell.role == "student")
    parts.take(group, [cell])
    stopped = [2]

    def stop(event: object) -> None:
        if isinstance(event, EpochFinished) and event.epoch == stopped[-1]:
            stopped.append(event.epoch + 1)
            raise KeyboardInterrupt

    parts.on_event = stop
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            parts.train([cell])
    parts.train([cell])
    assert parts.bits(cell.key) == group.bits(cell.key)


def test_the_best_epoch_has_its_averages(make_lab: Callable[..., Lab]) -> None:
    """What is kept is what had the best validation accuracy, not the average at the end."""
    from kdharness.protocol.benchmark import parse

    content = {
        "name": "chosen", "datasets": ["digits"], "pairs": ["conv8:conv8"], "scenarios": ["clean"], "seeds": [0],
        "recipe": {"epochs": 4, "batch_size": 100, "lr": 0.05, "ema_decay": 0.9, "evaluate": "ema"},
        "evaluation": {"every": 1, "validation": 0.2},
    }  # fmt: skip
    lab = make_lab(metrics=("top1",), checkpoint_seconds=0.0)
    plan = lab.plan(parse(content, "x"), methods=("vanilla",), epochs=4)
    cell = plan.cells[-1].cell
    record = lab.train([cell])[cell.key]
    with lab.folder.cell(cell.key).history.open() as file:
        rows = [row for row in csv.DictReader(file) if row["predictor"] == "ema_logits"]
    by_split = {split: [float(r["value"]) for r in rows if r["split"] == split] for split in ("validation", "test")}
    best = int(np.argmax(by_split["validation"]))
    assert record.values["top1"] == pytest.approx(by_split["test"][best])
    assert record.values["val_top1"] == max(by_split["validation"])


def test_memory_counts_the_averages(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(metrics=())
    plain, averaged = (
        lab.plan(methods=("vanilla",), scenarios=("few100",), settings=settings).cells[-1].cell
        for settings in ((), ("recipe.ema_decay=0.9",))
    )
    records = lab.train([plain, averaged])
    weights = sum(t.numel() * t.element_size() for t in load_file(lab.folder.cell(plain.key).model).values())
    more = records[averaged.key].values["peak_memory_bytes"] - records[plain.key].values["peak_memory_bytes"]
    assert weights <= more < 3 * weights


def test_an_output_may_not_have_a_twins_name() -> None:
    averages = Averages([nn.Linear(1, 1)], 0.5, are_main=False)
    zeros = torch.zeros(1)
    with pytest.raises(ValueError, match="'ema_a' has the name of a twin"):
        averages.both({"a": zeros, "ema_a": zeros}, {"a": zeros})


def test_what_is_somebody_elses_is_left_alone() -> None:
    own, others = nn.Linear(2, 2), nn.Linear(2, 2)
    both = nn.Sequential(own, others)
    averages = Averages([both], 0.5, True, {id(p) for p in others.parameters()})
    with torch.no_grad():
        own.weight += 1
        others.weight += 1
    averages.update()
    last = own.weight.detach().clone()
    with averages.in_place():
        torch.testing.assert_close(own.weight.detach(), last - 0.5)
        assert others.weight.data_ptr() == both[1].weight.data_ptr()
    assert torch.equal(own.weight, last)
    assert len(averages.tensors()) == 2
