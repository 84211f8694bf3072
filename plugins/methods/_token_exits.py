"""Exits from the stages of a transformer, as the authors of OFA-KD make them for students of tokens.

Patches are merged two by two while more than 7 of them lie along a side, then a few blocks of attention follow, and the
class token is classified, or the mean of the patches where there is none.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HEADS = 4
# Hidden units of the perceptron per channel.
EXPANSION = 4
# Patches along a side that merging stops at.
SIDE = 7

Grid = tuple[int, int]


class Merging(nn.Module):
    """Joins 2x2 patches: [N, rows * columns, D] to a quarter as many of `out_channels`."""

    def __init__(self, grid: Grid, channels: int, out_channels: int, activation: nn.Module) -> None:
        super().__init__()
        self.grid = grid
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, out_channels, bias=False)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = self.grid
        x = x.unflatten(1, (rows // 2, 2, columns // 2, 2))
        # Column by column within the four.
        x = x.permute(0, 1, 3, 4, 2, 5).flatten(3).flatten(1, 2)
        merged: Tensor = self.activation(self.reduction(self.norm(x)))
        return merged


class Attention(nn.Module):
    """Over tokens [N, L, D], written as products: their backward pass repeats bit for bit on a GPU."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = (width // HEADS) ** -0.5
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        attention = (self.scale * query @ key.transpose(2, 3)).softmax(dim=-1)
        seen: Tensor = self.projection((attention @ value).transpose(1, 2).flatten(2))
        return seen


class Block(nn.Module):
    """Attention, then a perceptron, each behind its normalisation and added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width)
        self.norm2 = nn.LayerNorm(width)
        hidden = EXPANSION * width
        self.perceptron = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))
        out: Tensor = x + self.perceptron(self.norm2(x))
        return out


class TokenExit(nn.Module):
    """Tokens [N, L, D] to logits [N, classes]. Of several tokens of no place the first, the class token, is classified.

    prefix: tokens of no place. grid: of the others. channels: D; width: of what is classified. blocks: of attention.
    """

    def __init__(self, prefix: int, grid: Grid, channels: int, width: int, blocks: int, num_classes: int) -> None:
        super().__init__()
        self.prefix = prefix
        self.merging = nn.Sequential(*make_mergings(grid, channels, width))
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.classifier = nn.Linear(width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        merged = self.merging(tokens[:, self.prefix :])
        x = self.blocks(torch.cat([tokens[:, : self.prefix], merged], dim=1) if self.prefix else merged)
        logits: Tensor = self.classifier(x[:, 0] if self.prefix else x.mean(dim=1))
        return logits


def count_mergings(grid: Grid) -> int:
    """How often both sides can be halved without a side of fewer than SIDE."""
    side, count = min(grid), 0
    while side >= 2 * SIDE:
        side, count = side // 2, count + 1
    return count


def make_mergings(grid: Grid, channels: int, width: int) -> list[nn.Module]:
    """The first one has an activation, and those between it and the last, which has none."""
    count = count_mergings(grid)
    return [
        Merging(
            (grid[0] >> number, grid[1] >> number),
            width if number else channels,
            width,
            nn.GELU() if number in (0, *range(count - 1)) else nn.Identity(),
        )
        for number in range(count)
    ]


def why_no_exit(prefix: int, grid: Grid, channels: int, width: int) -> str | None:
    """Why a stage has no such exit, or None."""
    count = count_mergings(grid)
    if width % HEADS:
        return f"its exits attend with {HEADS} heads, and {width} channels are no multiple of that"
    if any(side % 2**count for side in grid):
        return f"its exits halve the patches {count} times, and there are {grid[0]}x{grid[1]}"
    if channels != width and (prefix or not count):
        return f"its exits are {width} wide, and the tokens {channels}"
    return None
