"""Which methods are planned where a recipe mixes images, and how a refusal is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdharness.planning import make_plan
from kdharness.planning.plan import Plan
from kdharness.planning.selection import Selection
from kdharness.protocol.benchmark import load
from kdharness.registry.manager import Registry

METHODS = '''
from kdharness.api import *

class Silent(Method):
    """Says nothing of mixed labels."""
    name = "silent"
    reads = Reads(teachers="none")

class Paired(Silent):
    """Mixes, it says, and reads partners of a class."""
    name = "paired"
    mixed_labels = "mix"
    reads = Reads(teachers="none", partners="same_class")

class Larger(Silent):
    """Reads the label with the larger share, unless a parameter says otherwise."""
    name = "larger"
    kind: str = "larger"

    @property
    def mixed_labels(self):
        return self.kind

class Wrong(Silent):
    """Declares what there is not."""
    name = "wrong"
    mixed_labels = "both"

class Raising(Silent):
    """Has no answer."""
    name = "raising"

    @property
    def mixed_labels(self):
        raise RuntimeError("no answer")

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(m) for m in (Silent, Paired, Larger, Wrong, Raising)]
'''
MIXUP = "recipe.mixup=0.2"


@pytest.fixture
def known(tmp_path: Path) -> Registry:
    file = tmp_path / "labels.py"
    file.write_text(METHODS)
    return Registry.load([file])


def plan_of(registry: Registry, *settings: str, methods: tuple[str, ...] = ("all",)) -> Plan:
    selection = Selection(methods=methods, settings=settings, seeds=(0,), scenarios=("few100",))
    return make_plan(load("digits"), selection, registry)


def skips(plan: Plan) -> dict[str, str]:
    """By method, why its students will not run."""
    return {p.cell.method: p.skip for p in plan.cells if p.cell.role == "student" and p.skip}


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (
            "silent",
            "the recipe mixes images (mixup = 0.2), for which 'silent' is not defined: mixed_labels = 'refuse'",
        ),
        ("paired", "the recipe mixes images (mixup = 0.2), and 'paired' reads partners of one class"),
        ("larger", ""),
        ("wrong", "mixed_labels of method 'wrong' is 'both', and not one of mix, larger, refuse"),
        ("raising", "method 'raising' cannot be made: RuntimeError: no answer"),
    ],
)
def test_where_images_are_mixed(known: Registry, method: str, says: str) -> None:
    found = skips(plan_of(known, MIXUP, methods=(method,))).get(method, "")
    assert found.startswith(says)
    assert bool(found) == bool(says)


def test_what_a_parameter_makes_of_it(known: Registry) -> None:
    settings = ("recipe.cutmix=1", "recipe.mixup=0.5", "larger.kind=refuse")
    asked = "mixup = 0.5 and cutmix = 1"
    reason = f"the recipe mixes images ({asked}), for which 'larger' is not defined: mixed_labels = 'refuse'"
    assert skips(plan_of(known, *settings, methods=("larger",))) == {"larger": reason}


@pytest.mark.parametrize(
    "settings",
    [(), ("recipe.mixup=0",), (MIXUP, "recipe.mixing_probability=0"), (MIXUP, "recipe.mixing_off_epoch=0")],
)
def test_where_no_image_is_mixed_only_a_fault_is_a_reason(known: Registry, settings: tuple[str, ...]) -> None:
    assert set(skips(plan_of(known, *settings, methods=("silent", "paired", "larger", "wrong")))) == {"wrong"}


def test_built_in_methods_run_or_say_why_not(registry: Registry) -> None:
    plan = make_plan(load("digits"), Selection(methods=("all",), settings=(MIXUP,), seeds=(0,)), registry)
    reason = "the recipe mixes images (mixup = 0.2), for which '{}' is not defined: mixed_labels = 'refuse'"
    refused = ("crd", "cskd", "dlb", "dp_sgd", "pate", "pskd", "rona")
    of_other_pairs = {"deit", "fsp", "kdsvd"}
    skipped = {name: why for name, why in skips(plan).items() if name not in of_other_pairs}
    assert skipped == {name: reason.format(name) for name in refused}
    assert {p.cell.recipe["mixup"] for p in plan.cells if p.cell.role == "teacher"} == {0.2}
