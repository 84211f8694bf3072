"""Mixed images: mixup and cutmix, drawn once per batch and applied to every view alike.

    mixup   x~ = lambda x_i + (1 - lambda) x_j                      Zhang, Cisse, Dauphin, Lopez-Paz, ICLR 2018
    cutmix  x~ = x_i with a box of x_j pasted into it               Yun, Han, Oh, Chun, Choe, Yoo, ICCV 2019
    labels  y~ = lambda y_i + (1 - lambda) y_j

lambda ~ Beta(alpha, alpha), one for a batch; j: i's partner, by a permutation of the batch. Cutmix's box has the share
1 - lambda of the area before it is cut off at the border: half its height is floor(H sqrt(1 - lambda) / 2), around a
pixel drawn uniformly, as in torchvision and timm. Its lambda is then corrected to the pixels really pasted.

The box's edges lie between the pixels of the dataset's images, and lambda is counted on these. A view of another size
gets the same box in relation to its own size; pixels that an edge cuts are mixed by the part of them that is covered,
so that the share is the same for every view.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from scipy.special import betaincinv
from torch import Tensor

from kdharness.api.labels import Mixing, one_hot
from kdharness.protocol.recipe import Recipe

Kind = Literal["mixup", "cutmix"]
WHOLE = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class MixingRequest:
    """What a recipe asks for in an epoch in which it mixes.

    mixup, cutmix: alpha of each, 0 for never; where both are on, each gets half of the batches.
    probability: that a batch is mixed.
    """

    mixup: float
    cutmix: float
    probability: float


def mixing_request(recipe: Recipe, epoch: int) -> MixingRequest | None:
    """What the recipe asks for in an epoch (from 0) of a cell's whole training; None where it does not mix."""
    off = recipe.mixing_off_epoch
    if not recipe.mixes or (off is not None and epoch >= off):
        return None
    return MixingRequest(recipe.mixup, recipe.cutmix, recipe.mixing_probability)


class EpochMixing:
    """The draws of an epoch: on the CPU, where they are the same for every device, and moved once.

    sizes: of the batches. size: (H, W) of the dataset's images.
    """

    def __init__(
        self, request: MixingRequest, sizes: Sequence[int], size: tuple[int, int], seed: int, device: torch.device
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        # In [0, 1), five for each batch: whether, which, lambda, and the box's middle.
        draws = torch.rand((len(sizes), 5), generator=generator, dtype=torch.float64).tolist()
        permutations = [torch.randperm(n, generator=generator) for n in sizes]
        self.kinds = [_kind(request, *row[:2]) for row in draws]
        drawn = [_drawn(request, kind, row[2:], size) for kind, row in zip(self.kinds, draws, strict=True)]
        self._permutations = torch.cat(permutations).to(device).split(list(sizes))
        self._shares = torch.tensor([share for share, _ in drawn]).to(device)
        self._boxes = torch.tensor([box for _, box in drawn]).to(device)

    def batch(self, number: int) -> Mixing | None:
        """How batch `number` is mixed, or None where it is not."""
        kind = self.kinds[number]
        if kind is None:
            return None
        # Copies: slices would hand out the draws themselves, of which a damaged batch is made again.
        drawn = (tensors[number].clone() for tensors in (self._shares, self._permutations, self._boxes))
        return Mixing(kind, *drawn)


def _kind(request: MixingRequest, whether: float, which: float) -> Kind | None:
    if whether >= request.probability:
        return None
    if request.mixup and request.cutmix:
        return "mixup" if which < 0.5 else "cutmix"
    return "mixup" if request.mixup else "cutmix"


def _drawn(
    request: MixingRequest, kind: Kind | None, draws: Sequence[float], size: tuple[int, int]
) -> tuple[float, tuple[float, ...]]:
    """The share and the box of one batch. draws: three in [0, 1)."""
    if kind is None:
        return 1.0, WHOLE
    alpha = request.mixup if kind == "mixup" else request.cutmix
    u, y, x = draws
    share = float(betaincinv(alpha, alpha, u))  # the inverse of Beta's distribution function
    return (share, WHOLE) if kind == "mixup" else cutmix_box(share, y, x, size)


def cutmix_box(share: float, y: float, x: float, size: tuple[int, int]) -> tuple[float, tuple[float, ...]]:
    """The share that is left, and the box, relative to the image.

    share: lambda as drawn. y, x: the middle in [0, 1). size: (H, W) of the dataset's images.
    """
    edges = []
    for middle, length in ((y, size[0]), (x, size[1])):
        half, centre = math.floor(0.5 * math.sqrt(1 - share) * length), math.floor(middle * length)
        edges.append((max(centre - half, 0), min(centre + half, length), length))
    (top, bottom, height), (left, right, width) = edges
    pasted = (bottom - top) * (right - left) / (height * width)
    return 1 - pasted, (top / height, left / width, bottom / height, right / width)


def mixed_images(images: Tensor, mixing: Mixing) -> Tensor:
    """One view [N, C, H, W], mixed. Of every size, the same share of each image is left."""
    partners = images[mixing.permutation]
    if mixing.kind == "mixup":
        return torch.lerp(partners, images, mixing.share.to(images.dtype))
    top, left, bottom, right = mixing.box.unbind()
    covered = torch.outer(_covered(top, bottom, images.shape[2]), _covered(left, right, images.shape[3]))
    return torch.lerp(images, partners, covered.to(images.dtype))


def _covered(start: Tensor, end: Tensor, length: int) -> Tensor:
    """The part of each of `length` pixels that lies between two relative positions: [length], in [0, 1]."""
    pixels = torch.arange(length, device=start.device)
    # Edges on the grid are brought onto it again: k / n * n is not always k.
    start, end = (_snapped(edge * length) for edge in (start, end))
    return (torch.minimum(end, pixels + 1) - torch.maximum(start, pixels)).clamp(0, 1)


def _snapped(edge: Tensor) -> Tensor:
    """The nearest whole number where that is nearer than rounding errors are."""
    return torch.where((edge - edge.round()).abs() < 1e-3, edge.round(), edge)


def larger_labels(targets: Tensor, mixing: Mixing) -> Tensor:
    """int64 [N]: of each mixed image the label with the larger share, its own at equal ones."""
    return torch.where(mixing.share >= 0.5, targets, targets[mixing.permutation])


def soft_labels(targets: Tensor, mixing: Mixing, classes: int) -> Tensor:
    """float [N, classes]: each label with its share."""
    own = one_hot(targets, classes)
    return torch.lerp(own[mixing.permutation], own, mixing.share)
