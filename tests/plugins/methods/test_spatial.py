"""Maps brought to another height and width: the numbers of adaptive pooling, by operations that repeat bit for bit."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from kdharness_plugins.methods._spatial import by_windows, pool_to
from torch import Tensor
from torch.profiler import profile

SIZES = [((8, 8), (4, 4)), ((8, 4), (2, 4)), ((2, 2), (4, 4)), ((2, 4), (4, 4)), ((1, 1), (3, 3))]
UNEVEN = [((7, 7), (4, 4)), ((5, 6), (4, 4)), ((3, 3), (4, 4)), ((8, 2), (4, 4))]


def maps(size: tuple[int, int]) -> Tensor:
    return torch.randn(3, 5, *size, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()


def gradient(pooled: Tensor, features: Tensor) -> Tensor:
    weights = torch.randn(pooled.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.autograd.grad((pooled * weights).sum(), features)[0]


@pytest.mark.parametrize(("size", "wanted"), [*SIZES, *UNEVEN])
@pytest.mark.parametrize("pool", [pool_to, by_windows])
def test_it_is_adaptive_average_pooling(pool: object, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert callable(pool)
    features = maps(size)
    pooled, expected = pool(features, wanted), F.adaptive_avg_pool2d(features, wanted)
    torch.testing.assert_close(pooled, expected)
    torch.testing.assert_close(gradient(pooled, features), gradient(expected, features))


def operations(size: tuple[int, int], wanted: tuple[int, int]) -> set[str]:
    features = maps(size)
    with profile() as seen:
        pool_to(features, wanted).sum().backward()
    return {event.key for event in seen.key_averages()}


@pytest.mark.parametrize(("size", "wanted"), SIZES)
def test_even_sizes_need_no_adaptive_pooling(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    """Its backward pass on CUDA adds in any order: SDD's 4 x 4 cells of a map of 2 x 2 would not repeat."""
    assert not any("adaptive" in name for name in operations(size, wanted))
    assert any("adaptive" in name for name in operations((7, 7), wanted))
