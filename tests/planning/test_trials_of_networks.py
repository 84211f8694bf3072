"""A network is tried once for the plans of a process, and one that is found wrong each time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kdharness.planning import compatibility
from kdharness.testing import Lab

PLUGIN = '''
from torch import nn
from kdharness.api import ModelSpec, hookimpl

class Counting(nn.Module):
    """Counts the forward passes of all that are made; with `extra` classes too many."""
    made = passes = 0

    def __init__(self, num_classes, input_shape, extra=0):
        super().__init__()
        Counting.made += 1
        self.features = nn.Sequential(nn.Conv2d(input_shape[0], 4, 3), nn.ReLU())
        self.classifier = nn.Linear(4, num_classes + extra)

    def forward(self, images):
        Counting.passes += 1
        return self.classifier(self.features(images).mean((2, 3)))

class Wrong(Counting):
    def __init__(self, num_classes, input_shape):
        super().__init__(num_classes, input_shape, extra=1)

@hookimpl
def kdharness_models():
    for name, factory in (("counting", Counting), ("wrong", Wrong)):
        yield ModelSpec(name, factory, stages=("features",), classifier="classifier")
'''


@pytest.fixture
def counting(make_lab: Callable[..., Lab], tmp_path: Path) -> Lab:
    file = tmp_path / "counting.py"
    file.write_text(PLUGIN)
    return make_lab(plugin_files=(file,))


def planned(lab: Lab, student: str) -> tuple[list[tuple[str, str]], int, int]:
    """Keys with the reasons to skip; how many networks were made, and how many passes they made."""
    counted = lab.registry.models["counting"].spec.factory
    counted.made = counted.passes = 0
    cells = lab.plan(methods=("vanilla", "kd"), pairs=(f"conv4:{student}",)).cells
    return [(p.cell.key, p.skip) for p in cells], counted.made, counted.passes


def test_a_second_plan_makes_the_network_anew_and_tries_it_no_more(counting: Lab) -> None:
    first, made, passes = planned(counting, "counting")
    assert (made, passes) == (1, 3)
    assert not any(skip for _, skip in first)
    assert planned(counting, "counting") == (first, 1, 0)


def test_a_network_that_is_wrong_is_so_in_each_plan(counting: Lab) -> None:
    first, _, passes = planned(counting, "wrong")
    assert passes > 0
    skips = {skip for _, skip in first if skip}
    assert skips == {"model 'wrong' returns 11 logits, the dataset has 10 classes"}
    assert planned(counting, "wrong")[0] == first


def test_other_data_is_another_trial(counting: Lab) -> None:
    spec = counting.registry.models["counting"].spec
    tried = compatibility._Tried()
    for shape, passes in (((3, 8, 8), 3), ((3, 8, 8), 0), ((3, 12, 12), 3), ((3, 8, 8), 0)):
        spec.factory.passes = 0
        blueprint = compatibility.Blueprint(10, shape, {"all": 60}, epochs=1, batch_size=10)
        model = tried.network(spec, blueprint, "meta")
        assert spec.factory.passes == passes
        assert compatibility.shape_of(model).stages == ((4, shape[1] - 2, shape[2] - 2),)


def test_only_so_many_are_remembered(counting: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = counting.registry.models["counting"].spec
    tried = compatibility._Tried()
    monkeypatch.setattr(tried, "MOST", 2)
    passes = []
    for classes in (2, 3, 4, 4, 3, 2):
        spec.factory.passes = 0
        tried.network(spec, compatibility.Blueprint(classes, (3, 8, 8), {"all": 60}, 1, 10), "meta")
        passes.append(spec.factory.passes)
    assert passes == [3, 3, 3, 0, 0, 3]
