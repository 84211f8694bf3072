"""Be Your Own Teacher: who gets gradient from whom, what the weights mean, and what exits cost."""

from __future__ import annotations

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.methods import byot
from kdharness_plugins.methods.byot import BYOT, PRESETS, hint_distance, softened_kl
from kdharness_plugins.models import kdharness_models
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from kdharness.api import Batch, BuildContext, ModelSpec, StagedModel, StepInfo
from kdharness.api.shapes import shape_of
from kdharness.measure.costs import count_macs, count_parameters_used
from kdharness.testing import Lab

torch.set_num_threads(1)

(SPEC,) = byot.kdharness_methods()
MODELS = {spec.name: spec for spec in kdharness_models()}
CLASSES = 5
SHAPE = (1, 8, 8)
META = torch.device("meta")


class FourStages(nn.Module):
    """Four stages with maps of 8, 4, 2, 1."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        widths = (input_shape[0], 6, 8, 10, 12)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=1 if k == 0 else 2, padding=1), nn.BatchNorm2d(b), nn.ReLU())
            for k, (a, b) in enumerate(pairwise(widths))
        )
        self.fc = nn.Linear(widths[-1], num_classes)

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


FOUR = ModelSpec("four_stages", FourStages, stages=tuple(f"stages.{k}" for k in range(4)), classifier="fc")


def network(spec: ModelSpec = FOUR, shape: tuple[int, int, int] = SHAPE, classes: int = CLASSES) -> StagedModel:
    torch.manual_seed(0)
    return StagedModel(spec.factory(classes, shape), spec, shape)


def context_of(model: StagedModel, classes: int = CLASSES) -> BuildContext:
    given = {"num_classes": classes, "student": shape_of(model), "student_model": model, "teachers": ()}
    return BuildContext(**{field.name: given.get(field.name) for field in dataclasses.fields(BuildContext)})


def built(model: StagedModel, classes: int = CLASSES, **parameters: Any) -> BYOT:
    method = SPEC.factory(**parameters)
    context = context_of(model, classes)
    assert method.skip(context) is None
    torch.manual_seed(1)
    method.build(context)
    return method


def batch_of(images: Tensor, targets: Tensor) -> Batch:
    return Batch(images, targets, StepInfo("train", torch.tensor(0), 10, torch.tensor(0.5)), views=(images,))


def some_images(count: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(count, *SHAPE, generator=generator), torch.randint(CLASSES, (count,), generator=generator)


def losses_of(model: StagedModel, method: BYOT, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
    outputs = model.run(images, method.reads.taps)
    return method.losses(batch_of(images, targets), outputs, None)


def gradients(loss: Tensor, module: nn.Module) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True))


def reached(loss: Tensor, module: nn.Module) -> bool:
    """Whether any gradient other than zero arrives."""
    return any(g is not None and bool(g.any()) for g in gradients(loss, module))


# -- who gets gradient ------------------------------------------------------------------------------------------------


def test_kd_and_hint_of_shallow_exits_reach_neither_the_deepest_head_nor_later_sections() -> None:
    model = network()
    method = built(model)
    images, targets = some_images()
    outputs = model.run(images, method.reads.taps)
    shallowest = method.exits[0].features(outputs.stages[0])
    kd = softened_kl(method.exits[0].fc(shallowest), outputs.logits.detach(), 3.0, t_squared=True)
    hint = hint_distance(shallowest, outputs.embedding.detach(), "sum")
    for term in (kd, hint):
        assert reached(term, model.stages[0])
        for later in (*model.stages[1:], model.classifier):
            assert not reached(term, later)
    losses = method.losses(batch_of(images, targets), outputs, None)
    for name in ("exit_kd", "hint"):
        assert all(reached(losses[name], stage) for stage in model.stages[:-1]), name
        assert not reached(losses[name], model.stages[-1]), name
        assert not reached(losses[name], model.classifier), name


def test_without_detach_they_reach_the_deepest_exit() -> None:
    model = network()
    losses = losses_of(model, built(model, detach=False), *some_images())
    assert reached(losses["exit_kd"], model.classifier)
    assert reached(losses["exit_kd"], model.stages[-1])
    assert reached(losses["hint"], model.stages[-1])


def test_every_part_is_trained() -> None:
    for preset in PRESETS:
        model = network()
        method = built(model, preset=preset)
        total = torch.stack(list(losses_of(model, method, *some_images()).values())).sum()
        found = gradients(total, model) + gradients(total, method)
        assert all(g is not None and g.isfinite().all() for g in found), preset


def test_the_deepest_exit_is_not_affected_by_alpha() -> None:
    found = []
    for alpha in (0.0, 0.3, 0.9):
        model = network()
        losses = losses_of(model, built(model, alpha=alpha), *some_images())
        total = torch.stack(list(losses.values())).sum()
        found.append([g.clone() for g in gradients(total, model.stages[-1]) + gradients(total, model.classifier)])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


# -- what the weights mean --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_without_alpha_and_lambda_it_is_deep_supervision(preset: str) -> None:
    model = network()
    method = built(model, preset=preset, alpha=0.0, hint_weight=0.0)
    images, targets = some_images()
    losses = losses_of(model, method, images, targets)
    named = method.predictor(model, [])(images)
    expected = sum(F.cross_entropy(named[f"exit{n}"], targets) for n in (1, 2, 3, 4))
    torch.testing.assert_close(sum(losses.values()), expected)
    assert losses["exit_kd"] == losses["hint"] == 0


def test_terms_by_hand() -> None:
    model = network()
    method = built(model, alpha=0.25, hint_weight=0.1, temperature=2.0, hint_reduction="batch_mean")
    images, targets = some_images()
    losses = losses_of(model, method, images, targets)
    outputs = model.run(images, method.reads.taps)
    ce = kd = hint = torch.zeros(())
    for exit_, stage in zip(method.exits, outputs.stages, strict=False):
        pooled = exit_.bottleneck(stage).flatten(1)  # the deepest maps are 1x1
        logits = exit_.fc(pooled)
        target = (outputs.logits / 2).softmax(1)
        ce = ce + F.cross_entropy(logits, targets)
        kd = kd + 4 * (target * (target.log() - (logits / 2).log_softmax(1))).sum() / len(images)
        hint = hint + ((pooled - outputs.embedding) ** 2).sum() / len(images)
    torch.testing.assert_close(losses["ce"], F.cross_entropy(outputs.logits, targets))
    torch.testing.assert_close(losses["exit_ce"], 0.75 * ce)
    torch.testing.assert_close(losses["exit_kd"], 0.25 * kd)
    torch.testing.assert_close(losses["hint"], 0.1 * hint)


def test_t_squared_and_deepest_weight_scale_their_terms() -> None:
    def terms(**parameters: Any) -> dict[str, Tensor]:
        model = network()
        return losses_of(model, built(model, **parameters), *some_images())

    plain = terms()
    torch.testing.assert_close(9 * terms(t_squared=False)["exit_kd"], plain["exit_kd"])
    torch.testing.assert_close(terms(alpha=0.3, deepest_ce="1-alpha")["ce"], 0.7 * plain["ce"])
    torch.testing.assert_close(terms(alpha=0.3)["ce"], plain["ce"])


@pytest.mark.parametrize(
    ("reduction", "factor"), [("sum", 2.0), ("batch_mean", 1.0), ("mean", 1.0), ("frobenius", 2**0.5)]
)
def test_duplicating_the_batch(reduction: str, factor: float) -> None:
    """Mean losses stay; a hint summed over the batch doubles."""
    model = network()
    method = built(model, hint_reduction=reduction, hint_weight=1.0)
    images, targets = some_images()
    once = losses_of(model, method, images, targets)
    twice = losses_of(model, method, images.repeat(2, 1, 1, 1), targets.repeat(2))
    for name in ("ce", "exit_ce", "exit_kd"):
        torch.testing.assert_close(twice[name], once[name])
    torch.testing.assert_close(twice["hint"], factor * once["hint"])


def test_hint_reductions_of_one_difference() -> None:
    features, target = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.0, 0.0], [0.0, 5.0]])
    found = {r: hint_distance(features, target, r).item() for r in ("sum", "batch_mean", "mean", "frobenius")}
    assert found == {"sum": 25.0, "batch_mean": 12.5, "mean": 6.25, "frobenius": 5.0}


def test_equal_features_give_no_gradient_of_the_norm() -> None:
    features = torch.ones(3, 4, requires_grad=True)
    hint_distance(features, torch.ones(3, 4), "frobenius").backward()
    assert features.grad is not None
    assert not features.grad.any()


# -- presets ----------------------------------------------------------------------------------------------------------


def test_given_parameters_replace_the_presets() -> None:
    assert SPEC.factory().settings() == PRESETS["conf"]
    changed = SPEC.factory(preset="journal", temperature=5.0, detach=False, hint_weight=0.0).settings()
    assert changed == dataclasses.replace(PRESETS["journal"], temperature=5.0, detach=False, hint_weight=0.0)


def test_presets_are_the_published_settings() -> None:
    conf, unofficial, journal = PRESETS["conf"], PRESETS["unofficial"], PRESETS["journal"]
    assert (conf.alpha, conf.hint_weight, conf.hint_reduction, conf.deepest_ce) == (0.5, 5e-7, "sum", "1")
    assert (unofficial.alpha, unofficial.hint_weight, unofficial.deepest_ce) == (0.1, 1e-6, "1-alpha")
    assert (journal.alpha, journal.hint_weight, journal.hint_reduction) == (0.3, 0.03, "frobenius")
    assert [p.t_squared for p in (conf, unofficial, journal)] == [True, True, False]
    assert {p.temperature for p in PRESETS.values()} == {3.0}


def test_the_journals_hint_spares_the_deepest_shallow_exit() -> None:
    model = network()
    method = built(model, preset="journal")
    assert len(method.adapters) == 2
    hint = losses_of(model, method, *some_images())["hint"]
    assert reached(hint, method.exits[0])
    assert reached(hint, method.exits[1])
    assert not reached(hint, method.exits[2])


def test_terms_of_the_journals_preset_by_hand() -> None:
    model = network()
    method = built(model, preset="journal", alpha=0.4, temperature=2.0)
    images, targets = some_images()
    losses = losses_of(model, method, images, targets)
    outputs = model.run(images, method.reads.taps)
    pairs = list(zip(method.exits, outputs.stages, strict=False))
    features = [exit_.bottleneck(stage).mean((2, 3)) for exit_, stage in pairs]
    target = (outputs.logits / 2).softmax(1)
    kd = 0.0
    for (exit_, _), feature in zip(pairs, features, strict=True):
        kd = kd + (target * (target.log() - (exit_.fc(feature) / 2).log_softmax(1))).sum() / len(images)
    hint = 0.0
    for adapter, feature in zip(method.adapters, features, strict=False):
        adapted = feature @ adapter.weight.T + adapter.bias
        hint = hint + ((adapted - outputs.embedding) ** 2).sum().sqrt()
    torch.testing.assert_close(losses["exit_kd"], 0.4 * kd)
    torch.testing.assert_close(losses["hint"], 0.03 * hint)


@pytest.mark.parametrize(("bottleneck", "width"), [("conf128", 128), ("quarter", 3)])
def test_width_of_the_bottleneck(bottleneck: str, width: int) -> None:
    """1x1 to the width, k x k with stride k to the size of the deepest map, 1x1 to its channels."""
    method = built(network(), bottleneck=bottleneck)
    for exit_, (channels, size) in zip(method.exits, ((6, 8), (8, 4), (10, 2)), strict=True):
        convolutions = [m for m in exit_.bottleneck if isinstance(m, nn.Conv2d)]
        assert [(m.in_channels, m.out_channels, m.kernel_size, m.stride) for m in convolutions] == [
            (channels, width, (1, 1), (1, 1)),
            (width, width, (size, size), (size, size)),
            (width, 12, (1, 1), (1, 1)),
        ]
        assert all(m.bias is not None for m in convolutions)
        assert [type(m).__name__ for m in exit_.bottleneck] == ["Conv2d", "BatchNorm2d", "ReLU"] * 3


def test_the_journals_bottleneck_by_its_shapes() -> None:
    """An attention gate that keeps the map's shape, then one stride for each later stage."""
    gate, *later = built(network(), preset="journal").exits[0].bottleneck
    assert len(later) == 3
    features = torch.randn(2, 6, 8, 8)
    gate.eval()
    attention = F.interpolate(gate.convolutions(features), size=(8, 8), mode="bilinear", align_corners=False)
    assert gate.convolutions(features).shape == (2, 6, 4, 4)
    torch.testing.assert_close(gate(features), features / (1 + (-attention).exp()))
    shapes = []
    for part in later:
        features = part(features)
        shapes.append(tuple(features.shape[1:]))
    assert shapes == [(8, 4, 4), (10, 2, 2), (12, 1, 1)]
    depthwise = [m for m in later[0] if isinstance(m, nn.Conv2d)]
    assert [(m.in_channels, m.out_channels, m.groups, m.kernel_size[0], m.stride[0]) for m in depthwise] == [
        (6, 6, 6, 3, 2), (6, 6, 1, 1, 1), (6, 6, 6, 3, 1), (6, 8, 1, 1, 1),
    ]  # fmt: skip
    assert all(m.bias is None for m in depthwise)


def test_every_declared_ablation_trains() -> None:
    known = {parameter.name for parameter in SPEC.parameters}
    for name, changes in BYOT.ablations.items():
        assert set(changes) <= known, name
        model = network()
        losses = losses_of(model, built(model, **changes), *some_images())
        assert set(losses) == set(BYOT.terms), name
        assert all(loss.isfinite() for loss in losses.values()), name


# -- exits and ensembles ----------------------------------------------------------------------------------------------


def trained_a_little(spec: ModelSpec = FOUR, **parameters: Any) -> tuple[StagedModel, BYOT]:
    """With running statistics other than 0 and 1."""
    model = network(spec)
    method = built(model, **parameters)
    losses_of(model.train(), method.train(), *some_images())
    return model.eval(), method.eval()


def test_the_main_output_is_the_bare_network() -> None:
    model, method = trained_a_little()
    images, _ = some_images()
    named = method.predictor(model, [])(images)
    assert list(named) == ["exit4", "exit1", "exit2", "exit3", "ensemble", "ensemble_deepest3"]
    torch.testing.assert_close(named["exit4"], model(images), rtol=0, atol=0)
    assert method.deployables(model, [])["exit4"] is model


def test_ensembles_are_means_of_logits() -> None:
    model, method = trained_a_little()
    named = method.predictor(model, [])(some_images()[0])
    torch.testing.assert_close(named["ensemble"], sum(named[f"exit{n}"] for n in (1, 2, 3, 4)) / 4)
    torch.testing.assert_close(named["ensemble_deepest3"], sum(named[f"exit{n}"] for n in (2, 3, 4)) / 3)


@pytest.mark.parametrize("preset", PRESETS)
def test_deployables_give_the_predictors_logits(preset: str) -> None:
    model, method = trained_a_little(preset=preset)
    images, _ = some_images()
    named = method.predictor(model, [])(images)
    parts = method.deployables(model, [])
    assert list(parts) == list(named)
    for name, part in parts.items():
        torch.testing.assert_close(part(images), named[name], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["conv16", "sepconv16", "resnet8", "wrn_16_1", "vgg8"])
@pytest.mark.parametrize("preset", PRESETS)
def test_any_staged_model_gets_an_exit_per_stage(name: str, preset: str) -> None:
    model, method = trained_a_little(MODELS[name], preset=preset)
    assert len(method.exits) == model.num_stages - 1
    named = method.predictor(model, [])(some_images()[0])
    assert next(iter(named)) == f"exit{model.num_stages}"
    assert ("ensemble_deepest3" in named) == (model.num_stages >= 4)
    assert all(logits.shape == (6, CLASSES) for logits in named.values())


def test_early_exits_are_charged_for_what_they_run() -> None:
    model, method = trained_a_little()
    parts = method.deployables(model, [])
    counts = {name: count_parameters_used(part, SHAPE, torch.device("cpu")) for name, part in parts.items()}

    def size(*modules: nn.Module) -> int:
        return sum(p.numel() for module in modules for p in module.parameters())

    assert counts["exit4"] == size(model)
    assert counts["exit2"] == size(*model.stages[:2], method.exits[1])
    assert counts["ensemble"] == size(model, *method.exits)
    assert counts["ensemble_deepest3"] == size(model, *method.exits[1:])
    assert all(p.requires_grad for p in model.parameters())


# -- cuts -------------------------------------------------------------------------------------------------------------


def context_with_cuts(model: StagedModel, cuts: tuple[str, ...]) -> BuildContext:
    return dataclasses.replace(context_of(model), student=shape_of(model, cuts))


def cut(model: StagedModel, cuts: tuple[str, ...], **parameters: Any) -> BYOT:
    method = SPEC.factory(cuts=cuts, **parameters)
    torch.manual_seed(1)
    method.build(context_with_cuts(model, cuts))
    return method


@pytest.mark.parametrize("preset", PRESETS)
def test_cuts_after_every_stage_are_the_default(preset: str) -> None:
    images, targets = some_images()
    found = []
    for cuts in ((), ("stages.0", "stages.1", "stages.2")):
        model = network()
        method = cut(model, cuts, preset=preset)
        outputs = model.run(images, method.reads.taps, method.reads.modules)
        losses = method.losses(batch_of(images, targets), outputs, None)
        named = method.predictor(model.eval(), []).eval()(images)
        alone = {name: part(images) for name, part in method.deployables(model, []).items()}
        found.append({**losses, **named, **{f"{name} alone": value for name, value in alone.items()}})
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name]), name


def test_cuts_within_a_stage_give_exits_of_their_own_cost() -> None:
    model = network(MODELS["wrn_16_1"])
    method = cut(model, ("layer1", "layer2", "layer3.0"), bottleneck="quarter")
    parts = method.deployables(model.eval(), [])
    assert list(parts) == ["exit4", "exit1", "exit2", "exit3", "ensemble", "ensemble_deepest3"]
    macs = [count_macs(parts[f"exit{n}"], SHAPE, torch.device("cpu")) for n in (1, 2, 3, 4)]
    assert macs == sorted(macs)
    named = method.predictor(model, []).eval()(some_images()[0])
    torch.testing.assert_close(parts["exit3"](some_images()[0]), named["exit3"], rtol=0, atol=0)


def test_a_cut_that_gives_no_map_is_a_reason_to_skip() -> None:
    model = network()
    reason = SPEC.factory(cuts=("fc",)).skip(context_with_cuts(model, ("fc",)))
    assert reason == "needs cuts with maps [C, H, W], which those of 'four_stages' are not"


def test_cuts_from_the_command_line(lab: Lab) -> None:
    options: dict[str, Any] = {"methods": ("byot",), "scenarios": ("few100",), "pairs": ("resnet14:resnet8",)}
    plain, empty = (lab.plan(**options, settings=settings).cells[-1].cell for settings in ((), ("byot.cuts=[]",)))
    assert plain.key == empty.key
    settings = ("byot.cuts=conv1,layer1,layer2", "byot.bottleneck=quarter")
    cell = lab.plan(**options, settings=settings).cells[-1].cell
    record = lab.train([cell])[cell.key]
    assert record.status == "ok"
    assert {row.predictor for row in record.metrics} >= {"exit1", "exit2", "exit3", "exit4", "ensemble_deepest3"}
    wrong = lab.plan(**options, settings=("byot.cuts=layr1",)).cells[-1]
    assert wrong.skip == "reads module 'layr1' of the student, which model 'resnet8' has not; did you mean 'layer1'?"


def test_a_vgg_of_the_paper_has_its_four_exits() -> None:
    with META:
        model = network(MODELS["vgg19"], (3, 32, 32), classes=100)
        assert len(built(model, classes=100).exits) == 3


# Multiply-accumulates of the full network relative to exits 1 to 3 and the ensemble.
RATIOS = {
    ("resnet18", "conf128"): (3.10, 1.87, 1.31, 0.93),
    ("resnet50", "conf128"): (4.73, 2.23, 1.24, 0.93),
    ("resnet50", "quarter"): (2.03, 1.84, 1.18, 0.67),
    ("resnet101", "conf128"): (9.14, 4.32, 1.11, 0.96),
}


@pytest.mark.parametrize(("name", "bottleneck"), RATIOS)
def test_acceleration_of_exits(name: str, bottleneck: str) -> None:
    shape = (3, 32, 32)
    with META:
        model = network(MODELS[name], shape, classes=100)
        method = built(model, classes=100, bottleneck=bottleneck)
    macs = {key: count_macs(part, shape, META) for key, part in method.deployables(model, []).items()}
    found = [macs["exit4"] / macs[key] for key in ("exit1", "exit2", "exit3", "ensemble")]
    assert found == pytest.approx(RATIOS[name, bottleneck], rel=0.01)


# -- in the harness ---------------------------------------------------------------------------------------------------


def test_models_with_one_stage_are_skipped() -> None:
    model = network(ModelSpec("one", FourStages, stages=("stages.3",), classifier="fc"))
    assert SPEC.factory().skip(context_of(model)) == "needs at least two stages, and 'one' declares 1"


class Recorder(TorchDispatchMode):
    """Notes the operators that wait for the device."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func._schema.name.removeprefix("aten::"))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_step_does_not_wait_for_the_device(preset: str) -> None:
    model = network()
    method = built(model, preset=preset)
    images, targets = some_images()
    with Recorder() as recorder:
        torch.stack(list(losses_of(model, method, images, targets).values())).sum().backward()
    assert "convolution" in recorder.names
    assert not recorder.names & {"_local_scalar_dense", "nonzero", "masked_select", "equal"}
