"""Small vision transformers for images of 8x8 to 32x32, without and with a distillation token.

Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image Recognition at Scale", ICLR 2021: patches
become tokens, a class token comes before them, and blocks of attention and a two-layer perceptron follow, each behind
its normalisation and added to its input. vit_tiny_p4 and vit_small_p4 have the width, depth and heads of DeiT-Ti and
DeiT-S with patches of 4x4; vit_micro_p2 is for 8x8 digits.

Touvron, Cord, Douze, Massa, Sablayrolles, Jegou, "Training data-efficient image transformers & distillation through
attention", ICML 2021: the "deit" members have a second token with a classifier of its own, which learns from the
teacher. At test the paper adds the softmax of both; its code takes the mean of both outputs, which is `logits` here,
in training too. `outputs.named` has the two: "class" and "distillation". The embedding is the class token's.

A stage is a quarter of the blocks; its tokens have the class token first. drop_path (Huang, Sun, Liu, Sedra,
Weinberger, "Deep Networks with Stochastic Depth", ECCV 2016) leaves a branch out for a sample in training; the rate
rises linearly from 0 in the first block. Attention is written as products, whose backward pass on a GPU repeats bit for
bit where that of the fused kernels need not.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from kdharness.api import ModelSpec, Parameter, Tokens, hookimpl

STAGES = 4
# Hidden units of the perceptron per channel.
EXPANSION = 4

# Name: pixels along a patch, width, blocks, heads.
MEMBERS: dict[str, tuple[int, int, int, int]] = {
    "tiny_p4": (4, 192, 12, 3),
    "small_p4": (4, 384, 12, 6),
    "micro_p2": (2, 32, 4, 2),
}


class DropPath(nn.Module):
    """A branch [N, L, D], left out for each sample with probability `rate` in training, and scaled up otherwise."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        return x * x.new_empty((len(x), 1, 1)).bernoulli_(1 - self.rate) / (1 - self.rate)


class Attention(nn.Module):
    """Attention of several heads over tokens [N, L, D]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (width // heads) ** -0.5
        self.qkv = nn.Linear(width, 3 * width)
        # A module of its own, so that the attention [N, heads, L, L] can be tapped.
        self.softmax = nn.Softmax(dim=-1)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attention = self.softmax(self.scale * query @ key.transpose(2, 3))
        out: Tensor = self.projection((attention @ value).transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention, then a perceptron. Keeps the shape [N, L, D]."""

    def __init__(self, width: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.perceptron = nn.Sequential(
            nn.Linear(width, EXPANSION * width), nn.GELU(), nn.Linear(EXPANSION * width, width)
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop_path(self.attention(self.norm1(x)))
        out: Tensor = x + self.drop_path(self.perceptron(self.norm2(x)))
        return out


class VisionTransformer(nn.Module):
    """patch: pixels along its side; distilled: whether there is a distillation token."""

    def __init__(
        self,
        num_classes: int,
        input_shape: tuple[int, int, int],
        patch: int,
        width: int,
        depth: int,
        heads: int,
        drop_path: float = 0.0,
        distilled: bool = False,
    ) -> None:
        super().__init__()
        channels, height, across = input_shape
        if height % patch or across % patch:
            raise ValueError(f"images must be multiples of {patch} high and wide, not {height}x{across}")
        if depth % STAGES or width % heads:
            raise ValueError(f"depth must be a multiple of {STAGES}, width one of {heads}, not {depth} and {width}")
        prefix = 2 if distilled else 1
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.prefix = nn.Parameter(torch.empty(1, prefix, width))
        self.positions = nn.Parameter(torch.empty(1, prefix + height // patch * (across // patch), width))
        rates = [drop_path * number / max(1, depth - 1) for number in range(depth)]
        size = depth // STAGES
        self.stage1, self.stage2, self.stage3, self.stage4 = (
            nn.Sequential(*(Block(width, heads, rate) for rate in rates[first : first + size]))
            for first in range(0, depth, size)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)
        self.distillation_head = nn.Linear(width, num_classes) if distilled else None
        self._initialise()

    def _initialise(self) -> None:
        for tokens in (self.prefix, self.positions):
            nn.init.trunc_normal_(tokens, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        """images [N, C, H, W] to logits [N, classes], or to three of them by name."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.prefix.expand(len(x), -1, -1), tokens], dim=1) + self.positions
        tokens = self.norm(self.stage4(self.stage3(self.stage2(self.stage1(tokens)))))
        logits: Tensor = self.head(tokens[:, 0])
        if self.distillation_head is None:
            return logits
        distillation = self.distillation_head(tokens[:, 1])
        return {"logits": (logits + distillation) / 2, "class": logits, "distillation": distillation}


def parameters(width: int, depth: int) -> tuple[Parameter, ...]:
    """Of a member with these defaults."""
    return (
        Parameter("width", Annotated[int, Field(ge=1, le=2**14)], width),
        Parameter("depth", Annotated[int, Field(ge=STAGES, le=1000)], depth),
        Parameter("drop_path", Annotated[float, Field(ge=0, lt=1)], 0.0),
    )


@hookimpl
def kdharness_models() -> Iterable[ModelSpec]:
    for name, (patch, width, depth, heads) in MEMBERS.items():
        for distilled in (False, True):
            extra = ", with a distillation token" if distilled else ""
            yield ModelSpec(
                name=f"{'deit' if distilled else 'vit'}_{name}",
                factory=partial(
                    VisionTransformer, patch=patch, width=width, depth=depth, heads=heads, distilled=distilled
                ),
                summary=f"vision transformer of {depth} blocks, {width} wide, patches of {patch}x{patch}{extra}",
                stem="patches",
                stages=tuple(f"stage{number}" for number in range(1, STAGES + 1)),
                classifier="head",
                tokens=Tokens(prefix=2 if distilled else 1),
                parameters=parameters(width, depth),
                paper=(
                    "Touvron et al., Training data-efficient image transformers & distillation through attention, 2021"
                    if distilled
                    else "Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021"
                ),
                revision=1,
            )
