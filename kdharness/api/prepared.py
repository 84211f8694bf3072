"""Pixels made ready for networks, once per batch for all networks that prepare alike."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary

from kdharness.api.preprocessing import Preprocessing, Shape


@dataclass(frozen=True)
class _Version:
    """A tensor as it was: whoever changes it in place changes its number."""

    tensor: Tensor
    number: int

    @classmethod
    def of(cls, tensor: Tensor) -> _Version:
        return cls(tensor, tensor._version)

    @property
    def stands(self) -> bool:
        return self.tensor._version == self.number


class _Memo:
    """What was made of one batch. Nothing is returned once the batch, or what was made of it, was changed in place."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.made: dict[tuple[Preprocessing, bool], _Version] = {}


# By the batch's tensor itself; an entry goes with it.
_memos: MutableMapping[Tensor, _Memo] = WeakIdKeyDictionary()


def share(images: Tensor) -> Tensor:
    """The images themselves, whose preprocessing is remembered from now on, as long as they live."""
    _memos[images] = _Memo(images._version)
    return images


class Prepare(nn.Module):
    """Applies a Preprocessing, in float32, to pixels [N, C, H, W] in [0, 1].

    image_shape: (C, H, W) of the images. device: of the network.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, preprocessing: Preprocessing, image_shape: Shape, device: torch.device) -> None:
        super().__init__()
        self.preprocessing = preprocessing
        self.input_shape = preprocessing.input_shape(image_shape)
        mean, std = (torch.tensor(v, dtype=torch.float64) for v in (preprocessing.mean, preprocessing.std))
        channels, height, width = self.input_shape
        of_pixels = len(mean) == channels * height * width
        mean, std = mean.view(1, -1, *((height, width) if of_pixels else (1, 1))), std.view(1, -1, 1, 1)
        for name, values in (("shift", -mean / std), ("scale", 1 / std)):
            self.register_buffer(name, values.float().to(device), persistent=False)

    def forward(self, images: Tensor, channels_last: bool = False) -> Tensor:
        """The network's own input [N, C, h, w]. It may be shared: it is not to be changed in place."""
        memo = _memos.get(images)
        # What needs a gradient has a graph of its own, and what is made in inference mode can have none.
        if memo is None or images.requires_grad or torch.is_inference_mode_enabled():
            return self._made(images, channels_last)
        if memo.version != images._version:
            memo = _memos[images] = _Memo(images._version)
        key = (self.preprocessing, channels_last)
        found = memo.made.get(key)
        if found is None or not found.stands:
            found = memo.made[key] = _Version.of(self._made(images, channels_last))
        return found.tensor

    def _made(self, images: Tensor, channels_last: bool) -> Tensor:
        size, crop = self.preprocessing.size, self.preprocessing.crop
        if size is not None and size != tuple(images.shape[2:]):
            images = F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        if crop is not None:
            top, left = ((have - want) // 2 for have, want in zip(images.shape[2:], crop, strict=True))
            images = images[:, :, top : top + crop[0], left : left + crop[1]]
        if self.preprocessing.scales:
            images = torch.addcmul(self.shift, images, self.scale)
        return images.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
