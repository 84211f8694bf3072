"""What a transform gives is looked at: pixels and labels of the kinds that networks and losses read."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor

from kdharness.api.step import Batch, StepInfo
from kdharness.engine.transform_checks import check_forms, check_values
from kdharness.errors import CellError

IMAGES = torch.rand(4, 1, 8, 8)
TARGETS = torch.tensor([0, 9, 3, 1])
SOFT = torch.nn.functional.one_hot(TARGETS, 10).float()
INFO = StepInfo("train", torch.tensor(0), 1, torch.tensor(0.0), MappingProxyType({}))
GIVEN = Batch(IMAGES, TARGETS, INFO, (IMAGES,))


def look(**changes: Any) -> None:
    made = replace(GIVEN, **changes)
    made = replace(made, views=(made.images, *made.views[1:]))
    check_forms(made, GIVEN)
    check_values(made, 10)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"images": IMAGES + 0.2},
        {"images": IMAGES[:, :, :4, :4]},
        {"soft_targets": 0.9 * SOFT + 0.01},
        {"soft_targets": SOFT.bfloat16()},
    ],
)
def test_what_is_sound_passes(changes: dict[str, Tensor]) -> None:
    look(**changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": IMAGES.double()}, "images must be float32, got float64"),
        ({"images": (IMAGES * 255).byte()}, "images must be float32, got uint8"),
        ({"images": IMAGES.flatten(1)}, r"images must be of shape [N, 1, H, W], got [4, 64]"),
        ({"images": IMAGES.repeat(1, 3, 1, 1)}, r"images must be of shape [N, 1, H, W], got [4, 3, 8, 8]"),
        ({"images": torch.full_like(IMAGES, 255.0)}, "images must be pixels in [0, 1], got values from 255 to 255"),
        ({"images": torch.full_like(IMAGES, -2.0)}, "images must be pixels in [0, 1], got values from -2 to -2"),
        ({"images": torch.full_like(IMAGES, float("nan"))}, "images must be pixels in [0, 1], got values from nan"),
        ({"partners": IMAGES.half()}, "partners must be float32, got float16"),
        ({"views": (IMAGES, IMAGES * 300)}, "views[1] must be pixels in [0, 1]"),
        ({"targets": TARGETS.float()}, "targets must be int64 [N], got float32 [4]"),
        ({"targets": SOFT}, "targets must be int64 [N], got float32 [4, 10]"),
        ({"targets": TARGETS + 1}, "targets must be classes from 0 to 9, got 10"),
        ({"targets": TARGETS - 1}, "targets must be classes from 0 to 9, got -1"),
        ({"soft_targets": SOFT.long()}, "soft_targets must be floating point [N, classes], got int64 [4, 10]"),
        ({"soft_targets": SOFT[:, :9]}, "soft_targets must have a column for each of 10 classes, got 9"),
        ({"soft_targets": 2 * SOFT}, "rows of soft_targets must sum to 1, one sums to 2"),
        ({"soft_targets": SOFT * float("nan")}, "rows of soft_targets must sum to 1, one sums to nan"),
        ({"soft_targets": 2 * SOFT - 0.1}, "soft_targets must not be negative, got -0.1"),
    ],
)
def test_what_is_not_is_said(changes: dict[str, Tensor], says: str) -> None:
    with pytest.raises(CellError) as raised:
        look(**changes)
    assert str(raised.value).startswith("transform(): ")
    assert says in str(raised.value)
