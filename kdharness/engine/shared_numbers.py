"""Numbers that the cells of a batch are told, as 0-d tensors on the device: one for each value."""

from __future__ import annotations

import torch
from torch import Tensor

from kdharness.data.watched import Watched
from kdharness.device.checksum import Balance

NAME = "a number of batch.step"


class SharedNumbers:
    """Fills tensors on the device, for a copy from the host would wait for it. watched: notices changes in place."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.watched = Watched()
        self._made: dict[tuple[torch.dtype, float], Tensor] = {}

    def real(self, value: float) -> Tensor:
        """float32."""
        return self._number(value, torch.float32)

    def whole(self, value: int) -> Tensor:
        """int64."""
        return self._number(value, torch.int64)

    def _number(self, value: float, dtype: torch.dtype) -> Tensor:
        key = (dtype, value)
        if key not in self._made:
            self._made[key] = torch.full((), value, dtype=dtype, device=self.device)
            self.watched.watch({NAME: self._made[key]})
        return self._made[key]

    def settle(self, balance: Balance, doubted: bool = False) -> None:
        """What was not changed in the open is to have its value. doubted: as in `Summed.settle`."""
        if doubted and self.watched.changed:
            balance.fail(NAME)
        elif not self.watched.changed:
            for (_, value), number in self._made.items():
                balance.expect(number, value, NAME)
