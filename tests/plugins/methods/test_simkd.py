"""SimKD: the term, the network that is deployed, and what that costs."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from kdharness_plugins.methods.simkd import SimKD, simkd_loss
from kdharness_plugins.models import kdharness_models
from torch import Tensor

from kdharness.api import Batch, BuildContext, StagedModel, StepInfo
from kdharness.api.shapes import shape_of
from kdharness.measure.costs import count_macs, count_parameters, count_parameters_used
from kdharness.testing import Lab

MODELS = {spec.name: spec for spec in kdharness_models()}
CPU = torch.device("cpu")
SHAPE, CLASSES = (3, 32, 32), 10

torch.set_num_threads(1)


def network(name: str, seed: int) -> StagedModel:
    torch.manual_seed(seed)
    return StagedModel(MODELS[name].factory(CLASSES, SHAPE), MODELS[name], SHAPE)


def context_of(student: StagedModel, teacher: StagedModel) -> BuildContext:
    given = {
        "num_classes": CLASSES,
        "student": shape_of(student),
        "teachers": (shape_of(teacher),),
        "student_model": student,
        "teacher_models": (teacher,),
    }
    return BuildContext(**{field.name: given.get(field.name) for field in dataclasses.fields(BuildContext)})


def built(student: str, teacher: str, **parameters: Any) -> tuple[SimKD, StagedModel, StagedModel]:
    networks = network(student, 1), network(teacher, 2).eval().requires_grad_(False)
    method = SimKD(**parameters)
    assert method.skip(context_of(*networks)) is None
    method.build(context_of(*networks))
    return method, *networks


def images(samples: int = 3) -> Tensor:
    return torch.rand(samples, *SHAPE, generator=torch.Generator().manual_seed(0))


def loss_of(method: SimKD, student: StagedModel, teacher: StagedModel, samples: int = 3) -> Tensor:
    info = StepInfo("train", torch.tensor(0), 1, torch.zeros(()))
    seen = images(samples)
    batch = Batch(seen, torch.zeros(samples, dtype=torch.int64), info, views=(seen,))
    outputs = (one.run(seen, ("stages",)) for one in (student, teacher))
    losses = method.losses(batch, *outputs)
    assert set(losses) == {"simkd"}
    return losses["simkd"]


# By whether the student's last map is as large as the teacher's, larger, or smaller.
PAIRS = {"same": ("resnet8", "resnet14"), "larger": ("resnet8", "mobilenet_v2"), "smaller": ("vgg8", "resnet14")}


@pytest.mark.parametrize("pair", PAIRS)
def test_the_term_is_the_mean_square_at_the_smaller_size(pair: str) -> None:
    method, student, teacher = built(*PAIRS[pair], weight=3.0)
    with torch.no_grad():
        source, target = (one.run(images(), ("stages",)).maps(-1) for one in (student, teacher))
        size = min(source.shape[-1], target.shape[-1])
        source, target = (torch.nn.functional.adaptive_avg_pool2d(f, size) for f in (source, target))
        gap = (method.projector(source) - target).double().numpy()
        expected = 3 * (gap**2).mean()
    assert loss_of(method, student, teacher).item() == pytest.approx(float(expected), rel=1e-5)


def test_it_is_zero_at_equality_and_teaches_the_students_trunk_alone() -> None:
    feature = torch.rand(2, 3, 4, 4)
    assert simkd_loss(feature, torch.nn.functional.interpolate(feature, scale_factor=2)) == 0
    method, student, teacher = built("resnet8", "resnet14")
    loss_of(method, student, teacher, samples=2).backward()
    untaught = {name for name, p in student.network.named_parameters() if p.grad is None}
    assert untaught == {"fc.weight", "fc.bias"}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())
    assert all(p.grad is None for p in teacher.parameters())


@pytest.mark.parametrize(("reduction", "middle"), [(2, 32), (8, 8), (1000, 1)])
def test_the_projector_is_the_authors(reduction: int, middle: int) -> None:
    method, *_ = built("resnet8", "resnet14", reduction=reduction)
    kinds = [type(layer).__name__ for layer in method.projector]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU"] * 3
    shapes = [tuple(layer.weight.shape) for layer in method.projector if isinstance(layer, torch.nn.Conv2d)]
    assert shapes == [(middle, 64, 1, 1), (middle, middle, 3, 3), (64, middle, 1, 1)]


def test_the_prediction_is_the_teachers_classifier_on_the_projected_map() -> None:
    method, student, teacher = built("resnet8", "resnet32x4")
    predictor = method.predictor(student, [teacher]).eval()
    with torch.no_grad():
        projected = method.projector.eval()(student.eval().run(images(), ("stages",)).maps(-1))
        expected = teacher.network.fc(projected.mean(dim=(2, 3)))
        torch.testing.assert_close(predictor(images()), expected)


def test_behind_a_perfect_projector_stands_the_teacher() -> None:
    method, student, teacher = built("resnet14", "resnet14")
    student.load_state_dict(teacher.state_dict())
    method.projector = torch.nn.Identity()
    with torch.no_grad():
        predictor = method.predictor(student, [teacher]).eval()
        torch.testing.assert_close(predictor(images()), teacher(images()))


@pytest.mark.parametrize(("student", "teacher"), [("wrn_16_1", "wrn_16_2"), ("resnet8", "mobilenet_v2")])
def test_all_behind_the_teachers_last_map_is_reused(student: str, teacher: str) -> None:
    method, first, second = built(student, teacher)
    assert type(method.projector[-1]).__name__ == "BatchNorm2d"  # such maps have both signs
    predictor = method.predictor(first, [second]).eval()
    with torch.no_grad():
        source = first.eval().run(images(), ("stages",)).maps(-1)
        size = min(source.shape[-1], second.run(images(), ("stages",)).maps(-1).shape[-1])
        projected = method.projector.eval()(torch.nn.functional.adaptive_avg_pool2d(source, size))
        torch.testing.assert_close(predictor(images()), second.head(projected))


@pytest.mark.parametrize(
    ("teacher", "end"), [("resnet14", ("fc",)), ("wrn_16_2", ("bn", "fc")), ("mobilenet_v2", ("conv", "bn", "fc"))]
)
def test_costs_are_those_of_what_is_deployed(teacher: str, end: tuple[str, ...]) -> None:
    method, student, second = built("resnet8", teacher)
    predictor = method.predictor(student, [second])
    parts = [getattr(second.network, name) for name in end]
    own = count_parameters(student) - count_parameters(student.network.fc)
    assert count_parameters_used(predictor, SHAPE, CPU) == own + sum(map(count_parameters, (method.projector, *parts)))
    side = method.size[0]
    dense = sum(
        p.weight.numel() * (side**2 if isinstance(p, torch.nn.Conv2d) else 1)
        for p in (*method.projector, *parts)
        if not isinstance(p, torch.nn.BatchNorm2d) and hasattr(p, "weight")
    )
    trunk = count_macs(student, SHAPE, CPU) - student.network.fc.weight.numel()
    assert count_macs(predictor, SHAPE, CPU) == trunk + dense


def test_a_teacher_of_tokens_is_told() -> None:
    torch.manual_seed(0)
    spec = MODELS["vit_micro_p2"]
    teacher = StagedModel(spec.factory(CLASSES, SHAPE), spec, SHAPE)
    reason = SimKD().skip(context_of(network("resnet8", 1), teacher))
    assert reason is not None
    assert "'vit_micro_p2' reads tokens" in reason


@pytest.mark.parametrize("settings", [(), ("recipe.ema_decay=0.5",)], ids=["plain", "averaged"])
def test_a_cell_states_the_costs_of_what_is_deployed(lab: Lab, settings: tuple[str, ...]) -> None:
    plan = lab.plan(methods=("simkd",), scenarios=("few100",), settings=settings)
    records = lab.train_plan(plan)
    (cell,) = (p.cell for p in plan.cells if p.cell.role == "student")
    values = records[cell.key].values
    assert records[cell.key].status == "ok"
    student, teacher = 16, 32  # the widths of conv16 and conv32, on images of 8x8
    s, t = 4 * student, 4 * teacher
    trunk = 9 * (student + 2 * student**2 + 8 * student**2) + 2 * 7 * student
    projector = s * t // 2 + 9 * (t // 2) ** 2 + t // 2 * t + 2 * (t // 2 + t // 2 + t)
    assert values["student_parameters"] == trunk + projector + 10 * (t + 1)
    macs = 9 * (64 * student + 16 * 2 * student**2 + 4 * 8 * student**2) + 4 * (projector - 4 * t) + 10 * t
    assert values["student_macs"] == macs
