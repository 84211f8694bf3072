"""Discriminators on aligned stage vectors, and the vectors: the parts of MEAL (see `meal`).

    omega(f): [N, C, H, W] -> [N, C, H W] -> adaptive pooling to [N, C, d] -> mean over channels -> [N, d]
              with maximum pooling: the maximum over channels in place of the mean, as all published model files have it
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

    Averages commute, and so do maxima: channels come first, so that no [N, C, size] is made. Average pooling is then a
    product with a constant matrix, and maximum pooling takes its windows by a constant index; both repeat bit for bit
    on a GPU too. At most H W numbers of a vector are free, however long it is.

    positions: the H W that will come, of student and teachers.
    """

    def __init__(self, size: int, positions: set[int], maximum: bool = False) -> None:
        super().__init__()
        self.size = size
        self.maximum = maximum
        for count in positions - {size}:
            constants = pooling_windows(count, size) if maximum else F.adaptive_avg_pool1d(torch.eye(count), size)
            self.register_buffer(f"pooling_{count}", constants, persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        vectors = (features.max(1).values if self.maximum else features.mean(1)).flatten(1)
        if vectors.shape[1] == self.size:
            return vectors
        constants: Tensor = getattr(self, f"pooling_{vectors.shape[1]}")
        return vectors[:, constants].max(2).values if self.maximum else vectors @ constants


def pooling_windows(count: int, size: int) -> Tensor:
    """Which of `count` places each of `size` windows of adaptive pooling holds: int64 [size, width].

    Window i goes from floor(i count / size) to ceil((i + 1) count / size); a short one names its last place again.
    """
    windows = [range(i * count // size, -(-(i + 1) * count // size)) for i in range(size)]
    width = max(map(len, windows))
    return torch.tensor([[*window, *[window[-1]] * (width - len(window))] for window in windows])


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
