"""The deep end of a network, run again: its normalisations, and connections that skip the stage."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kdharness.api import ModelSpec, StagedModel, Tokens
from kdharness.api.declarations import Tap

SHAPE = (2, 4, 4)


class Normed(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 1)
        self.norm = norm
        self.last = nn.Conv2d(3, 5, 4)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(self.norm(self.first(x)))
        return logits.flatten(1)


def made(network: nn.Module, *stages: str, tokens: Tokens | None = None) -> StagedModel:
    return StagedModel(network, ModelSpec("made", lambda c, s: network, stages=stages, tokens=tokens), SHAPE)


def norms() -> list[nn.Module]:
    return [
        nn.BatchNorm2d(3),
        nn.InstanceNorm2d(3, affine=True, track_running_stats=True),
        nn.BatchNorm2d(3, momentum=None),
    ]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("number", range(3))
def test_statistics_are_the_given_ones_or_the_running_ones(number: int, training: bool) -> None:
    torch.manual_seed(0)
    norm = norms()[number]
    model = made(Normed(norm), "first").train()
    model(torch.randn(6, *SHAPE))
    model.train(training)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    versions = [(id(value), value._version) for value in model.buffers()]
    features = 3 * torch.randn(6, 3, 4, 4) + 1
    over = (2, 3) if isinstance(norm, nn.InstanceNorm2d) else (0, 2, 3)
    mean, variance = features.mean(over, keepdim=True), features.var(over, keepdim=True, unbiased=False)
    expected = {
        "own": (features - mean) / (variance + norm.eps).sqrt(),
        "frozen": F.batch_norm(features, norm.running_mean, norm.running_var, eps=norm.eps),
    }
    for statistics, normalised in expected.items():
        logits = model.tail(0, features, statistics)
        torch.testing.assert_close(logits, model.network.last(normalised).flatten(1), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(model.head(features, statistics), logits, rtol=0, atol=0)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        assert [(id(value), value._version) for value in model.buffers()] == versions
        assert norm.training == training
        assert norm.track_running_stats


def test_without_a_say_the_mode_decides() -> None:
    model = made(Normed(nn.BatchNorm2d(3)), "first").train()
    features = torch.randn(6, 3, 4, 4)
    own = model.tail(0, features, "own")
    assert model.network.norm.num_batches_tracked == 0
    torch.testing.assert_close(model.tail(0, features), own, rtol=0, atol=0)
    assert model.network.norm.num_batches_tracked == 1
    model.eval()
    torch.testing.assert_close(model.tail(0, features), model.tail(0, features, "frozen"), rtol=0, atol=0)
    assert model.network.norm.num_batches_tracked == 1


class Skipping(nn.Module):
    """A U: the last layer sees the second stage, and what is told of the image and the first."""

    def __init__(self, skips: str) -> None:
        super().__init__()
        self.stage1 = nn.Conv2d(2, 2, 1)
        self.stage2 = nn.Conv2d(2, 2, 1)
        self.skips = skips

    def forward(self, x: Tensor) -> Tensor:
        first = self.stage1(x)
        second: Tensor = self.stage2(first)
        second = second + {"nothing": torch.zeros(()), "image": x, "stage": first}[self.skips]
        return second.flatten(1)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("skips", ["image", "stage"])
def test_a_connection_that_skips_a_stage_is_refused(skips: str, device: str) -> None:
    with torch.device(device):
        model = made(Skipping(skips), "stage1", "stage2").eval().requires_grad_(False)
        with (
            torch.no_grad(),
            pytest.raises(ValueError, match="model 'made' has a connection that skips"),
        ):
            model.tail(1, torch.zeros(3, 2, 4, 4))
        if skips == "stage":
            assert model.tail(0, torch.zeros(3, 2, 4, 4)).shape == (3, 32)
        assert made(Skipping("nothing"), "stage1", "stage2").tail(1, torch.zeros(3, 2, 4, 4)).shape == (3, 32)


class Tokened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cut = nn.Conv2d(2, 3, 1)
        self.stage = nn.Linear(3, 3)
        self.fc = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.stage(self.cut(x).flatten(2).transpose(1, 2)).mean(1))
        return logits


def test_tokens_go_in_as_tokens() -> None:
    model = made(Tokened(), "stage", tokens=Tokens()).eval()
    outputs = model.run(torch.randn(3, *SHAPE), ("stages", "tokens"))
    torch.testing.assert_close(model.tail(0, outputs.tokens(0)), outputs.logits, rtol=0, atol=0)
    with pytest.raises(ValueError, match=r"gives \['N', 16, 3\], and its deep end was given \[3, 3, 4, 4\]"):
        model.head(outputs.stages[0])


class Stemmed(nn.Module):
    """Before the stage: a stem, an activation that runs behind it too, and a scale that does not look at the image."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 3, 1)
        self.activation = nn.ReLU()
        self.scale = nn.Embedding(1, 3)
        self.stage = nn.Conv2d(3, 3, 1)
        self.fc = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.scale(torch.zeros(1, dtype=torch.int64, device=x.device))
        x = self.stage(self.activation(self.stem(x)))
        logits: Tensor = self.fc(self.activation(x).mean((2, 3)) * scale)
        return logits


@pytest.mark.parametrize("training", [True, False])
def test_what_comes_before_the_stage_is_not_run_again(training: bool) -> None:
    model = made(Stemmed(), "stage").train(training)
    outputs = model.run(torch.randn(3, *SHAPE), ("stages",))
    torch.testing.assert_close(model.head(outputs.stages[0]), outputs.logits, rtol=0, atol=0)
    with FlopCounterMode(display=False) as counter:
        model.head(outputs.stages[0])
    assert counter.get_total_flops() == 2 * 3 * 3 * 5  # the classifier's, for three samples


class Deep(nn.Module):
    """Three stages, each with a normalisation, and one more behind the last."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 3, 1)
        for number in (1, 2, 3):
            stage = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU())
            self.add_module(f"stage{number}", stage)
        self.norm = nn.BatchNorm2d(3)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        for part in ("stem", "stage1", "stage2", "stage3", "norm", "relu"):
            x = getattr(self, part)(x)
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def deep() -> StagedModel:
    torch.manual_seed(0)
    network = Deep()
    stages = ("stage1", "stage2", "stage3")
    before = ("stage1.2", "stage2.2", "relu")
    spec = ModelSpec(
        "deep", lambda c, s: network, stem="stem", stages=stages, pre_activations=before, norms=before, classifier="fc"
    )
    return StagedModel(network, spec, SHAPE)


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_taps_of_a_deep_end_are_those_of_the_stages_behind(stage: int) -> None:
    model = deep().train()
    taps: tuple[Tap, ...] = ("stages", "pre_activations", "embedding")
    whole = model.run(torch.randn(4, *SHAPE), taps)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = model.run_tail(stage, whole.stages[stage], "own", taps)
    assert len(found.stages) == len(found.pre_activations) == 2 - stage
    pairs = [(found.logits, whole.logits), (found.embedding, whole.embedding)]
    pairs += zip(found.stages, whole.stages[stage + 1 :], strict=True)
    pairs += zip(found.pre_activations, whole.pre_activations[stage + 1 :], strict=True)
    for again, first in pairs:
        torch.testing.assert_close(again, first, rtol=0, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_gradients_pass_through_a_deep_end_whose_weights_get_none() -> None:
    model = deep().eval().requires_grad_(False)
    features = torch.randn(4, 3, 4, 4, requires_grad=True)
    found = model.run_tail(0, features, "own", ("stages",))
    (found.stages[-1].square().mean() + found.logits.square().mean()).backward()
    assert features.grad is not None
    assert features.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_deep_end_has_no_stem() -> None:
    with pytest.raises(ValueError, match="the stem of model 'deep' is before all stages"):
        deep().run_tail(0, torch.zeros(2, 3, 4, 4), None, ("stem",))
