"""Images on the device: uint8 in memory, and as pixels in [0, 1] batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor

from kdharness.api.data import ImageDataset
from kdharness.api.prepared import share


def as_pixels(images: Tensor) -> Tensor:
    """uint8 [n, C, H, W] as float32 in [0, 1]. Networks prepare them once for all that prepare alike."""
    return share(images.float().div_(255))


class DeviceImages:
    """One split on the device. images: uint8 [N, C, H, W]."""

    def __init__(self, dataset: ImageDataset, split: str, device: torch.device) -> None:
        self.images = torch.from_numpy(dataset.splits[split].images).to(device)

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, indices: Tensor) -> Tensor:
        """float32 [n, C, H, W] in [0, 1], as evaluation sees them."""
        return as_pixels(self.images[indices])
