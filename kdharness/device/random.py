"""A cell's own default generators, swapped in around its build and its steps."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


class RandomState:
    """The state of torch's, NumPy's and Python's default generators for one cell.

    A model with dropout, or a method that calls torch.randn, draws from here and cannot touch a neighbour's draws.
    """

    def __init__(self, seed: int, device: torch.device) -> None:
        self.device = device
        self._torch = torch.Generator().manual_seed(seed).get_state()
        self._cuda = torch.Generator(device).manual_seed(seed).get_state() if device.type == "cuda" else None
        self._numpy = np.random.RandomState(seed % 2**32).get_state(legacy=False)
        self._python = random.Random(seed).getstate()

    @contextmanager
    def active(self) -> Iterator[None]:
        """The default generators are this cell's for the duration."""
        torch.set_rng_state(self._torch)
        if self._cuda is not None:
            torch.cuda.set_rng_state(self._cuda, self.device)
        np.random.set_state(self._numpy)
        random.setstate(self._python)
        try:
            yield
        finally:
            self._torch = torch.get_rng_state()
            if self._cuda is not None:
                self._cuda = torch.cuda.get_rng_state(self.device)
            self._numpy = np.random.get_state(legacy=False)
            self._python = random.getstate()

    def state_dict(self) -> dict[str, Any]:
        numpy: Any = self._numpy
        state = numpy["state"]
        plain = [
            torch.from_numpy(state["key"].astype(np.int64)),
            int(state["pos"]),
            int(numpy["has_gauss"]),
            float(numpy["gauss"]),
        ]
        return {"torch": self._torch, "cuda": self._cuda, "numpy": plain, "python": self._python}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        key, pos, has_gauss, gauss = state["numpy"]
        self._torch = state["torch"]
        self._cuda = state["cuda"]
        self._numpy = {
            "bit_generator": "MT19937",
            "state": {"key": key.numpy().astype(np.uint32), "pos": pos},
            "has_gauss": has_gauss,
            "gauss": gauss,
        }
        self._python = state["python"]


@contextmanager
def default_generators_kept(device: torch.device) -> Iterator[None]:
    """The caller's default generators are as they were when the block ends."""
    outside = RandomState(0, device)
    outside._torch = torch.get_rng_state()
    outside._cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    outside._numpy = np.random.get_state(legacy=False)
    outside._python = random.getstate()
    try:
        yield
    finally:
        with outside.active():
            pass
