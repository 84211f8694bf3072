"""What stands in a state dict: tensors, and what others write in place of them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# A counter of batches, which some scripts keep as a plain number.
BATCHES = "num_batches_tracked"

# NumPy's kinds of numbers that torch knows: truth values, whole numbers, floating ones, complex ones.
NUMBERS = "biufc"


def as_tensor(name: str, value: object) -> Tensor | None:
    """A tensor, a NumPy array of numbers or a counter of batches as a tensor; None for anything else."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in NUMBERS:
        try:
            return torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
        except TypeError:  # of more digits than torch has
            return None
    if name.rpartition(".")[2] == BATCHES and isinstance(value, int | np.integer):
        return torch.tensor(int(value))
    return None


def kind_of(value: object) -> str:
    """What something is that is no tensor."""
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}"[:60]
    return f"of type {type(value).__name__}"[:60]


def unlike_numbers(given: torch.dtype, expected: torch.dtype) -> str:
    """Why numbers of one kind cannot stand for those of another; "" where they can."""
    if given == expected or given in READ:
        return ""
    if not expected.is_floating_point and not given.is_floating_point and not given.is_complex:
        return ""
    return f"holds {short(given)}, not {short(expected)}: quantised weights are not read"


# Floating numbers that are taken over as they are, or rounded.
READ = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def short(kind: torch.dtype) -> str:
    """Its name: "float32"."""
    return str(kind).removeprefix("torch.")
