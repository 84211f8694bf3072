"""Tensors that stay as they are while cells train: a dataset's images, labels and subsets."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from kdharness.data.watched import form_of
from kdharness.device.checksum import Balance, checksum

CHANGED = "it changed the dataset in place"


class Kept:
    """Their forms and the sums of their bits, when this was made. tensors: by what they are called."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tensors = dict(tensors)
        self._forms = {name: form_of(tensor) for name, tensor in tensors.items()}
        self._sums = {name: checksum([_wide(tensor)]) for name, tensor in tensors.items()}

    def settle(self, balance: Balance) -> None:
        """Puts what they were and what they are into the balance."""
        for name, tensor in self._tensors.items():
            if form_of(tensor) != self._forms[name]:
                balance.fail(name)  # to read a storage that was cut short would end the process
            else:
                balance.compare(self._sums[name], checksum([_wide(tensor)]), name)


def _wide(tensor: Tensor) -> Tensor:
    """Bytes four at a time, where they are so many: they are summed several times as fast."""
    whole = tensor.dtype is torch.uint8 and tensor.is_contiguous() and tensor.numel() % 4 == 0
    aligned = whole and tensor.storage_offset() % 4 == 0
    return tensor.view(-1).view(torch.int32) if aligned else tensor
