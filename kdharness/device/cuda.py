"""NVIDIA GPUs."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch

from kdharness.device.clock import Clock
from kdharness.device.device import Device
from kdharness.device.torch_settings import settings_as_torch_begins
from kdharness.failures import message_of

# A GPU is idle on small batches. So many pixels are evaluated at a time: 2,000 images of 32x32.
EVALUATION_PIXELS = 2000 * 32 * 32

# The first generation with TF32, and with bf16.
TF32_CAPABILITY = (8, 0)

# What the libraries' own allocations say when there is nothing left.
ALLOCATION_FAILURES = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED")

# After these a context is lost. They surface at whatever call comes next, whoever caused them.
FATAL_SIGNS = (
    "CUDA error:",
    "device-side assert",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "unspecified launch failure",
    "CUBLAS_STATUS_EXECUTION_FAILED",
    "CUBLAS_STATUS_INTERNAL_ERROR",
    "CUDNN_STATUS_EXECUTION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR",
    "uncorrectable ECC error",
)


class CudaDevice(Device):
    """One NVIDIA GPU."""

    kind = "cuda"
    fused = True

    def use(self) -> None:
        settings_as_torch_begins()
        torch.cuda.set_device(self.torch)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True
        # Built-in methods have no operation without a deterministic form; a plugin's is told, and runs.
        torch.use_deterministic_algorithms(True, warn_only=True)
        self.set_precision("fp32")

    def set_precision(self, precision: str) -> None:
        """cuDNN multiplies float32 in TF32 where nobody forbids it."""
        allowed = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = allowed
        torch.backends.cuda.matmul.allow_tf32 = allowed

    def lacks(self, precision: str) -> str:
        if precision == "tf32" and torch.cuda.get_device_capability(self.torch) < TF32_CAPABILITY:
            return f"{torch.cuda.get_device_name(self.torch)} has no TF32"
        return ""

    def makes_up(self, precision: str) -> str:
        slow = precision == "bf16" and torch.cuda.get_device_capability(self.torch) < TF32_CAPABILITY
        return f"{torch.cuda.get_device_name(self.torch)} has no units for bf16" if slow else ""

    def _where(self) -> str:
        cudnn = torch.backends.cudnn.version()
        return f"{torch.cuda.get_device_name(self.torch)} cuda{torch.version.cuda} cudnn{cudnn}"

    def default_generators(self) -> list[torch.Generator]:
        torch.cuda.init()
        return [torch.default_generator, torch.cuda.default_generators[self.torch.index or 0]]

    def generator(self, seed: int) -> torch.Generator:
        return torch.Generator(self.torch).manual_seed(seed)

    def clock(self) -> Clock:
        return EventClock(self)

    def synchronize(self) -> None:
        torch.cuda.synchronize(self.torch)

    def release_memory(self) -> None:
        torch.cuda.empty_cache()

    def evaluation_batch(self, pixels: int) -> int:
        return max(16, EVALUATION_PIXELS // max(pixels, 1))

    def _says_out_of_memory(self, error: BaseException) -> bool:
        return super()._says_out_of_memory(error) or (
            isinstance(error, RuntimeError) and any(sign in message_of(error) for sign in ALLOCATION_FAILURES)
        )

    def _says_lost(self, error: BaseException) -> bool:
        if self._says_out_of_memory(error) or not isinstance(error, RuntimeError):
            return False
        lost: type[BaseException] | None = getattr(torch, "AcceleratorError", None)
        return (lost is not None and isinstance(error, lost)) or any(sign in message_of(error) for sign in FATAL_SIGNS)


class EventClock(Clock):
    """Records events on the device and reads them when asked, so that measuring does not wait for it."""

    def __init__(self, device: CudaDevice) -> None:
        super().__init__()
        self.device = device
        self._recorded: list[tuple[Hashable, Any, Any]] = []
        self._free: list[Any] = []

    def _mark(self) -> Any:
        event = self._free.pop() if self._free else torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self.device.torch))
        return event

    def _book(self, account: Hashable, start: Any, end: Any) -> None:
        self._recorded.append((account, start, end))

    def settle(self) -> None:
        if not self._recorded:
            return
        self.device.synchronize()
        held = {id(mark) for _, mark in self._open}
        used: dict[int, Any] = {}
        for account, start, end in self._recorded:
            self.seconds[account] += start.elapsed_time(end) / 1000
            used |= {id(start): start, id(end): end}
        self._free += [event for number, event in used.items() if number not in held]
        self._recorded.clear()
