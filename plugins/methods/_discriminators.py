"""Discriminators on aligned stage vectors, and the vectors: the parts of MEAL (see `meal`).

    omega(f): [N, C, H, W] -> [N, C, H W] -> adaptive pooling to [N, C, d] -> mean over channels -> [N, d]
    D: d -> d/K -> d/K^2 -> 2, with biases and, as published, a ReLU after every layer, the last one too
    L_D = binary cross-entropy of D's two outputs, student [1, 0], teacher [0, 1]; the mean over 2N rows and 2 outputs

With the last ReLU D's outputs are not negative, so that L_D is at least ln(2) / 2 = 0.347; at outputs of zero (chance,
or a dead last layer, which has no gradient) it is ln(2) = 0.693.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Alignment(nn.Module):
    """omega of one stage: maps of any shape as vectors [N, size]. Nothing in it is trained.

    Average pooling is linear: the mean over channels comes first, and pooling is a product with a constant matrix,
    whose backward pass repeats bit for bit on a GPU too. At most H W numbers of a vector are free, however long it is.

    positions: the H W that will come, of student and teachers.
    """

    def __init__(self, size: int, positions: set[int], maximum: bool = False) -> None:
        super().__init__()
        self.size = size
        self.maximum = maximum
        for count in positions - {size}:
            averages = F.adaptive_avg_pool1d(torch.eye(count), size)
            self.register_buffer(f"averages_{count}", averages, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        if self.maximum:
            return F.adaptive_max_pool1d(features.flatten(2), self.size).mean(1)
        means = features.mean(1).flatten(1)
        if means.shape[1] == self.size:
            return means
        averages: Tensor = getattr(self, f"averages_{means.shape[1]}")
        return means @ averages


def make_discriminator(size: int, shrink: int, output_relu: bool) -> nn.Sequential:
    """D on vectors of length `size`. shrink: K."""
    widths = (size, max(1, size // shrink), max(1, size // shrink // shrink), 2)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*(layers if output_relu else layers[:-1]))


def discriminator_loss(discriminator: nn.Module, student: Tensor, teacher: Tensor) -> Tensor:
    """L_D of vectors [N, d] of student and teacher, a scalar."""
    outputs = discriminator(torch.cat([student, teacher]))
    labels = torch.eye(2, device=outputs.device).repeat_interleave(len(student), dim=0)
    return F.binary_cross_entropy_with_logits(outputs, labels)
