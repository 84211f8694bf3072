"""A device, and all that depends on which one it is. This one is the CPU."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from kdharness.device.clock import Clock
from kdharness.device.memory import MemoryMeter, says_out_of_memory
from kdharness.device.processor import multiplies_bf16
from kdharness.device.random import RandomState
from kdharness.device.torch_settings import settings_as_torch_begins
from kdharness.errors import Contained
from kdharness.failures import links

Module = TypeVar("Module", bound=nn.Module)

# On a CPU larger batches fall out of the cache.
EVALUATION_BATCH = 128


class Device:
    """A device as a worker uses it. This class is the CPU; another kind of device overrides what differs.

    name: "cpu", "cuda:0"; torch: the same for torch; fused: whether it has fused optimisers.
    records: whether steps are recorded on it and replayed, so that optimisers step with a tensor of the learning rate.
        It is so for rehearsals alone: no device has proved it. Such a device has fused optimisers, since torch's SGD
        looks at the number otherwise.
    """

    kind = "cpu"
    fused = False
    records = False

    def __init__(self, name: str) -> None:
        self.name = name
        self.torch = torch.device(name)

    def __str__(self) -> str:
        return self.name

    # -- how numbers are made -----------------------------------------------------------------------------------------

    def use(self) -> None:
        """Makes this the process' device. Called once, when plugins are loaded, before anything is made on it."""
        settings_as_torch_begins()
        # Sums are added in one order on every machine, and workers do not fight for cores.
        torch.set_num_threads(1)

    def set_precision(self, precision: str) -> None:
        """The process' switches for a recipe's precision. Autocast is none of them: networks own it."""

    def lacks(self, precision: str) -> str:
        """Why a recipe's precision cannot be had here; "" when it can."""
        return "the CPU has no TF32" if precision == "tf32" else ""

    def makes_up(self, precision: str) -> str:
        """Why a precision that can be had costs time rather than sparing it; "" where it does not."""
        slow = precision == "bf16" and not multiplies_bf16()
        return "this processor has no instructions for bf16" if slow else ""

    def fingerprint(self, precision: str) -> str:
        """Within one fingerprint the same cell gives the same bits."""
        return f"{self._where()} torch{torch.__version__} {precision}"

    def _where(self) -> str:
        threads = torch.get_num_threads()
        plural = "s" * (threads > 1)
        return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()} {threads} thread{plural}"

    def put(self, module: Module) -> Module:
        """The module itself, all it holds on the device."""
        return module.to(self.torch)

    # -- random numbers -----------------------------------------------------------------------------------------------

    def default_generators(self) -> list[torch.Generator]:
        """The generators that torch draws from where a caller names none."""
        return [torch.default_generator]

    def generator(self, seed: int) -> torch.Generator:
        """A generator that draws on the device."""
        return torch.Generator().manual_seed(seed)

    def random_state(self, seed: int) -> RandomState:
        """States of all default generators, from one seed."""
        return RandomState(seed, self.default_generators())

    # -- time ---------------------------------------------------------------------------------------------------------

    def clock(self) -> Clock:
        return Clock()

    def synchronize(self) -> None:
        """Waits until the device has done all that it was given."""

    # -- memory, and what goes wrong ----------------------------------------------------------------------------------

    def memory_meter(self) -> MemoryMeter:
        """Measures the most bytes that tensors made in a block held at one time."""
        return MemoryMeter()

    def release_memory(self) -> None:
        """Gives back what is kept for later and not in use."""

    def evaluation_batch(self, pixels: int) -> int:
        """How many images of so many pixels are evaluated at a time."""
        return EVALUATION_BATCH

    def is_out_of_memory(self, error: BaseException) -> bool:
        """Whether memory ran out, on the device or on the host, also where a plugin raised its own error for that."""
        return any(self._says_out_of_memory(link) for link in links(error))

    def is_fatal(self, error: BaseException) -> bool:
        """Whether nothing that this process does on the device can be trusted, also where a plugin hid the error."""
        return any(self._says_lost(link) for link in links(error))

    def _says_out_of_memory(self, error: BaseException) -> bool:
        return says_out_of_memory(error)

    def _says_lost(self, error: BaseException) -> bool:
        return False

    def contained(self, fail: Callable[[Exception], None]) -> Contained:
        """A block of a plugin's code. What it raises goes to `fail`, but for what the device does not survive."""
        return Contained(fail, passes=self.is_fatal)
