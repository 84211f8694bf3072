"""Generators for noise that nobody can repeat."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdharness.device import ACCELERATOR
from kdharness.device.device import Device
from kdharness.device.door import open_device
from kdharness.device.secret import renew, secret_generator

CPU = open_device("cpu")


@pytest.fixture
def accelerator() -> Device:
    if not torch.accelerator.is_available():
        pytest.skip("not run: a device's own generator needs a device")
    return open_device(f"{ACCELERATOR}:0")


@pytest.mark.parametrize("on_device", [False, True])
def test_no_two_have_the_same_draws(on_device: bool) -> None:
    draws = [torch.randn(50, generator=secret_generator(CPU, on_device)) for _ in range(3)]
    assert not any(torch.equal(draws[i], draws[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_its_draws_are_not_those_of_its_seed() -> None:
    """A seed of torch's generator has 32 bits that count: all could be tried."""
    generator = secret_generator(CPU, False)
    seeded = torch.Generator().manual_seed(generator.initial_seed())
    assert not torch.equal(torch.randn(50, generator=generator), torch.randn(50, generator=seeded))


def test_a_new_state_has_nothing_of_the_one_before() -> None:
    generator = torch.Generator().manual_seed(3)
    states = []
    for _ in range(3):
        torch.randn(5, generator=generator)  # one of a pair, whose other half must not be left over
        renew(generator)
        states.append(generator.get_state().numpy()[24 : 24 + 8 * 624].view(np.uint64).copy())
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert np.count_nonzero(states[one] == states[other]) < 5
    assert all(state.max() < 2**32 for state in states)
    assert len(set(states[0].tolist())) > 600
    renew(generator)
    assert torch.randn(1, generator=generator) != torch.randn(1, generator=generator)


def test_its_draws_are_standard_normal() -> None:
    draws = torch.cat([torch.randn(2000, generator=secret_generator(CPU, False)) for _ in range(50)])
    assert abs(float(draws.mean())) < 0.02
    assert float(draws.std()) == pytest.approx(1, abs=0.02)


def test_a_device_draws_anew_too(accelerator: Device) -> None:
    generator = secret_generator(accelerator, True)
    first = torch.randn(1000, generator=generator, device=accelerator.torch)
    renew(generator)
    second = torch.randn(1000, generator=generator, device=accelerator.torch)
    assert not torch.equal(first, second)
    assert float(second.std()) == pytest.approx(1, abs=0.15)
