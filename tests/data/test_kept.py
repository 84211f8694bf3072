"""A dataset's tensors are what they were, or the one that is not is named."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kdharness.data.kept import Kept
from kdharness.device.checksum import Balance


def tensors() -> dict[str, Tensor]:
    """Of sizes that are summed four bytes at a time, and byte by byte."""
    torch.manual_seed(0)
    sizes = {"images": (6, 1, 4, 4), "odd": (3, 1, 3, 3)}
    made = {name: torch.randint(0, 256, size, dtype=torch.uint8) for name, size in sizes.items()}
    return {**made, "aside": torch.arange(9, dtype=torch.uint8)[1:], "labels": torch.arange(6)}


def changed(kept: Kept) -> str:
    balance = Balance()
    kept.settle(balance)
    assert balance.differs() == bool(balance.where)
    return balance.where


@pytest.mark.parametrize("name", tensors())
def test_one_number_more_or_less_is_seen(name: str) -> None:
    held = tensors()
    kept = Kept(held)
    assert changed(kept) == ""
    held[name].view(-1).numpy()[2] += 1
    assert changed(kept) == name
    held[name].view(-1).numpy()[2] -= 1
    assert changed(kept) == ""


@pytest.mark.parametrize("name", tensors())
def test_two_that_change_places_are_seen(name: str) -> None:
    held = tensors()
    kept = Kept(held)
    held[name].data.copy_(held[name].flip(0))
    assert changed(kept) == name


def test_storage_that_was_cut_short_is_not_read() -> None:
    held = tensors()
    kept = Kept(held)
    held["images"].untyped_storage().resize_(3)
    assert changed(kept) == "images"
