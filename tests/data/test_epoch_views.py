"""One view in one epoch: its draws are its own, whatever the view does."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor

from kdharness.api import ViewInfo, ViewSpec
from kdharness.data.views import EpochView
from kdharness.device.door import open_device
from kdharness.errors import CellError

IMAGES = torch.full((6, 1, 2, 2), 100, dtype=torch.uint8)
KEPT: list[Tensor] = []

WRITES: dict[str, Callable[[Tensor], object]] = {
    "data": lambda drawn: drawn.data.zero_(),
    "numpy": lambda drawn: drawn.numpy().fill(0),
    "storage": lambda drawn: drawn.untyped_storage().fill_(0),
    "what_it_kept": lambda drawn: KEPT[-1].numpy().fill(0),
}


def draws(n: int, generator: torch.Generator) -> Mapping[str, Tensor]:
    KEPT.append(torch.randint(1, 50, (n,), generator=generator, dtype=torch.uint8))
    return {"shade": KEPT[-1]}


def made(write: Callable[[Tensor], object] | None) -> list[Tensor]:
    def apply(images: Tensor, drawn: Mapping[str, Tensor], info: ViewInfo) -> Tensor:
        darker = images - drawn["shade"].view(-1, 1, 1, 1)
        if write is not None:
            write(drawn["shade"])
        return darker

    view = EpochView(ViewSpec("darker", draws, apply), ViewInfo({}, (2, 2)), 6, 0, open_device("cpu"))
    return [view.images(IMAGES[start:end], start, end) for start, end in ((0, 4), (0, 4), (4, 6))]


@pytest.mark.parametrize("kind", WRITES)
def test_what_a_view_writes_unnoticed_into_its_draws_changes_no_batch(kind: str) -> None:
    expected = made(None)
    assert torch.equal(expected[0], expected[1])
    assert int(expected[0].max()) < 100
    assert all(torch.equal(a, b) for a, b in zip(made(WRITES[kind]), expected, strict=True))


def test_what_it_writes_in_the_open_is_said() -> None:
    with pytest.raises(CellError, match=r"view 'darker': apply\(\) changes its draws in place"):
        made(lambda drawn: drawn.zero_())
