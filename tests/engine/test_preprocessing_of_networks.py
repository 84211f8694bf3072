"""Networks that see the images at another size, or normalised by other numbers, than those beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from kdharness.api import Preprocessing
from kdharness.api.functional import log_mean_probability
from kdharness.device.door import open_device
from kdharness.engine.world import World
from kdharness.measure.costs import count_macs
from kdharness.planning.plan import Plan
from kdharness.protocol.benchmark import Benchmark, parse
from kdharness.results.record import Record, Status
from kdharness.testing import Lab

OWN = Preprocessing(mean=(0.5,), std=(0.25,), size=(18, 18), crop=(16, 16))
PLUGIN = f'''
from torch import nn
from kdharness.api import ModelSpec, Preprocessing, hookimpl

class Wide(nn.Module):
    """Fits the input that it is made for, and no other."""
    def __init__(self, num_classes, input_shape):
        super().__init__()
        self.conv = nn.Conv2d(input_shape[0], 8, 3, 2, 1)
        self.act = nn.ReLU()
        self.fc = nn.Linear(8 * input_shape[1] // 2 * input_shape[2] // 2, num_classes)

    def forward(self, x):
        return self.fc(self.act(self.conv(x)).flatten(1))

@hookimpl
def kdharness_models():
    parts = dict(stages=("act",), classifier="fc")
    yield ModelSpec("wide", Wide, **parts)
    yield ModelSpec("wide_eyed", Wide, preprocessing={OWN!r}, **parts)
    yield ModelSpec("coloured", Wide, preprocessing=Preprocessing((0.4, 0.5, 0.6), (0.2, 0.2, 0.2)), **parts)
'''


def benchmark(pair: str, *methods: str) -> Benchmark:
    content = {"name": "small", "datasets": ["digits"], "pairs": [pair], "scenarios": ["few100"], "seeds": [0]}
    return parse({**content, "run": list(methods), "recipe": {"epochs": 2, "batch_size": 50}}, "test")


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "models.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def make(tmp_path: Path, plugin: Path) -> Callable[..., Lab]:
    return lambda name="lab": Lab(tmp_path / name, plugin_files=(plugin,), metrics=("top1", "teacher_agreement"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, plugin: Path) -> tuple[Lab, Plan, dict[str, Record]]:
    """Two teachers that prepare images otherwise, as one and alone."""
    lab = Lab(tmp_path_factory.mktemp("trained"), plugin_files=(plugin,), metrics=("top1", "teacher_agreement"))
    plan = lab.plan(benchmark("wide_eyed+wide:conv4", "kd", "meal"))
    return lab, plan, lab.train_plan(plan)


def cell_of(plan: Plan, method: str) -> Any:
    return next(p.cell for p in plan.cells if p.cell.method == method and p.cell.role == "student")


def test_all_of_them_train(trained: tuple[Lab, Plan, dict[str, Record]]) -> None:
    _, _, records = trained
    assert [r.error_message for r in records.values() if r.status is not Status.OK] == []


def test_the_ensemble_is_of_what_each_sees(trained: tuple[Lab, Plan, dict[str, Record]]) -> None:
    lab, plan, records = trained
    world = World(lab.registry, lab.folder, lab.path, open_device("cpu"))
    cell = cell_of(plan, "kd")
    data = world.data.of(cell)
    wide_eyed, wide = (teacher.model for teacher in world.teachers.of(cell, data))
    pixels = data.test.pixels(torch.arange(len(data.test)))
    mean, std = data.dataset.mean[0], data.dataset.std[0]
    with torch.no_grad():
        seen = F.interpolate(pixels, (18, 18), mode="bilinear", antialias=True)[:, :, 1:17, 1:17]
        logits = [wide_eyed.network((seen - 0.5) / 0.25), wide.network((pixels - mean) / std)]
        torch.testing.assert_close(wide_eyed(pixels), logits[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(wide(pixels), logits[1], rtol=1e-4, atol=1e-4)
    hits = (log_mean_probability(logits).argmax(1) == data.test_targets).double().mean().item() * 100
    assert records[cell.key].values["teacher_top1"] == pytest.approx(hits, abs=0.3)  # but for a tie in half precision


def test_each_is_counted_on_the_dataset_s_images_with_what_it_makes_of_them(
    trained: tuple[Lab, Plan, dict[str, Record]],
) -> None:
    lab, plan, records = trained
    world = World(lab.registry, lab.folder, lab.path, open_device("cpu"))
    cell = cell_of(plan, "kd")
    models = [teacher.model for teacher in world.teachers.of(cell, world.data.of(cell))]
    assert [(model.image_shape, model.input_shape) for model in models] == [
        ((1, 8, 8), (1, 16, 16)),
        ((1, 8, 8), (1, 8, 8)),
    ]
    convolution, linear = (8 * 9 * 8 * 8, 8 * 9 * 4 * 4), (8 * 8 * 8 * 10, 8 * 4 * 4 * 10)
    counted = [count_macs(model, model.image_shape, torch.device("cpu")) for model in models]
    assert counted == [convolution[k] + linear[k] for k in (0, 1)]
    assert records[cell.key].values["x_teacher_macs"] == sum(counted)


def test_the_same_bits_alone(trained: tuple[Lab, Plan, dict[str, Record]], make: Callable[..., Lab]) -> None:
    lab, plan, _ = trained
    for method in ("kd", "meal"):
        cell, solo = cell_of(plan, method), make(method)
        solo.take(lab, [cell])
        solo.train([cell], alone=True)
        assert solo.bits(cell.key) == lab.bits(cell.key)


def test_a_method_that_matches_features_finds_their_shapes(make: Callable[..., Lab]) -> None:
    lab = make()
    records = lab.train_plan(lab.plan(benchmark("wide_eyed:conv4", "fitnet")))
    assert [r.error_message for r in records.values() if r.status is not Status.OK] == []


def test_preprocessing_that_does_not_fit_the_images_is_a_reason(make: Callable[..., Lab]) -> None:
    plan = make().plan(benchmark("coloured:conv4", "kd"))
    reasons = {p.skip for p in plan.cells if "coloured" in p.cell.label}
    assert any(
        "model 'coloured' cannot take 1x8x8 images: its mean has 3 channels, the images have 1" in reason
        for reason in reasons
    )
