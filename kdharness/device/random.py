"""A cell's own default generators, swapped in around its build and its steps."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

# NumPy's stubs leave them out.
get_bit_generator: Callable[[], np.random.BitGenerator] = np.random.get_bit_generator  # type: ignore[attr-defined]
set_bit_generator: Callable[[np.random.BitGenerator], None] = np.random.set_bit_generator  # type: ignore[attr-defined]

# NumPy's Mersenne Twister: 624 words, then the position of the next one.
WORDS = 624


class NumpyState:
    """One stream of NumPy's default generator, put in place by reference: copying its state takes 40 times as long.

    NumPy keeps the second of two normal draws outside the generator, and forgets it when generators are exchanged.
    It is therefore asked for after draws, and put back.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.generator = np.random.MT19937()
        self._memory = _words_of(self.generator)
        self.load(state)

    @classmethod
    def of_seed(cls, seed: int) -> NumpyState:
        return cls(np.random.RandomState(seed % 2**32).get_state(legacy=False))

    def load(self, state: dict[str, Any]) -> None:
        """state: as `np.random.get_state(legacy=False)` gives it."""
        self.generator.state = {"bit_generator": "MT19937", "state": state["state"]}
        self._gauss = (int(state["has_gauss"]), float(state["gauss"]))

    def get(self) -> dict[str, Any]:
        has_gauss, gauss = self._gauss
        return {**self.generator.state, "has_gauss": has_gauss, "gauss": gauss}

    def enter(self) -> None:
        set_bit_generator(self.generator)
        if self._gauss[0]:
            np.random.set_state(self.get())
        self._before = self._mark()

    def leave(self) -> None:
        # A kept second draw is used without a step of the generator.
        if self._gauss[0] or self._before is None or self._mark() != self._before:
            state: Any = np.random.get_state(legacy=False)
            self._gauss = (int(state["has_gauss"]), float(state["gauss"]))

    def _mark(self) -> tuple[int, int] | None:
        """Moves with every draw; None where it cannot be read."""
        return None if self._memory is None else (self._memory[0], self._memory[WORDS])


def _words_of(generator: np.random.MT19937) -> Any:
    """The generator's words and position in memory; None where this NumPy lays them out otherwise."""
    words = (ctypes.c_uint32 * (WORDS + 1)).from_address(generator.ctypes.state_address)
    for draws in (1, 5):
        generator.random_raw(draws)
        state: Any = generator.state["state"]
        if words[WORDS] != state["pos"] or words[0] != state["key"][0]:
            return None
    return words


class RandomState:
    """The states of torch's, NumPy's and Python's default generators for one cell.

    A model with dropout, or a method that calls torch.randn, draws from here and cannot touch a neighbour's draws.
    generators: torch's default ones, of the CPU and of the device.
    """

    def __init__(self, seed: int, generators: Sequence[torch.Generator]) -> None:
        self._generators = list(generators)
        self._torch = [torch.Generator(g.device).manual_seed(seed).get_state() for g in self._generators]
        self._numpy = NumpyState.of_seed(seed)
        self._python = random.Random(seed).getstate()

    @contextmanager
    def active(self) -> Iterator[None]:
        """The default generators are this cell's for the duration."""
        for generator, state in zip(self._generators, self._torch, strict=True):
            generator.set_state(state)
        outside = get_bit_generator()
        self._numpy.enter()
        random.setstate(self._python)
        try:
            yield
        finally:
            self._torch = [generator.get_state() for generator in self._generators]
            self._numpy.leave()
            set_bit_generator(outside)
            self._python = random.getstate()

    def state_dict(self) -> dict[str, Any]:
        numpy = self._numpy.get()
        plain = [
            torch.from_numpy(numpy["state"]["key"].astype(np.int64)),
            int(numpy["state"]["pos"]),
            numpy["has_gauss"],
            numpy["gauss"],
        ]
        return {"torch": self._torch, "numpy": plain, "python": self._python}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """state: of a cell on a device of the same kind."""
        key, position, has_gauss, gauss = state["numpy"]
        words = {"key": key.numpy().astype(np.uint32), "pos": position}
        self._torch = list(state["torch"])
        self._numpy.load({"state": words, "has_gauss": has_gauss, "gauss": gauss})
        self._python = state["python"]


@contextmanager
def default_generators_kept(generators: Sequence[torch.Generator]) -> Iterator[None]:
    """The default generators are after the block as they were before it."""
    states = [generator.get_state() for generator in generators]
    numpy: Any = np.random.get_state(legacy=False)
    python = random.getstate()
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        np.random.set_state(numpy)
        random.setstate(python)


def draw_marks(generators: Sequence[torch.Generator]) -> object:
    """What equals itself as long as nobody draws from these default generators of torch, or NumPy's or Python's."""
    torch_states = [generator.get_state().numpy().tobytes() for generator in generators]
    numpy: Any = np.random.get_state(legacy=False)
    return torch_states, numpy["state"]["key"].tobytes(), numpy["state"]["pos"], numpy["has_gauss"], random.getstate()
