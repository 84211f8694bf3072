"""What a method is told when a plan is made is what its own cell will find when it is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdharness.protocol.benchmark import Benchmark, load
from kdharness.testing import Lab

# `skip` and `build` note what they are told; whoever has too few images is skipped.
PLUGIN = '''
import json
from pathlib import Path
from torch.nn import functional as F
from kdharness.api import Method, MethodSpec, Reads, hookimpl

class Facts(Method):
    """Notes what it is told."""
    name = "facts"
    reads = Reads(teachers="none")
    where: str = ""
    least_images: int = 0

    def note(self, file, context):
        told = [dict(sorted(context.subset_sizes.items())), context.epochs, context.batch_size]
        with open(Path(self.where) / file, "a") as lines:
            lines.write(json.dumps(told) + "\\n")

    def skip(self, context):
        if self.where:
            self.note("planned", context)
        few = context.subset_sizes["train"] < self.least_images
        return f"has {context.subset_sizes['train']} images for {context.epochs} epochs" if few else None

    def build(self, context):
        if self.where:
            self.note("trained", context)

    def losses(self, batch, student, teacher):
        return {"ce": F.cross_entropy(student.logits, batch.targets)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Facts)]
'''
SCENARIOS = ("clean", "few100", "small100", "noise40", "asym40", "split80")


@pytest.fixture
def lab(make_lab: Callable[..., Lab], tmp_path: Path) -> Lab:
    (tmp_path / "facts.py").write_text(PLUGIN)
    return make_lab(plugin_files=(tmp_path / "facts.py",))


def validated(share: float) -> Benchmark:
    protocol = load("digits")
    return protocol.model_copy(update={"evaluation": protocol.evaluation.model_copy(update={"validation": share})})


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_plan_tells_what_training_tells(lab: Lab, tmp_path: Path, scenario: str, share: float) -> None:
    plan = lab.plan(
        validated(share), methods=("facts",), scenarios=(scenario,), epochs=1, settings=(f"facts.where={tmp_path}",)
    )
    records = lab.train_plan(plan)
    assert {record.status.value for record in records.values()} == {"ok"}
    planned, trained = (set((tmp_path / file).read_text().splitlines()) for file in ("planned", "trained"))
    assert planned == trained
    assert len(trained) == 1


def skipped(lab: Lab, **selection: Any) -> dict[str, str]:
    plan = lab.plan(validated(0.2), methods=("facts",), settings=("facts.least_images=85",), **selection)
    return {p.cell.scenario: p.skip for p in plan.cells}


def test_each_scenario_is_asked_for_itself(lab: Lab) -> None:
    found = skipped(lab, scenarios=("clean", "few100", "few200"), epochs=3)
    assert found == {"clean": "", "few100": "has 80 images for 3 epochs", "few200": ""}


def test_each_models_own_epochs_are_told(lab: Lab) -> None:
    protocol = validated(0.2)
    protocol = protocol.model_copy(update={"models": {"conv4": {"epochs": 7}}})
    plan = lab.plan(
        protocol,
        methods=("facts",),
        settings=("facts.least_images=85",),
        scenarios=("few100",),
        pairs=("conv8:conv4", "conv8:conv16"),
        epochs=None,
    )
    told = {p.cell.student: p.skip for p in plan.cells}
    own = load("digits").recipe.epochs
    assert told == {"conv4": "has 80 images for 7 epochs", "conv16": f"has 80 images for {own} epochs"}
