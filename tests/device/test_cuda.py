"""What is known of NVIDIA GPUs without one: their errors, their batches, and how events become seconds."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kdharness.device.cuda import CudaDevice

DEVICE = CudaDevice("cuda:1")

FATAL = (
    "CUDA error: device-side assert triggered",
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: unspecified launch failure",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm`",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
)
NO_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.00 GiB.",
    "CUDA error: out of memory",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
)


@pytest.mark.parametrize("message", FATAL)
def test_errors_after_which_the_context_is_lost(message: str) -> None:
    error = RuntimeError(message)
    assert DEVICE.is_fatal(error)
    assert not DEVICE.is_out_of_memory(error)


@pytest.mark.parametrize("message", NO_MEMORY)
def test_errors_of_allocation(message: str) -> None:
    error = RuntimeError(message)
    assert DEVICE.is_out_of_memory(error)
    assert not DEVICE.is_fatal(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (2) must match the size of tensor b (3)"),
        RuntimeError("Expected all tensors to be on the same device, but found cuda:1 and cpu"),
        ValueError("CUDA error: said a plugin"),
    ],
)
def test_a_plugins_own_errors_are_neither(error: Exception) -> None:
    assert not DEVICE.is_out_of_memory(error)
    assert not DEVICE.is_fatal(error)


def test_what_torch_itself_calls_an_accelerators_error() -> None:
    assert DEVICE.is_out_of_memory(torch.OutOfMemoryError("tried to allocate"))
    assert not DEVICE.is_fatal(torch.OutOfMemoryError("tried to allocate"))
    assert DEVICE.is_fatal(torch.AcceleratorError("of a kind not met before"))


def test_a_lost_context_met_while_memory_ran_out_is_lost() -> None:
    error = RuntimeError(FATAL[0])
    error.__context__ = RuntimeError(NO_MEMORY[0])
    hidden = ValueError("what a plugin says")
    hidden.__context__ = error
    assert DEVICE.is_fatal(error)
    assert DEVICE.is_fatal(hidden)


@pytest.mark.parametrize(("side", "images"), [(8, 32000), (32, 2000), (64, 500), (224, 40), (2000, 16)])
def test_large_images_are_evaluated_in_small_batches(side: int, images: int) -> None:
    assert DEVICE.evaluation_batch(side * side) == images


@pytest.mark.parametrize(("capability", "lacks"), [((7, 5), True), ((8, 0), False), ((9, 0), False)])
def test_the_first_generation_with_tf32(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], lacks: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    assert DEVICE.lacks("tf32") == ("a GPU has no TF32" if lacks else "")
    assert DEVICE.lacks("fp32") == DEVICE.lacks("bf16") == ""


def switches() -> tuple[bool, bool]:
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


def test_only_tf32_multiplies_in_tf32() -> None:
    convolutions, products = switches()
    try:
        for precision in ("tf32", "fp32", "tf32", "bf16"):
            DEVICE.set_precision(precision)
            assert switches() == (precision == "tf32", precision == "tf32")
    finally:
        torch.backends.cudnn.allow_tf32 = convolutions
        torch.backends.cuda.matmul.allow_tf32 = products


# -- events ------------------------------------------------------------------------------------------------------------


class Events:
    """Stands in for the device: each record is a millisecond after the one before, on the stream of a device."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made = 0
        self.now = 0
        self.synchronized: list[torch.device] = []
        events = self

        class Event:
            def __init__(self, enable_timing: bool) -> None:
                assert enable_timing
                events.made += 1
                self.at = -1

            def record(self, stream: Any) -> None:
                assert stream == ("stream", torch.device("cuda:1"))
                events.now += 1
                self.at = events.now

            def elapsed_time(self, end: Event) -> float:
                assert events.synchronized, "it would raise: the device has not come to it yet"
                return float(end.at - self.at)

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: ("stream", device))
        monkeypatch.setattr(torch.cuda, "synchronize", self.synchronized.append)


def test_events_become_seconds_and_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    events = Events(monkeypatch)
    clock = DEVICE.clock()
    for number in (1, 2, 3):
        with clock.charge("cell"):
            with clock.charge("shared"):
                pass
            with clock.charge("shared"):
                pass
        clock.settle()
        assert clock.take("cell") == pytest.approx(0.003)
        assert clock.take("shared") == pytest.approx(0.002)
        assert events.synchronized == [torch.device("cuda:1")] * number
    assert events.made == 6


def test_an_event_of_an_open_stretch_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    Events(monkeypatch)
    clock = DEVICE.clock()
    with clock.charge("cell"):
        with clock.charge("shared"):
            pass
        clock.settle()
        with clock.charge("shared"):
            pass
    clock.settle()
    assert clock.take("cell") == pytest.approx(0.003)
    assert clock.take("shared") == pytest.approx(0.002)
