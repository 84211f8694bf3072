"""The door: a device by its name."""

from __future__ import annotations

from kdharness.device.cuda import CudaDevice
from kdharness.device.device import Device

KINDS: dict[str, type[Device]] = {kind.kind: kind for kind in (Device, CudaDevice)}


def open_device(name: str) -> Device:
    """The device of that name ("cpu", "cuda:0"). It is not in use yet."""
    return KINDS[name.partition(":")[0]](name)
