"""The image as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from kdharness.api import FiniteView, ViewInfo, ViewSpec, hookimpl


def draws(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    return {}


def apply(images: Tensor, draws: Mapping[str, Tensor], info: ViewInfo) -> Tensor:
    return images


@hookimpl
def kdharness_views() -> Iterable[ViewSpec]:
    finite = FiniteView(count=lambda info: 1)
    yield ViewSpec("none", draws, apply, summary="the image as it is", revision=1, finite=finite)
