"""Logits as predictions.npz holds them. Every number is taken from these, so that a recount gives the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def as_stored(logits: Tensor) -> Tensor:
    """float32 logits after the way through the file and back: rounded to half precision.

    They stay as they are where one of them is too large for it.
    """
    half = logits.half().float()
    return half if bool(torch.isfinite(half).all()) else logits


def prediction_arrays(logits: Mapping[str, Tensor], targets: Tensor) -> dict[str, NDArray[Any]]:
    """What predictions.npz holds: test logits, as stored, and the targets.

    The main predictor's are called "logits", others "logits_<name>". float16, or float32 where they are wider.
    """
    names = ["logits", *(f"logits_{name}" for name in list(logits)[1:])]
    arrays = {n: _array(values.cpu()) for n, values in zip(names, logits.values(), strict=True)}
    return {**arrays, "targets": targets.cpu().numpy()}


def _array(logits: Tensor) -> NDArray[Any]:
    half = logits.half()
    array: NDArray[Any] = (half if torch.equal(half.float(), logits) else logits).numpy()
    return array
