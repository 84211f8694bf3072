"""ICKD, CAT-KD, MGD, WKD-F, OFA: what `losses` returns by other formulas, who gets gradient, what cannot matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from kdharness_plugins.methods import ickd, mgd, ofa, wkd_f
from kdharness_plugins.methods._decay import cosine_decay
from kdharness_plugins.methods._places import place_embeddings, why_not_apart
from kdharness_plugins.methods._token_exits import Block, Merging, TokenExit, count_mergings, make_mergings, why_no_exit
from method_world import MODELS, SPECS, World, network
from numpy.typing import NDArray
from torch import Tensor, nn

from kdharness.api import ModelSpec, StagedModel, StepInfo
from kdharness.api.shapes import shape_of
from kdharness.api.staged import Placement

Array = NDArray[np.float64]

NAMES = ("ickd", "catkd", "mgd", "wkd_f", "semckd", "ofa", "sdd")


def array(tensor: Any) -> Array:
    found: Array = tensor.detach().double().numpy()
    return found


def epoch_of(number: int, epochs: int, progress: float = 0.5) -> StepInfo:
    """A step of that epoch, counted from 1."""
    return StepInfo("train", torch.tensor(number - 1), epochs, torch.tensor(progress))


def parts_of(world: World) -> list[nn.Parameter]:
    return [p for p in world.student.parameters() if p.requires_grad]


# -- of every one of them ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("classes", "samples"), [(5, 6), (2, 2)])
def test_gradient_reaches_the_student_and_all_that_is_trained_and_no_teacher(
    name: str, classes: int, samples: int
) -> None:
    world = World(classes=classes, samples=samples)
    world.teacher.requires_grad_(True)
    method = world.built(name)
    batch = world.batch()
    student = world.student.run(batch.images, method.reads.of_student.taps)
    teacher = world.teacher.run(batch.images, method.reads.of_teachers.taps)
    losses = method.losses(batch, student, teacher)
    assert set(losses) == set(method.terms)
    assert all(loss.shape == () and loss.isfinite() for loss in losses.values())
    distilled = torch.stack([loss for term, loss in losses.items() if method.terms[term] == "distill"]).sum()
    own = list(method.parameters())
    found = torch.autograd.grad(distilled, [*parts_of(world), *own], allow_unused=True, retain_graph=True)
    assert any(gradient is not None and gradient.any() for gradient in found[: len(parts_of(world))])
    assert all(gradient is not None and gradient.isfinite().all() for gradient in found[len(parts_of(world)) :])
    reached = torch.autograd.grad(distilled, list(world.teacher.parameters()), allow_unused=True)
    assert all(gradient is None or not gradient.any() for gradient in reached)


@pytest.mark.parametrize("name", NAMES)
def test_terms_are_finite_in_bf16_and_of_full_precision(name: str) -> None:
    world = World()
    method = world.built(name)
    full = world.losses(method)
    for model in (world.student, world.teacher):
        model.place(Placement("bf16"))
    if name == "mgd":
        method.draws.manual_seed(7)
    for term, loss in world.losses(method).items():
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, full[term], rtol=0.1, atol=1e-3)


# The attention of semckd reads a row of the batch's inner products in the order of the batch.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "semckd"])
def test_the_order_of_a_batch_does_not_matter(name: str) -> None:
    world = World()
    method = world.built(name, **({"masked": 0.0} if name == "mgd" else {}))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    other = world.losses(method, world.batch(order=order))
    for term, loss in world.losses(method).items():
        torch.testing.assert_close(loss, other[term])


@pytest.mark.parametrize("name", NAMES)
def test_published_parameters_are_parameters_of_models_that_there_are(name: str) -> None:
    known = {parameter.name: parameter for parameter in SPECS[name].parameters}
    for pair, values in SPECS[name].factory.published.items():
        assert set(pair.split(":")) <= set(MODELS)
        for parameter, value in values.items():
            assert known[parameter].coerce(value) == value != known[parameter].default


# -- ickd --------------------------------------------------------------------------------------------------------------


def test_ickd_compares_correlations_of_channels() -> None:
    world = World()
    method = world.built("ickd", weight=3.0)
    student, teacher = world.outputs(method, world.batch())
    convolution = method.embed[0]
    mapped = np.einsum("oc,nchw->nohw", array(convolution.weight)[:, :, 0, 0], array(student.maps(-1)))
    mean, variance = mapped.mean((0, 2, 3), keepdims=True), mapped.var((0, 2, 3), keepdims=True)
    grams = []
    for maps in ((mapped - mean) / np.sqrt(variance + 1e-5), array(teacher.maps(-1))):
        gram = np.einsum("nchw,ndhw->ncd", maps, maps)
        grams.append(gram / np.maximum(np.linalg.norm(gram, axis=2, keepdims=True), 1e-12))
    expected = 3 * ((grams[0] - grams[1]) ** 2).sum() / (world.samples * teacher.maps(-1).shape[1])
    losses = method.losses(world.batch(), student, teacher)
    assert losses["ickd"].item() == pytest.approx(expected, rel=1e-4)


def test_ickd_sees_neither_places_nor_the_scale_of_a_map() -> None:
    maps = torch.randn(3, 4, 2, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    turned = 5 * maps.flip(3).transpose(2, 3)
    assert ickd.ickd_loss(turned, maps).item() == pytest.approx(0, abs=1e-25)


def test_ickd_trains_one_embedding_of_the_student() -> None:
    """The public code has another, which nothing reads."""
    world = World()
    shapes = [tuple(p.shape) for p in world.built("ickd").parameters()]
    width, wanted = world.context.student.stages[-1][0], world.context.teacher.stages[-1][0]
    assert shapes == [(wanted, width, 1, 1), (wanted,), (wanted,)]


# -- mgd ---------------------------------------------------------------------------------------------------------------


def test_mgd_generates_from_what_is_not_masked() -> None:
    world = World()
    method = world.built("mgd", weight=2.0, masked=0.5)
    student, teacher = world.outputs(method, world.batch())
    mask = torch.rand(6, 32, 1, 1, generator=torch.Generator().manual_seed(7)) >= 0.5
    with torch.no_grad():
        generated = method.generation(torch.where(mask, method.align(student.maps(-1)), 0.0))
    expected = 2 * ((array(generated) - array(teacher.maps(-1))) ** 2).sum() / 6
    losses = method.losses(world.batch(), student, teacher)
    assert losses["mgd"].item() == pytest.approx(expected, rel=1e-5)


def test_mgd_masks_whole_channels_of_each_image_by_the_share_that_is_said() -> None:
    method = World().built("mgd", masked=0.15)
    mask = method.mask(torch.zeros(400, 50, 2, 2))
    assert mask.shape == (400, 50, 1, 1)
    assert mask.unique().tolist() == [0.0, 1.0]
    assert mask.mean().item() == pytest.approx(0.85, abs=0.01)
    assert not torch.equal(mask, method.mask(torch.zeros(400, 50, 2, 2)))
    assert World().built("mgd", masked=0.0).mask(torch.zeros(9, 50, 2, 2)).all()


def test_mgd_aligns_where_channels_differ() -> None:
    assert isinstance(World(student_name="conv8").built("mgd").align, nn.Identity)
    assert World().built("mgd").align.weight.shape == (32, 16, 1, 1)


def test_mgd_sums_over_channels_and_places() -> None:
    """Averaged over them, the published weight of 7e-5 would leave nothing."""
    assert mgd.mgd_loss(torch.ones(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)).item() == 60


# -- wkd_f -------------------------------------------------------------------------------------------------------------


def test_wkd_f_compares_means_and_deviations() -> None:
    world = World()
    method = world.built("wkd_f", weight=3.0, mean_weight=2.0, decay_start=0.2)
    student, teacher = world.outputs(method, world.batch())
    with torch.no_grad():
        source = array(method.regressor(student.maps(-1)))
    target = array(teacher.maps(-1))
    squares = 2 * (source.mean((2, 3)) - target.mean((2, 3))) ** 2
    spreads = [np.sqrt(maps.var((2, 3), ddof=1) + 1e-5) for maps in (source, target)]
    squares += (spreads[0] - spreads[1]) ** 2
    share = (1 + np.cos(np.pi * (0.5 - 0.2) / 0.8)) / 2
    batch = replace(world.batch(), step=epoch_of(2, 4))
    losses = method.losses(batch, student, teacher)
    assert losses["wkd_f"].item() == pytest.approx(3 * share * squares.sum() / 6, rel=1e-4)


def test_wkd_f_of_maps_with_the_same_moments_is_zero() -> None:
    maps = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert wkd_f.wkd_f_loss(maps.transpose(2, 3), maps, 4.0).item() == pytest.approx(0, abs=1e-25)
    assert wkd_f.wkd_f_loss(maps + 2, maps, 4.0).item() == pytest.approx(4 * 2**2 * 4)
    assert wkd_f.wkd_f_loss(maps.transpose(2, 3), maps, 4.0, grid=2).item() > 0.1


def test_wkd_f_of_parts_of_one_place_has_no_spread_and_no_nan() -> None:
    maps = torch.randn(3, 4, 2, 2).requires_grad_()
    loss = wkd_f.wkd_f_loss(maps, torch.zeros(3, 4, 2, 2), 1.0, grid=2)
    torch.testing.assert_close(loss, maps.square().sum() / (3 * 4))
    loss.backward()
    assert maps.grad is not None
    assert maps.grad.isfinite().all()


@pytest.mark.parametrize(("number", "share"), [(1, 1), (150, 1), (195, 0.5), (240, 0)])
def test_a_weight_decays_by_a_cosine_from_epoch_150_of_240(number: int, share: float) -> None:
    assert float(cosine_decay(epoch_of(number, 240), 0.625)) == pytest.approx(share, abs=1e-6)


def test_a_decay_that_never_starts_is_none() -> None:
    assert cosine_decay(epoch_of(240, 240), 1.0) == 1.0


def test_wkd_f_decays_by_epochs() -> None:
    world = World()
    method = world.built("wkd_f", decay_start=0.25)
    student, teacher = world.outputs(method, world.batch())

    def at(number: int, progress: float) -> float:
        batch = replace(world.batch(), step=epoch_of(number, 4, progress))
        return method.losses(batch, student, teacher)["wkd_f"].item()

    assert at(2, 0.25) == at(2, 0.49)
    assert at(1, 0.2) > at(2, 0.3) > at(3, 0.6) > at(4, 0.8)


# -- catkd, and the places that it classifies --------------------------------------------------------------------------

PLACES = ("conv4", "resnet8", "vgg8", "mobilenet_v2", "shuffle_v2", "preact_resnet18")


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("training", [False, True])
def test_the_mean_over_places_is_what_the_classifier_sees(name: str, training: bool) -> None:
    model = network(name, 5, (3, 16, 16)).train(training)
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    outputs = model.run(images, ("stages", "embedding"))
    kept = {key: buffer.clone() for key, buffer in model.named_buffers()}
    found = place_embeddings(model, outputs.maps(-1), "own" if training else "frozen")
    assert found.shape[2:] == outputs.maps(-1).shape[2:]
    torch.testing.assert_close(found.mean(dim=(2, 3)), outputs.embedding, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(buffer, kept[key]) for key, buffer in model.named_buffers())


def test_catkd_compares_weighted_maps_without_the_bias() -> None:
    world = World()
    method = world.built("catkd", weight=3.0, resolution=1, normalize=False)
    student, teacher = world.outputs(method, world.batch())
    answers = [array(o.logits) - array(o.model.classifier.bias) for o in (student, teacher)]
    losses = method.losses(world.batch(), student, teacher)
    assert losses["catkd"].item() == pytest.approx(3 * ((answers[0] - answers[1]) ** 2).mean(), rel=1e-4)
    bias: Any = student.model.classifier.bias
    assert torch.autograd.grad(losses["catkd"], [bias], allow_unused=True)[0] is None


def test_catkd_normalises_each_class_map_at_the_resolution_that_is_said() -> None:
    world = World()
    method = world.built("catkd", weight=1.0, resolution=2, normalize=True)
    student, teacher = world.outputs(method, world.batch())
    maps = []
    for outputs in (student, teacher):
        feature, weight = array(outputs.maps(-1)), array(outputs.model.classifier.weight)
        assert feature.shape[2:] == (2, 2)
        cam = np.einsum("kc,nchw->nkhw", weight, feature)
        maps.append(cam / np.sqrt((cam**2).sum((2, 3), keepdims=True)))
    losses = method.losses(world.batch(), student, teacher)
    assert losses["catkd"].item() == pytest.approx(((maps[0] - maps[1]) ** 2).mean(), rel=1e-4)


def test_catkd_of_a_network_with_itself_is_zero() -> None:
    world = World(student_name="conv8")
    world.student.load_state_dict(world.teacher.state_dict())
    world.student.eval()
    assert world.losses(world.built("catkd"))["catkd"].item() == 0


class MixesPlaces(nn.Module):
    """A stage, and behind it what is given."""

    def __init__(self, num_classes: int, input_shape: tuple[int, int, int], behind: nn.Module) -> None:
        super().__init__()
        self.stage = nn.Conv2d(input_shape[0], 4, 3, padding=1)
        self.behind = behind
        self.fc = nn.Linear(4, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.behind(self.stage(x)).flatten(1))
        return logits


@pytest.mark.parametrize(
    ("behind", "reason"),
    [
        (nn.Sequential(nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), None),
        (nn.Sequential(nn.Conv2d(4, 4, 1), nn.AdaptiveAvgPool2d(1)), None),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.ReLU()), "a ReLU of model 'm' mixes places"),
        (nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1)), "a Conv2d of model 'm' mixes places"),
        (nn.AdaptiveMaxPool2d(1), "a AdaptiveMaxPool2d of model 'm' mixes places"),
        (nn.Sequential(nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1)), "a Dropout of model 'm' mixes places"),
        (nn.AvgPool2d(8), "model 'm' does not classify a map of one place"),
    ],
)
def test_networks_that_do_not_classify_the_mean_over_places_are_told(behind: nn.Module, reason: str | None) -> None:
    spec = ModelSpec(
        "m", lambda classes, shape: MixesPlaces(classes, shape, behind), stages=("stage",), classifier="fc"
    )
    model = StagedModel(spec.factory(3, (1, 8, 8)), spec, (1, 8, 8))
    found = why_not_apart(model, shape_of(model))
    assert found is None if reason is None else reason in str(found)


def test_places_of_tokens_are_told() -> None:
    model = network("vit_micro_p2", 3, (3, 8, 8))
    assert "network of tokens" in str(why_not_apart(model, shape_of(model)))


# -- ofa ---------------------------------------------------------------------------------------------------------------


def ofa_term(logits: Array, answers: Array, targets: list[int], eps: float, temperature: float) -> float:
    total = 0.0
    for z, t, y in zip(logits / temperature, answers / temperature, targets, strict=True):
        p, q = (np.exp(x - x.max()) / np.exp(x - x.max()).sum() for x in (t, z))
        for c in range(len(p)):
            label = float(c == y)
            total -= ((p[c] + label) ** eps - label) * np.log(q[c])
    return total / len(targets)


def test_ofa_teaches_every_exit_and_the_logits() -> None:
    world = World()
    method = world.built("ofa", weight=2.0, kd_weight=3.0, eps=1.5, temperature=2.0)
    student, teacher = world.outputs(method, world.batch())
    losses = method.losses(world.batch(), student, teacher)
    answers, targets = array(teacher.logits), world.targets.tolist()
    with torch.no_grad():
        exits = [array(leaving(feature)) for leaving, feature in zip(method.exits, student.stages, strict=True)]
    assert len(exits) == 3
    expected = sum(ofa_term(logits, answers, targets, 1.5, 2.0) for logits in exits)
    assert losses["ofa"].item() == pytest.approx(2 * expected, rel=1e-4)
    final = ofa_term(array(student.logits), answers, targets, 1.5, 2.0)
    assert losses["kd"].item() == pytest.approx(3 * final, rel=1e-4)


def test_ofa_at_eps_1_is_cross_entropy_with_the_teacher() -> None:
    student, teacher = torch.randn(4, 5, dtype=torch.float64), torch.randn(4, 5, dtype=torch.float64)
    found = ofa.ofa_loss(student, teacher, torch.tensor([0, 4, 2, 2]), eps=1.0, temperature=1.0)
    torch.testing.assert_close(found, nn.functional.cross_entropy(student, teacher.softmax(dim=1)))


def test_ofa_at_a_larger_eps_raises_the_label_alone() -> None:
    logits = torch.zeros(1, 4, requires_grad=True)
    ofa.ofa_loss(logits, torch.zeros(1, 4), torch.tensor([2]), eps=2.0, temperature=1.0).backward()
    assert logits.grad is not None
    wanted = torch.tensor([[1 / 16, 1 / 16, (5 / 4) ** 2 - 1, 1 / 16]])  # (1/4)^2, and (1/4 + 1)^2 - 1 at the label
    torch.testing.assert_close(logits.grad, wanted.sum() / 4 - wanted)


def test_exits_of_ofa_halve_the_map_for_every_stage_behind() -> None:
    exits = World().built("ofa").exits
    assert [sum(isinstance(m, nn.Conv2d) and m.stride == (2, 2) for m in leaving) for leaving in exits] == [2, 1, 0]
    assert [leaving[0].in_channels for leaving in exits] == [4, 8, 16]
    assert [leaving[-1].weight.shape for leaving in exits] == [(5, 32)] * 3
    assert all(leaving[-1].weight.std() < 0.03 and not leaving[-1].bias.any() for leaving in exits)


def test_ofa_reads_no_more_of_a_teacher_than_its_logits() -> None:
    world = World(teacher_name="vit_micro_p2")
    assert world.losses(world.built("ofa"))["ofa"].isfinite()


@pytest.mark.parametrize("student", ["vit_micro_p2", "deit_micro_p2"])
def test_ofa_teaches_exits_of_tokens(student: str) -> None:
    world = World(student_name=student)
    method = world.built("ofa", weight=2.0)
    assert [len(leaving.blocks) for leaving in method.exits] == [3, 2, 1, 1]
    assert {leaving.classifier.in_features for leaving in method.exits} == {32}
    outputs, teacher = world.outputs(method, world.batch())
    losses = method.losses(world.batch(), outputs, teacher)
    exits = [array(leaving(outputs.tokens(k))) for k, leaving in enumerate(method.exits)]
    expected = sum(ofa_term(e, array(teacher.logits), world.targets.tolist(), 1.0, 1.0) for e in exits)
    assert losses["ofa"].item() == pytest.approx(2 * expected, rel=1e-4)
    found = torch.autograd.grad(losses["ofa"], [*parts_of(world), *method.parameters()], allow_unused=True)
    reached = [gradient is not None and bool(gradient.any()) for gradient in found]
    assert all(reached[-len(list(method.parameters())) :])
    assert sum(reached[: len(parts_of(world))]) >= len(parts_of(world)) - 6  # all but the last norm and the heads


def test_a_block_of_an_exit_is_the_usual_one_without_biases_of_queries_keys_and_values() -> None:
    torch.manual_seed(0)
    block, usual = (
        Block(8).double(),
        nn.TransformerEncoderLayer(8, 4, 32, 0.0, "gelu", batch_first=True, norm_first=True),
    )
    names = {
        "self_attn.in_proj_weight": block.attention.qkv.weight, "self_attn.in_proj_bias": torch.zeros(24),
        "self_attn.out_proj.weight": block.attention.projection.weight,
        "self_attn.out_proj.bias": block.attention.projection.bias, "linear1.weight": block.perceptron[0].weight,
        "linear1.bias": block.perceptron[0].bias, "linear2.weight": block.perceptron[2].weight,
        "linear2.bias": block.perceptron[2].bias, "norm1.weight": block.norm1.weight, "norm1.bias": block.norm1.bias,
        "norm2.weight": block.norm2.weight, "norm2.bias": block.norm2.bias,
    }  # fmt: skip
    usual.double().load_state_dict(names)
    tokens = torch.randn(2, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(block(tokens), usual(tokens))


def test_exits_of_tokens_merge_patches_two_by_two_down_to_seven() -> None:
    assert [count_mergings((side, side)) for side in (4, 7, 13, 14, 28, 56)] == [0, 0, 0, 1, 2, 3]
    first, second = make_mergings((28, 56), 3, 8)
    assert isinstance(first.activation, nn.GELU)
    assert isinstance(second.activation, nn.Identity)
    assert (first.grid, second.grid) == ((28, 56), (14, 28))
    merging = Merging((2, 4), 2, 8, nn.Identity())
    merging.norm, merging.reduction = nn.Identity(), nn.Identity()  # type: ignore[assignment]
    tokens = torch.arange(8).view(1, 8, 1).expand(1, 8, 2)
    # Rows 0 1 2 3 and 4 5 6 7: of each square down the left column first.
    assert merging(tokens)[0, :, ::2].tolist() == [[0, 4, 1, 5], [2, 6, 3, 7]]


@pytest.mark.parametrize(
    ("exit_of", "says"),
    [
        ((1, (14, 14), 8, 8), None),
        ((0, (14, 14), 6, 8), None),
        ((1, (14, 14), 6, 6), "its exits attend with 4 heads, and 6 channels are no multiple of that"),
        ((1, (15, 15), 8, 8), "its exits halve the patches 1 times, and there are 15x15"),
        ((1, (14, 14), 6, 8), "its exits are 8 wide, and the tokens 6"),
        ((0, (7, 7), 6, 8), "its exits are 8 wide, and the tokens 6"),
    ],
)
def test_tokens_that_have_no_exit_say_why(exit_of: tuple[int, tuple[int, int], int, int], says: str | None) -> None:
    assert why_no_exit(*exit_of) == says


def test_an_exit_of_tokens_without_a_class_token_classifies_their_mean() -> None:
    leaving = TokenExit(0, (2, 2), 8, 8, 1, 3)
    tokens = torch.randn(2, 4, 8)
    torch.testing.assert_close(leaving(tokens), leaving(tokens.flip(1)))
    assert TokenExit(0, (14, 14), 4, 8, 1, 3)(torch.randn(2, 196, 4)).shape == (2, 3)
    of_class = TokenExit(2, (2, 2), 8, 8, 1, 3)
    of_class.blocks = nn.Sequential()
    tokens = torch.randn(2, 6, 8)
    torch.testing.assert_close(of_class(tokens), of_class.classifier(tokens[:, 0]))
