"""Sums of bits: alike for what is alike, whatever it is cut into; other ones after any change."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from kdharness.device import checksum as module
from kdharness.device.checksum import Balance, Standing, checksum

MANY = [
    torch.randn(7, 3, generator=torch.Generator().manual_seed(0)),
    torch.arange(5),
    torch.tensor(True),
    torch.randn(4).half(),
    torch.randn(3).double(),
    torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    torch.tensor([1 + 2j]),
    torch.zeros(0, 3),
    torch.arange(6, dtype=torch.uint8).view(2, 3).t(),
    torch.tensor(0.5),
]


def total(tensors: list[Tensor], start: int = 0) -> int:
    return sum(int(part) for part in checksum(tensors, start)) % (1 << 64)


def by_hand(numbers: list[int], period: int, start: int = 0) -> int:
    """The definition: each 32-bit word times its place's odd weight, within 32 bits, summed."""

    def signed(n: int) -> int:
        return (n + (1 << 31)) % (1 << 32) - (1 << 31)

    weights = [signed(signed(((start + i) % period) * -1640531535) | 1) for i in range(len(numbers))]
    return sum(signed(n * w) for n, w in zip(numbers, weights, strict=True)) % (1 << 64)


def test_the_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PERIOD", 8)
    numbers = torch.randint(-(1 << 31), 1 << 31, (21,), generator=torch.Generator().manual_seed(1))
    words = numbers.to(torch.int32)
    assert total([words]) == by_hand(words.tolist(), 8)
    assert total([words[:3], words[3:4], words[4:]]) == by_hand(words.tolist(), 8)
    assert total([words], 5) == by_hand(words.tolist(), 8, 5)
    assert (total([words[:9]]) + total([words[9:]], 9)) % (1 << 64) == by_hand(words.tolist(), 8)


@pytest.mark.parametrize("number", [n for n, t in enumerate(MANY) if t.numel()])
def test_one_bit_of_any_tensor_is_noticed(number: int) -> None:
    tensors = [t.clone() for t in MANY]
    before = total(tensors)
    assert before == total([t.clone() for t in MANY])
    storage = tensors[number].untyped_storage()
    storage[0] = storage[0] ^ 1
    assert total(tensors) != before


@pytest.mark.parametrize("number", [n for n, t in enumerate(MANY) if t.numel()])
def test_of_tensors_that_stand_one_bit_is_noticed_too(number: int) -> None:
    tensors = [t.clone() for t in MANY]
    standing = Standing(tensors)
    assert sum(map(int, standing.checksum())) % (1 << 64) == total(tensors)
    storage = tensors[number].untyped_storage()
    storage[0] = storage[0] ^ 1
    assert sum(map(int, standing.checksum())) % (1 << 64) == total(tensors) != total(MANY)


def test_a_standing_tensor_with_other_memory_is_looked_at_anew() -> None:
    weights, other = torch.zeros(5, 3), torch.ones(4)
    standing = Standing([weights, other])
    before = sum(map(int, standing.checksum()))
    assert before == sum(map(int, standing.checksum()))
    weights.data = torch.ones(5, 3)
    assert sum(map(int, standing.checksum())) == total([torch.ones(5, 3), other]) != before
    weights.numpy()[2, 1] = 7.0
    assert sum(map(int, standing.checksum())) == total([weights, other]) != total([torch.ones(5, 3), other])


def test_values_that_changed_places_are_noticed() -> None:
    images = torch.rand(4, 1, 2, 2)
    for moved in (images.flip(0), images.flip(3), images.roll(1)):
        assert total([moved]) != total([images])


def test_a_balance_tells_what_differs_and_begins_anew() -> None:
    balance, tensor, number = Balance(), torch.arange(3), torch.tensor(0.1)
    balance.compare(checksum([tensor]), checksum([tensor.clone()]))
    balance.expect(number, 0.1)
    assert not balance.differs()
    # What one batch has more and another one less does not cancel out.
    balance.compare(checksum([tensor]), checksum([tensor + 1]))
    balance.compare(checksum([tensor + 1]), checksum([tensor]))
    assert balance.differs()
    assert not balance.differs()
    balance.expect(number, 0.2)
    assert balance.differs()
    balance.fail()
    assert balance.differs()
    assert not balance.differs()


@pytest.mark.parametrize("shape", [(0,), (1,), (5,)])
def test_one_number_that_stands_for_many_is_summed_as_these(shape: tuple[int, ...]) -> None:
    number = torch.tensor([7])
    assert total([number.expand(shape)]) == total([torch.full(shape, 7)])
