"""A device that stands in for an accelerator where the door is asked for one."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch

from kdharness.device.clock import Clock
from kdharness.device.device import Device

NO_MEMORY = "the fake device has no memory left"
LOST = "the fake device does not answer"


class FakeDevice(Device):
    """Its tensors are on the CPU, and it notes what it is asked for.

    asked: "use", "precision bf16", "synchronize", ... in order. An error that says NO_MEMORY is out of memory, one that
    says LOST is fatal.
    now: the seconds that its clock shows; whoever works on it adds to them.
    """

    kind = "fake"

    def __init__(self, name: str = "fake:0") -> None:
        super().__init__("cpu")
        self.name = name
        self.asked: list[str] = []
        self.now = 0

    def use(self) -> None:
        self.asked.append("use")

    def set_precision(self, precision: str) -> None:
        self.asked.append(f"precision {precision}")

    def fingerprint(self, precision: str) -> str:
        return f"a fake device, torch{torch.__version__} {precision}"

    def clock(self) -> Clock:
        return FakeClock(self)

    def synchronize(self) -> None:
        self.asked.append("synchronize")

    def release_memory(self) -> None:
        self.asked.append("release_memory")

    def evaluation_batch(self, pixels: int) -> int:
        self.asked.append("evaluation_batch")
        return 50

    def _says_out_of_memory(self, error: BaseException) -> bool:
        return NO_MEMORY in str(error)

    def _says_lost(self, error: BaseException) -> bool:
        return LOST in str(error)


class FakeClock(Clock):
    """Like events: what lies between two moments is only known when the device has settled."""

    def __init__(self, device: FakeDevice) -> None:
        super().__init__()
        self.device = device
        self._recorded: list[tuple[Hashable, int, int]] = []

    def _mark(self) -> Any:
        return self.device.now

    def _book(self, account: Hashable, start: Any, end: Any) -> None:
        self._recorded.append((account, start, end))

    def settle(self) -> None:
        self.device.synchronize()
        for account, start, end in self._recorded:
            self.seconds[account] += end - start
        self._recorded.clear()
