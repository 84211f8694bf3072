"""The built-in methods as the harness uses them: built for a pair, fed outputs of two networks, asked for losses."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from kdharness_plugins.methods import kdharness_methods
from kdharness_plugins.methods._warmup import warmup
from kdharness_plugins.methods.lskd import lskd_loss
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from kdharness.api import Batch, BuildContext, Method, ModelShape, Outputs, StepInfo

# Methods whose losses need no more than outputs: no networks to re-run, no other views.
NAMES = ("vanilla", "kd", "dkd", "dist", "lskd", "fitnet", "at", "sp", "nst", "pkt", "rkd", "cc", "vid")
NAMES += ("label_smoothing", "tfkd")
NAMES += ("ickd",)
NAMES += ("ttm", "wttm", "nkd", "wsld", "normkd", "rld", "abkd", "soft_logits", "ctkd")
NAMES += ("eakd", "swap", "sort", "revision", "rc")
SPECS = {spec.name: spec for spec in kdharness_methods() if spec.name in NAMES}
CLASSES = 7

Stages = tuple[tuple[int, ...], ...]
STUDENT: Stages = ((4, 8, 8), (6, 4, 4), (8, 2, 2))
TEACHERS: dict[str, Stages] = {
    "same_sizes": ((5, 8, 8), (7, 4, 4), (9, 2, 2)),
    "larger": ((5, 16, 16), (7, 8, 8), (9, 4, 4)),
    "smaller": ((5, 4, 4), (7, 2, 2), (9, 1, 1)),
    "odd_sizes": ((5, 7, 7), (7, 5, 5), (9, 3, 3)),
    "more_stages": ((5, 16, 16), (7, 8, 8), (9, 4, 4), (10, 2, 2)),
    "fewer_stages": ((7, 4, 4), (9, 2, 2)),
}

torch.set_num_threads(1)


def shape_of(name: str, stages: Stages) -> ModelShape:
    return ModelShape(name, stages, pre_activations=(), embedding=stages[-1][0])


def context_for(student: Stages, teacher: Stages) -> BuildContext:
    """A context with shapes alone: these methods read nothing else."""
    given = {"num_classes": CLASSES, "student": shape_of("small", student), "teachers": (shape_of("big", teacher),)}
    return BuildContext(**{field.name: given.get(field.name) for field in dataclasses.fields(BuildContext)})


def built(name: str, teacher: Stages = TEACHERS["same_sizes"], **parameters: Any) -> Method:
    context = context_for(STUDENT, teacher)
    method = SPECS[name].factory(**parameters)
    assert method.skip(context) is None
    torch.manual_seed(0)
    method.build(context)
    return method


def outputs_of(stages: Stages, samples: int, seed: int, student: bool) -> Outputs:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(samples, CLASSES, generator=generator).requires_grad_(student)
    maps = [torch.randn(samples, *shape, generator=generator).requires_grad_(student) for shape in stages]
    embedding = torch.randn(samples, stages[-1][0], generator=generator).requires_grad_(student)
    nothing: Any = None
    return Outputs(nothing, logits, {"stages": maps, "embedding": embedding})


def batch_of(samples: int, progress: float = 1.0, epochs: int = 40) -> Batch:
    images = torch.zeros(samples, 3, 8, 8)
    step = StepInfo("train", torch.tensor(0), epochs, torch.tensor(progress))
    return Batch(images, torch.arange(samples) % CLASSES, step, views=(images,))


def losses_of(
    method: Method, teacher: Stages = TEACHERS["same_sizes"], samples: int = 5
) -> tuple[Outputs, dict[str, Tensor]]:
    student = outputs_of(STUDENT, samples, 1, student=True)
    reference = None if method.reads.teachers == "none" else outputs_of(teacher, samples, 2, student=False)
    return student, dict(method.losses(batch_of(samples), student, reference))


def test_every_method_is_registered() -> None:
    assert set(SPECS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_those_declared(name: str) -> None:
    _, losses = losses_of(built(name))
    method = SPECS[name].factory
    assert set(losses) == set(method.terms)
    assert set(method.terms.values()) <= {"task", "distill"}
    assert ("distill" in method.terms.values()) == (name != "vanilla")
    assert all(loss.shape == () and loss.requires_grad for loss in losses.values())


@pytest.mark.parametrize("name", [name for name in NAMES if SPECS[name].factory.ablations])
def test_declared_parameter_sets_of_ablations_are_parameters(name: str) -> None:
    known = {parameter.name for parameter in SPECS[name].parameters}
    assert all(set(changes) <= known for changes in SPECS[name].factory.ablations.values())


@pytest.mark.parametrize("shapes", TEACHERS)
@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_the_student_and_every_part_of_the_method(name: str, shapes: str) -> None:
    method = built(name, TEACHERS[shapes])
    student, losses = losses_of(method, TEACHERS[shapes])
    inputs, parts = student.tensors(), list(method.parameters())
    for term, tag in method.terms.items():
        gradients = torch.autograd.grad(losses[term], inputs + parts, retain_graph=True, allow_unused=True)
        assert all(gradient.isfinite().all() for gradient in gradients if gradient is not None), term
        assert any(gradient is not None and gradient.any() for gradient in gradients[: len(inputs)]), term
        assert tag == "task" or all(gradient is not None for gradient in gradients[len(inputs) :]), term


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("samples", [1, 5])
def test_dead_student_and_single_sample_give_finite_gradients(name: str, samples: int) -> None:
    method = built(name)
    student = outputs_of(STUDENT, samples, 1, student=True)
    teacher = outputs_of(TEACHERS["same_sizes"], samples, 2, student=False)
    with torch.no_grad():
        for tensor in student.tensors():
            tensor.zero_()
    loss = torch.stack(list(method.losses(batch_of(samples), student, teacher).values())).sum()
    loss.backward()
    assert loss.isfinite()
    assert all(t.grad.isfinite().all() for t in student.tensors() if t.grad is not None)


class Recorder(TorchDispatchMode):
    """Notes the operators that wait for the device, or whose result has a size that depends on data."""

    waiting = {
        "_local_scalar_dense",
        "nonzero",
        "masked_select",
        "_unique2",
        "unique_dim",
        "repeat_interleave",
        "equal",
    }

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        by_mask = name in ("index", "index_put", "index_put_") and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if name in self.waiting or by_mask:
            self.found.append(name)
        self.calls += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", NAMES)
def test_a_step_can_be_captured_in_a_graph(name: str) -> None:
    method = built(name)
    with Recorder() as recorder:
        _, losses = losses_of(method)
        torch.stack(list(losses.values())).sum().backward()
    assert recorder.calls > 0
    assert recorder.found == []


@pytest.mark.parametrize("expression", ["x[x > 0].sum()", "x.sum().item()", "bool(x.sum() > 0)", "x.nonzero()"])
def test_the_recorder_notices(expression: str) -> None:
    with Recorder() as recorder:
        eval(expression, {"x": torch.ones(3)})
    assert recorder.found


@pytest.mark.parametrize("name", NAMES)
def test_parts_can_be_built_without_data(name: str) -> None:
    """Plans are made on the meta device."""
    with torch.device("meta"):
        method = SPECS[name].factory()
        method.build(context_for(STUDENT, TEACHERS["larger"]))
    assert all(parameter.is_meta for parameter in method.parameters())
    assert [p.shape for p in method.parameters()] == [p.shape for p in built(name, TEACHERS["larger"]).parameters()]


def dkd_term(progress: float, **parameters: Any) -> float:
    method = built("dkd", **parameters)
    student, teacher = outputs_of(STUDENT, 5, 1, student=True), outputs_of(TEACHERS["same_sizes"], 5, 2, False)
    return method.losses(batch_of(5, progress, epochs=40), student, teacher)["dkd"].item()


def test_dkd_warms_up_over_its_first_epochs() -> None:
    full = dkd_term(1.0)
    assert dkd_term(0.0) == 0
    assert dkd_term(0.125) == pytest.approx(full / 4, rel=1e-5)
    assert dkd_term(0.5) == pytest.approx(full, rel=1e-5)
    assert dkd_term(0.0, warmup_epochs=0) == pytest.approx(full, rel=1e-5)


def test_a_warmup_is_computed_from_the_progress_tensor() -> None:
    """A captured step runs its Python once and has `progress` filled anew."""
    progress = torch.tensor(0.25, requires_grad=True)
    weight = warmup(StepInfo("train", torch.tensor(10), 40, progress), 20)
    assert isinstance(weight, Tensor)
    (slope,) = torch.autograd.grad(weight, progress)
    assert (weight.item(), slope.item()) == (0.5, 2.0)


def test_lskd_term_has_the_squared_temperature() -> None:
    student, losses = losses_of(built("lskd", temperature=3.0, weight=5.0))
    teacher = outputs_of(TEACHERS["same_sizes"], 5, 2, student=False)
    torch.testing.assert_close(losses["lskd"], 5 * 9 * lskd_loss(student.logits, teacher.logits, 3.0))


def test_vid_starts_at_its_variance_and_trains_it() -> None:
    method = built("vid", initial_variance=2.0)
    scales = list(method.log_scales)
    assert [scale.shape[0] for scale in scales] == [5, 7, 9]
    for scale in scales:
        variance = torch.nn.functional.softplus(scale.detach()) + method.eps
        torch.testing.assert_close(variance, torch.full_like(variance, 2.0))
    losses_of(method)[1]["vid"].backward()
    assert all(scale.grad.abs().min() > 0 for scale in scales)


@pytest.mark.parametrize(
    ("teacher", "layer"), [("same_sizes", "Conv2d"), ("larger", "ConvTranspose2d"), ("smaller", "Conv2d")]
)
def test_fitnet_regressor_fits_the_hint(teacher: str, layer: str) -> None:
    method = built("fitnet", TEACHERS[teacher])
    assert type(method.regressor[0]).__name__ == layer
    assert method.regressor(torch.zeros(2, *STUDENT[1])).shape[1:] == TEACHERS[teacher][1]


@pytest.mark.parametrize("hint_stage", [-1, 2])
def test_fitnet_says_why_it_cannot_serve(hint_stage: int) -> None:
    method = SPECS["fitnet"].factory(hint_stage=hint_stage)
    reason = method.skip(context_for(STUDENT, TEACHERS["fewer_stages"]))
    assert reason is not None
    assert f"hint_stage is {hint_stage}" in reason
    assert ("'big'" if hint_stage == 2 else "'small'") in reason
