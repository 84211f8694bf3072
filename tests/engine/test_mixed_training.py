"""Recipes that mix images and soften labels: what methods, students and teachers see, and what cells share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from kdharness.api.executors import EpochFinished, Event
from kdharness.planning.cell import Cell
from kdharness.planning.plan import Plan
from kdharness.registry.manager import Registry
from kdharness.results.record import Status
from kdharness.testing import Lab

TELLERS = '''
import hashlib, json
from pathlib import Path
import torch
from kdharness.api import *

def digest(tensor):
    return hashlib.sha256(tensor.detach().contiguous().numpy().tobytes()).hexdigest()[:12]

class Teller(Method):
    """Writes down what it is given, step by step."""
    name = "teller"
    mixed_labels = "mix"
    where: str = ""

    def losses(self, batch, student, teacher):
        assert torch.equal(teacher.logits, teacher.model.run(batch.images).logits)
        mixing = batch.mixing
        line = dict(
            epoch=int(batch.step.epoch),
            phase=batch.step.phase,
            images=digest(batch.images),
            targets=batch.targets.tolist(),
            soft=None if batch.soft_targets is None else batch.soft_targets.tolist(),
            kind=mixing and mixing.kind,
            share=mixing and float(mixing.share),
            criterion=[batch.criterion.kind, batch.criterion.smoothing],
        )
        with open(f"{self.where}-{self.name}", "a") as file:
            file.write(json.dumps(line) + "\\n")
        return {"ce": batch.task_loss(student.logits)}

class Other(Teller):
    """The same under another name."""
    name = "other"

class Prescribing(Teller):
    """Mixes in its first epoch, whatever the recipe says, and not in its second."""
    name = "prescribing"
    mixed_labels = "mix"

    def phases(self):
        first = Phase("mixed", epochs=1, recipe={"mixup": 1.0, "label_smoothing": 0.2})
        return [first, Phase("plain", epochs=1)]

class Writing(Teller):
    """Changes a shared label in place."""
    name = "writing"

    def losses(self, batch, student, teacher):
        batch.soft_targets.mul_(0.5)
        return {"ce": batch.task_loss(student.logits)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(m) for m in (Teller, Other, Prescribing, Writing)]
'''


@pytest.fixture
def telling(tmp_path: Path, make_lab: Callable[..., Lab]) -> Lab:
    (tmp_path / "tellers.py").write_text(TELLERS)
    return make_lab(plugin_files=(tmp_path / "tellers.py",), metrics=())


def planned(lab: Lab, tmp_path: Path, methods: tuple[str, ...], *settings: str, epochs: int = 2) -> Plan:
    where = [f"{name}.where={tmp_path / 'told'}" for name in methods if name in ("teller", "other", "prescribing")]
    return lab.plan(methods=methods, settings=(*settings, *where), scenarios=("few100",), epochs=epochs)


def told(tmp_path: Path, method: str) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in (tmp_path / f"told-{method}").read_text().splitlines()]


def students(plan: Plan) -> list[Cell]:
    return [p.cell for p in plan.cells if p.cell.role == "student"]


def test_all_methods_of_a_group_see_the_same_mixed_images_and_labels(telling: Lab, tmp_path: Path) -> None:
    settings = ("recipe.mixup=0.4", "recipe.cutmix=1", "recipe.mixing_probability=0.8", "recipe.label_smoothing=0.1")
    plan = planned(telling, tmp_path, ("teller", "other"), *settings, epochs=4)
    records = telling.train_plan(plan)
    assert {record.status for record in records.values()} == {Status.OK}
    lines = told(tmp_path, "teller")
    assert lines == told(tmp_path, "other")
    assert {line["kind"] for line in lines} == {None, "mixup", "cutmix"}
    assert {tuple(line["criterion"]) for line in lines} == {("ce", 0.1)}
    for line in lines:
        assert (line["soft"] is None) == (line["kind"] is None)
        for label, soft in zip(line["targets"], line["soft"] or [], strict=False):
            assert sum(soft) == pytest.approx(1)
            assert soft[label] == pytest.approx(max(soft))
            assert max(line["share"], 1 - line["share"]) == pytest.approx(soft[label]) or soft[label] == 1


def test_mixing_ends_at_its_epoch(telling: Lab, tmp_path: Path) -> None:
    plan = planned(telling, tmp_path, ("teller",), "recipe.mixup=0.4", "recipe.mixing_off_epoch=1", epochs=3)
    telling.train_plan(plan)
    kinds = {(line["epoch"], line["kind"]) for line in told(tmp_path, "teller")}
    assert kinds == {(0, "mixup"), (1, None), (2, None)}


def test_a_method_may_prescribe_mixing_for_a_phase(telling: Lab, tmp_path: Path) -> None:
    plan = planned(telling, tmp_path, ("prescribing", "vanilla"), "recipe.loss=bce")
    telling.train_plan(plan)
    assert {(line["phase"], line["kind"], *line["criterion"]) for line in told(tmp_path, "prescribing")} == {
        ("mixed", "mixup", "bce", 0.2),
        ("plain", None, "bce", 0.0),
    }


def test_who_changes_shared_labels_fails_alone(telling: Lab, tmp_path: Path) -> None:
    plan = planned(telling, tmp_path, ("writing", "vanilla", "kd"), "recipe.mixup=0.4")
    records = telling.train_plan(plan)
    found = {cell.method: records[cell.key] for cell in students(plan)}
    assert found["writing"].error_type == "SharedStateChanged"
    assert found["vanilla"].status is found["kd"].status is Status.OK
    alone = Lab(tmp_path / "alone", plugin_files=telling.plugin_files, metrics=())
    kd = next(cell for cell in students(plan) if cell.method == "kd")
    alone.take(telling, [kd])
    alone.train([kd], alone=True)
    assert alone.bits(kd.key) == telling.bits(kd.key)


def test_a_resumed_cell_is_mixed_as_one_that_ran_through(make_lab: Callable[..., Lab]) -> None:
    settings = ("recipe.mixup=0.4", "recipe.cutmix=1", "recipe.label_smoothing=0.1")
    through, stopped = make_lab("through", metrics=()), make_lab("stopped", metrics=(), checkpoint_seconds=0.0)
    plan = through.plan(methods=("vanilla",), settings=settings, scenarios=("few100",), epochs=3)
    (cell,) = students(plan)
    through.train([cell])

    def stop(event: Event) -> None:
        if isinstance(event, EpochFinished) and event.epoch == 2:
            raise KeyboardInterrupt

    stopped.on_event = stop
    with pytest.raises(KeyboardInterrupt):
        stopped.train([cell])
    stopped.on_event = lambda event: None
    stopped.train([cell])
    assert stopped.bits(cell.key) == through.bits(cell.key)


RECIPES = {
    "mixup": ("recipe.mixup=0.2",),
    "cutmix": ("recipe.cutmix=1",),
    "both": ("recipe.mixup=0.2", "recipe.cutmix=1"),
    "smooth": ("recipe.label_smoothing=0.1",),
    "bce": ("recipe.loss=bce", "recipe.mixup=0.2", "recipe.label_smoothing=0.1"),
}


# Of images that are mixed: a bank or a partner belongs to one image, a budget to one label.
NOT_MIXED = {"crd", "cskd", "dlb", "dp_sgd", "pate", "pskd", "rona"}
# The pair has not what they need.
OF_OTHER_PAIRS = {"deit", "fsp", "kdsvd"}


@pytest.mark.parametrize("name", RECIPES)
def test_every_built_in_method_trains_or_says_why_not(name: str, make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(metrics=())
    plan = lab.plan(methods=("all",), settings=RECIPES[name], epochs=1)
    refused = {p.cell.method for p in plan.cells if p.skip}
    assert refused == OF_OTHER_PAIRS | (set() if name == "smooth" else NOT_MIXED)
    records = lab.train_plan(plan)
    assert {key: r.error_message for key, r in records.items() if r.status is not Status.OK} == {}
    assert {r.cell.method for r in records.values()} | refused == set(Registry.load().methods)
