"""Rehearsals: a step on a device that is not there.

Under `fake_accelerator` a tensor on the device has a shape and no numbers: whoever mixes devices, or looks at a number
of the device, fails at that line. Tensors on the CPU are real, as beside a real device. On the meta device the backward
pass and the optimiser run too.

What only a device can show is not rehearsed: kernels and their numbers, generators of the device, autocast, events,
streams and graphs, and memory. Of fused optimisers it is seen what they are given.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    unset_fake_temporarily,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from kdharness.device import ACCELERATOR, checksum
from kdharness.device.device import Device, Module
from kdharness.device.door import open_device
from kdharness.device.random import default_generators_kept
from kdharness.testing.case import CheckFailed, CheckSkipped
from kdharness.testing.operations import INDEXING, generators_of, operator_name, tensors_of

CPU = open_device("cpu")
# Torch's optimisers in one kernel each, which change what they are given.
FUSED_STEPS = frozenset({"_fused_sgd_", "_fused_adam_", "_fused_adamw_", "_fused_adagrad_"})


class _Fake(FakeTensorMode):
    """A copy of a fake tensor is of the same mode."""

    def __deepcopy__(self, memo: dict[int, object]) -> _Fake:
        return self


class _Host(TorchDispatchMode):
    """Stands before the fake mode: what is on the CPU stays real, and may be looked at."""

    def __init__(self, fake: FakeTensorMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fake = fake

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        target = kwargs.get("device")
        faked = any(isinstance(tensor, FakeTensor) for tensor in tensors_of(args, kwargs))
        if not faked and (target is None or torch.device(target).type == "cpu"):
            if any(map(is_on_device, generators_of(args, kwargs))):
                raise CheckFailed("a generator on the device is to draw on the CPU")
            with unset_fake_temporarily():
                return func(*args, **kwargs)
        name = operator_name(func)
        if name in FUSED_STEPS:  # nothing comes back, and there is no kernel without a driver
            if any(map(_on_cpu, tensors_of(args, kwargs))):
                raise CheckFailed("a fused optimiser on the device is given a tensor on the CPU")
            return None
        result = func(*self._faked(args), **self._faked(kwargs))
        fault = _fault(name, args, kwargs, result)
        if fault:
            raise CheckFailed(fault)
        return result

    def _faked(self, values: Any) -> Any:
        """The same without numbers: what meets a tensor of the device, or goes there."""
        return tree_map_only(torch.Tensor, self._without_numbers, values)

    def _without_numbers(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor if isinstance(tensor, FakeTensor) else self.fake.from_tensor(tensor)


def _fault(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> str:
    """What a device waits for, or refuses, and the fake mode does not: '' for nothing."""
    if name in ("copy_", "_to_copy"):
        target, source = (args[0], args[1]) if name == "copy_" else (result, args[0])
        if _on_cpu(target) and not _on_cpu(source):
            return "a tensor is copied from the device to the host, which waits for the device"
    if name in INDEXING and _on_cpu(args[0]) and not all(map(_on_cpu, tensors_of(args))):
        return "a tensor on the CPU is indexed by one on the device"
    if not all(map(is_on_device, generators_of(args, kwargs))):
        return "a generator on the CPU is to draw on the device"
    return ""


def _on_cpu(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu"


# The seeds of generators that stand for some on the device. An operation is given a generator by another object.
_seeds_on_device: set[int] = set()


def generator_on_device(seed: int) -> torch.Generator:
    """Stands for one on the device: it may draw there, and nowhere else."""
    # Another one than that of a generator on the host, which a method may make by the same name.
    generator = torch.Generator().manual_seed(seed ^ 1)
    _seeds_on_device.add(generator.initial_seed())
    return generator


def is_on_device(generator: torch.Generator) -> bool:
    """Whether it is, or stands for, one on the device."""
    return generator.device.type != "cpu" or generator.initial_seed() in _seeds_on_device


class FakeAccelerator(Device):
    """An accelerator's tensors, without the accelerator: it has the CPU's clock, generators and memory.

    records: whether steps are recorded on it.
    """

    kind = ACCELERATOR

    def __init__(self, name: str, records: bool = False) -> None:
        super().__init__(name)
        self.fused = self.records = records

    def generator(self, seed: int) -> torch.Generator:
        return generator_on_device(seed)

    def put(self, module: Module) -> Module:
        """As `Module.to`, which refuses fake parameters, does."""
        moved: dict[int, nn.Parameter] = {}
        for part in module.modules():
            for name, parameter in part._parameters.items():
                if parameter is not None and not isinstance(parameter, FakeTensor):
                    new = nn.Parameter(parameter.detach().to(self.torch), parameter.requires_grad)
                    part._parameters[name] = moved.setdefault(id(parameter), new)
            for name, buffer in part._buffers.items():
                if buffer is not None:
                    part._buffers[name] = buffer.to(self.torch)
        return module


class RecordingCpu(Device):
    """The CPU with torch's fused optimisers, as if it were a device.

    records: whether steps are recorded on it.
    """

    fused = True

    def __init__(self, records: bool = True) -> None:
        super().__init__("cpu")
        self.records = records


@contextmanager
def on_the_cpu() -> Iterator[Device]:
    """Gives the CPU; the default generators are kept."""
    with default_generators_kept(CPU.default_generators()):
        yield CPU


@contextmanager
def fake_accelerator(records: bool = False) -> Iterator[Device]:
    """Gives a device on which tensors are fake. CheckFailed for what waits for it.

    records: whether steps are recorded on it, so that optimisers step with a tensor of the learning rate.
    CheckSkipped where this torch asks for a driver though tensors are fake.
    """
    if not _serves():
        raise CheckSkipped(f"torch {torch.__version__} cannot slice fake tensors of a device that has no driver here")
    try:
        with warnings.catch_warnings(), on_the_cpu(), checksum.weights_apart(), _Fake() as fake, _Host(fake):
            # A copy of a fake tensor asks for its address, in torch's own code.
            warnings.filterwarnings("ignore", "Accessing the data pointer of FakeTensor")
            yield FakeAccelerator(f"{ACCELERATOR}:0", records)
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise CheckFailed(f"the result of {error} depends on numbers that are on the device") from error


@cache
def _serves() -> bool:
    """Whether this torch slices fake tensors where there is no driver: 2.9.0 does not."""
    try:
        with _Fake():
            torch.empty(2, device=f"{ACCELERATOR}:0")[:1]
    except RuntimeError:
        return False
    return True


@contextmanager
def meta_device() -> Iterator[Device]:
    """Gives the device without numbers; torch's own errors say what asks for one."""
    with on_the_cpu():
        yield Device("meta")
