"""Images on the device: uint8 in memory, cropped, flipped and normalised in a few tensor operations per batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from kdharness.api.data import Augmentation, ImageDataset


@dataclass(frozen=True)
class Draws:
    """The random part of one view of n samples: crop offsets and flips, or None where the view has none."""

    dy: Tensor | None
    dx: Tensor | None
    flip: Tensor | None

    @classmethod
    def make(cls, augmentation: Augmentation, n: int, seed: int, device: torch.device) -> Draws:
        """Drawn on the CPU, so that they are the same on every device."""
        generator = torch.Generator().manual_seed(seed)
        dy = dx = flip = None
        if augmentation.crop_padding:
            most = 2 * augmentation.crop_padding + 1
            dy, dx = (torch.randint(most, (n,), generator=generator).to(device) for _ in range(2))
        if augmentation.flip:
            flip = (torch.rand(n, generator=generator) < 0.5).to(device)
        return cls(dy, dx, flip)

    def rows(self, start: int, end: int) -> Draws:
        """The draws of the samples from `start` to `end`."""
        return Draws(*(None if t is None else t[start:end] for t in (self.dy, self.dx, self.flip)))


class DeviceImages:
    """One split on the device. images: uint8 [N, C, H, W]."""

    def __init__(self, dataset: ImageDataset, split: str, device: torch.device, padding: int = 0) -> None:
        images = torch.from_numpy(dataset.splits[split].images).to(device)
        height, width = images.shape[2:]
        padded = F.pad(images, (padding,) * 4) if padding else images
        # The middle of what is padded: one copy serves both.
        self.images = padded[:, :, padding : padding + height, padding : padding + width]
        # A view of every possible crop: indexing it gathers a batch of crops in one kernel.
        self.windows = padded.unfold(2, height, 1).unfold(3, width, 1)
        self.padding = padding
        scale = 1.0 / (255.0 * torch.tensor(dataset.std, dtype=torch.float64))
        shift = -torch.tensor(dataset.mean, dtype=torch.float64) / torch.tensor(dataset.std, dtype=torch.float64)
        self.scale = scale.float().view(1, -1, 1, 1).to(device)
        self.shift = shift.float().view(1, -1, 1, 1).to(device)

    def __len__(self) -> int:
        return len(self.images)

    def view(self, indices: Tensor, draws: Draws | None = None, channels_last: bool = False) -> Tensor:
        """Normalised float32 images [n, C, H, W] at `indices`; `draws` holds one row per index."""
        if draws is not None and draws.dy is not None:
            pixels = self.windows[indices, :, draws.dy, draws.dx]
        else:
            pixels = self.images[indices]
        if draws is not None and draws.flip is not None:
            pixels = torch.where(draws.flip.view(-1, 1, 1, 1), pixels.flip(3), pixels)
        images = torch.addcmul(self.shift, pixels.float(), self.scale)
        return images.contiguous(memory_format=torch.channels_last) if channels_last else images
