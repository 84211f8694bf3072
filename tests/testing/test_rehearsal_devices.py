"""The fake accelerator refuses what a real one refuses, and what waits for it; the CPU beside it is real."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from kdharness.testing import CheckFailed, CheckSkipped
from kdharness.testing.rehearsal import FakeAccelerator, fake_accelerator, meta_device


@pytest.fixture(autouse=True)
def _served() -> None:
    try:
        with fake_accelerator():
            pass
    except CheckSkipped as reason:
        pytest.skip(str(reason))


Refused = Callable[[Tensor, Tensor], object]

# device: a tensor [3] on the device; host: one on the CPU.
REFUSED: dict[str, tuple[Refused, str]] = {
    "sum of both": (lambda device, host: device + host, "device"),
    "choice of both": (lambda device, host: torch.where(device > 0, host, device), "device"),
    "number": (lambda device, host: device.sum().item(), "numbers that are on the device"),
    "condition": (lambda device, host: bool(device.sum() > 0), "numbers that are on the device"),
    "list": (lambda device, host: device.tolist(), "numbers that are on the device"),
    "mask": (lambda device, host: device[device > 0], "numbers that are on the device"),
    "unique": (lambda device, host: device.unique(), "numbers that are on the device"),
    "copy": (lambda device, host: device.cpu(), "copied from the device to the host"),
    "copy into": (lambda device, host: host.copy_(device), "copied from the device to the host"),
    "index": (lambda device, host: host[torch.zeros(1, dtype=torch.int64).to(device.device)], "indexed by one on"),
    "draw": (lambda device, host: device.normal_(generator=torch.Generator()), "a generator on the CPU"),
    "draw on the host": (
        lambda device, host: host.normal_(generator=FakeAccelerator(str(device.device)).generator(0)),
        "a generator on the device",
    ),
    "factory": (lambda device, host: torch.rand(3, generator=torch.Generator(), device=device.device), "generator"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses(name: str) -> None:
    act, says = REFUSED[name]
    with pytest.raises((CheckFailed, RuntimeError), match=says), fake_accelerator() as device:
        act(torch.ones(3).to(device.torch), torch.ones(3))


ALLOWED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "number of the host": lambda device, host: device * float(host.sum()),
    "0-d tensor of the host": lambda device, host: device * host.sum(),
    "copy to the device": lambda device, host: device + host.to(device.device),
    "copy into": lambda device, host: device.copy_(host),
    "draw on the host": lambda device, host: torch.rand(3, generator=torch.Generator()).to(device),
    "draw by one of the device": lambda device, host: torch.rand(
        3, generator=FakeAccelerator(str(device.device)).generator(0), device=device.device
    ),
    "draw on the device": lambda device, host: device + torch.rand_like(device),
    "index of the host": lambda device, host: device[torch.tensor([0, 2])],
}


@pytest.mark.parametrize("name", ALLOWED)
def test_it_allows(name: str) -> None:
    with fake_accelerator() as device:
        found = ALLOWED[name](torch.ones(3).to(device.torch), torch.ones(3))
        assert (found.device.type, isinstance(found, FakeTensor)) == (device.torch.type, True)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW])
def test_fused_optimisers_are_seen_to_get_tensors_of_the_device(kind: type[torch.optim.Optimizer]) -> None:
    """In place of their kernels, which there are not."""
    with fake_accelerator() as device:
        parameter = nn.Parameter(torch.ones(3).to(device.torch))
        parameter.grad = torch.zeros_like(parameter)
        optimizer = kind([parameter], lr=0.1, fused=True)  # type: ignore[call-arg]
        optimizer.step()
        optimizer.param_groups[0]["lr"] = torch.tensor(0.1).to(device.torch)
        optimizer.step()
        optimizer.param_groups[0]["lr"] = torch.tensor(0.1)
        with pytest.raises(CheckFailed, match="a fused optimiser on the device is given a tensor on the CPU"):
            optimizer.step()


def test_what_is_on_the_cpu_is_real() -> None:
    with fake_accelerator():
        assert torch.arange(4).float().mean().item() == 1.5
        assert torch.ones(3).unique().tolist() == [1.0]


def test_modules_are_put_on_it_as_often_as_one_likes() -> None:
    """With what they share, and with what wants no gradient."""
    with fake_accelerator() as device:
        module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        module.add_module("tied", nn.Linear(2, 2))
        module[2].weight = module[0].weight
        module[1].requires_grad_(False)
        for _ in range(2):
            assert device.put(module) is module
        tensors = [*module.parameters(), *module.buffers()]
        assert {tensor.device.type for tensor in tensors} == {device.torch.type}
        assert module[0].weight is module[2].weight
        assert [p.requires_grad for p in module.parameters()] == [True, True, False, False, True]


def test_the_default_generators_are_kept() -> None:
    before = torch.get_rng_state()
    for rehearsal in (fake_accelerator, meta_device):
        with rehearsal() as device:
            torch.rand(3)
            torch.rand(3, device=device.torch)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_meta_device_has_no_numbers() -> None:
    with pytest.raises(RuntimeError, match="item"), meta_device() as device:
        torch.ones(3, device=device.torch).sum().item()
