"""Vision transformers: sizes, what they are made of, tokens, the distillation token, dropped branches, costs."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.models import vit
from torch import nn

from kdharness.api import ModelSpec, StagedModel
from kdharness.measure.costs import count_macs

SPECS = {spec.name: spec for spec in vit.kdharness_models()}
CPU = torch.device("cpu")


def staged(name: str, classes: int = 10, shape: tuple[int, int, int] = (1, 8, 8), **given: object) -> StagedModel:
    torch.manual_seed(0)
    spec = SPECS[name].configured(given)
    return StagedModel(spec.factory(classes, shape), spec, shape)


@pytest.mark.parametrize(("size", "width", "heads"), [("tiny", 192, 3), ("small", 384, 6)])
def test_sizes(size: str, width: int, heads: int) -> None:
    """By hand: patches, positions, the class token; 12 blocks; a normalisation and the classifier."""
    hidden = 4 * width
    block = width * 3 * width + 3 * width + width * width + width + 2 * width * hidden + hidden + width + 4 * width
    tokens = (48 * width + width) + 65 * width + width
    model = staged(f"vit_{size}_p4", 100, (3, 32, 32))
    assert model.part("stage1.0.attention").heads == heads
    assert sum(p.numel() for p in model.parameters()) == tokens + 12 * block + 2 * width + 100 * (width + 1)
    distilled = staged(f"deit_{size}_p4", 100, (3, 32, 32))
    more = sum(p.numel() for p in distilled.parameters()) - sum(p.numel() for p in model.parameters())
    assert more == 2 * width + 100 * (width + 1)


def test_multiply_accumulates() -> None:
    """By hand: patches; of each block four products with weights and two of attention; the classifier."""
    length, width = 65, 192
    block = length * width * (3 * width + width + 8 * width) + 2 * length * length * width
    expected = 64 * 48 * width + 12 * block + width * 100
    assert count_macs(staged("vit_tiny_p4", 100, (3, 32, 32)), (3, 32, 32), CPU) == expected


@pytest.mark.parametrize("name", ["vit_micro_p2", "deit_micro_p2"])
def test_stages_are_tokens_and_maps(name: str) -> None:
    model, prefix = staged(name).eval(), 2 if name.startswith("deit") else 1
    images = torch.randn(3, 1, 8, 8)
    outputs = model.run(images, ("stem", "stages", "tokens", "embedding"), ("stage1.0.attention.softmax",))
    assert outputs.stem.shape == (3, 32, 4, 4)
    for k, stage in enumerate(outputs.stages):
        assert stage.shape == (3, 32, 4, 4)
        tokens = outputs.tokens(k)
        assert tokens.shape == (3, prefix + 16, 32)
        torch.testing.assert_close(stage[:, :, 1, 2], tokens[:, prefix + 6], rtol=0, atol=0)
        torch.testing.assert_close(model.tail(k, tokens), outputs.logits, rtol=0, atol=0)
    attention = outputs.module("stage1.0.attention.softmax")
    torch.testing.assert_close(attention.sum(-1), torch.ones(3, 2, prefix + 16))
    logits = outputs.named["class"] if prefix == 2 else outputs.logits
    torch.testing.assert_close(model.classifier(outputs.embedding), logits, rtol=0, atol=0)


@pytest.mark.parametrize("training", [True, False])
def test_logits_of_a_distillation_token_are_the_mean_in_both_modes(training: bool) -> None:
    model = staged("deit_micro_p2").train(training)
    outputs = model.run(torch.randn(3, 1, 8, 8))
    assert sorted(outputs.named) == ["class", "distillation"]
    mean = (outputs.named["class"] + outputs.named["distillation"]) / 2
    torch.testing.assert_close(outputs.logits, mean, rtol=0, atol=0)
    assert not torch.equal(outputs.named["class"], outputs.named["distillation"])


def test_attention_is_what_torch_computes() -> None:
    torch.manual_seed(0)
    ours = vit.Attention(12, 3)
    theirs = nn.MultiheadAttention(12, 3, batch_first=True)
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.projection.weight,
            "out_proj.bias": ours.projection.bias,
        }
    )
    x = torch.randn(2, 5, 12)
    torch.testing.assert_close(ours(x), theirs(x, x, x, need_weights=False)[0])


def test_branches_are_dropped_for_whole_samples_in_training_alone() -> None:
    drop = vit.DropPath(0.25)
    x = torch.rand(4000, 2, 3) + 1
    torch.manual_seed(0)
    kept = drop(x)[:, 0, 0] != 0
    assert 0.22 < 1 - kept.float().mean() < 0.28
    torch.manual_seed(0)
    torch.testing.assert_close(drop(x), torch.where(kept[:, None, None], x / 0.75, 0.0))
    assert drop.eval()(x) is x
    rates = [m.rate for m in staged("vit_micro_p2", drop_path=0.3).modules() if isinstance(m, vit.DropPath)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("given", "shape", "fault"),
    [
        ({}, (1, 7, 8), "images must be multiples of 2 high and wide, not 7x8"),
        ({"depth": 6}, (1, 8, 8), "depth must be a multiple of 4, width one of 2, not 6 and 32"),
        ({"width": 33}, (1, 8, 8), "depth must be a multiple of 4, width one of 2, not 4 and 33"),
    ],
)
def test_what_does_not_fit(given: dict[str, int], shape: tuple[int, int, int], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        staged("vit_micro_p2", shape=shape, **given)


def test_it_learns() -> None:
    model = staged("deit_micro_p2", drop_path=0.1).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    images, targets = torch.randn(20, 1, 8, 8), torch.arange(20) % 10
    losses = []
    for _ in range(40):
        loss = F.cross_entropy(model(images), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


# -- costs of attention, however it is written -------------------------------------------------------------------------


class Fused(nn.Module):
    """Attention by torch's fused function, or by its module, which has a fast path of its own in eval mode."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.flatten(2).transpose(1, 2)
        if self.kind == "function":
            heads = tokens.unflatten(2, (2, 8)).transpose(1, 2)
            return F.scaled_dot_product_attention(heads, heads, heads).mean((2, 3))
        if self.kind == "module":
            return self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1)
        return self.layer(tokens).mean(1)


PRODUCTS = 2 * 36 * 36 * 16
WEIGHTS = 36 * 16 * 4 * 16


@pytest.mark.parametrize(
    ("kind", "macs"),
    [("function", PRODUCTS), ("module", PRODUCTS + WEIGHTS), ("layer", PRODUCTS + WEIGHTS + 36 * 2 * 16 * 32)],
)
def test_fused_attention_is_counted(kind: str, macs: int) -> None:
    spec = ModelSpec("fused", partial(Fused, kind=kind))
    assert count_macs(StagedModel(Fused(kind), spec, (16, 6, 6)), (16, 6, 6), CPU) == macs
