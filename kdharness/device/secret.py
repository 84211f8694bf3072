"""Generators whose draws nobody can repeat: their state comes from the system's source of secrets, and is kept nowhere.

A seed does not do: of the 64 bits that torch takes, its generator of the CPU uses 32, which can be tried one by one.
"""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from kdharness.device.device import Device

# Mersenne Twister, as torch keeps it: the first seed, how many draws are left, whether it was seeded, the next word;
# then the words, each in eight bytes; then halves of normal draws, which a new state has none of.
HEAD, WORDS = 24, 624
LENGTH = HEAD + 8 * WORDS + 40

# Philox: the seed, and an offset in steps of four.
PHILOX = 16


def secret_generator(device: Device, on_device: bool) -> torch.Generator:
    """on_device: whether it draws on the device; otherwise on the CPU."""
    seed = secrets.randbits(63)
    generator = device.generator(seed) if on_device else torch.Generator().manual_seed(seed)
    renew(generator)
    return generator


def renew(generator: torch.Generator) -> None:
    """Gives it a new state: 19,968 bits of the system's on the CPU, 126 on a device."""
    state = generator.get_state().numpy().copy()
    if len(state) == PHILOX:
        words = np.frombuffer(os.urandom(PHILOX), dtype=np.uint64).copy()
        words[1] &= np.uint64(2**64 - 4)
        state = words.view(np.uint8)
    elif len(state) == LENGTH:
        fresh = torch.Generator().manual_seed(0).get_state().numpy().copy()
        fresh[:8] = state[:8]  # which generator it is, for those who ask
        fresh[HEAD : HEAD + 8 * WORDS].view(np.uint64)[:] = np.frombuffer(os.urandom(4 * WORDS), dtype=np.uint32)
        state = fresh
    else:
        raise RuntimeError(f"torch {torch.__version__} has generators of a kind that is not known: no noise is secret")
    generator.set_state(torch.from_numpy(state))
