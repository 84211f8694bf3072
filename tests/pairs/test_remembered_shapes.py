"""What is remembered of operators changes nothing but the time."""

from __future__ import annotations

import pytest
import torch
from remembered_shapes import RememberedShapes
from torch import Tensor, nn


def _network(device: str) -> nn.Sequential:
    with torch.device(device):
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 5)
        )


def test_shapes_strides_and_gradients_are_torch_s_own() -> None:
    network, images = _network("meta"), torch.rand(2, 3, 8, 8, device="meta")
    plain = network(images)
    with RememberedShapes() as mode:
        for _ in range(2):
            network.zero_grad(set_to_none=True)
            logits = network(images)
            logits.double().mean().backward()
    assert mode.known
    assert (logits.shape, logits.stride(), logits.dtype) == (plain.shape, plain.stride(), plain.dtype)
    assert all(p.grad is not None and p.grad.shape == p.shape and p.grad.is_meta for p in network.parameters())


def test_numbers_are_worked_out_each_time() -> None:
    one, two = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
    with RememberedShapes() as mode:
        sums = [float(each.sum()) for each in (one, two)]
        zeros = [torch.zeros(2), torch.zeros(2)]
    assert sums == [3.0, 8.0]
    assert [each.device.type for each in zeros] == ["cpu", "cpu"]
    assert not mode.known


def test_what_is_changed_in_place_is_the_same_tensor() -> None:
    weight, other = torch.zeros(3, device="meta"), torch.zeros(3, device="meta")
    with RememberedShapes():
        assert weight.add_(1) is weight
        assert other.add_(1) is other
        assert weight.add(1) is not weight.add(1)


@pytest.mark.parametrize("factor", [2, 2.0])
def test_plain_values_are_told_apart_by_their_type(factor: float) -> None:
    whole = torch.zeros(3, dtype=torch.int64, device="meta")
    with RememberedShapes():
        found: list[Tensor] = [whole * each for each in (2, 2.0, factor)]
    assert [each.dtype for each in found] == [torch.int64, torch.float32, found[type(factor) is float].dtype]


def test_errors_are_torch_s_own() -> None:
    with RememberedShapes():
        for _ in range(2):
            with pytest.raises(RuntimeError, match="broadcast"):
                torch.zeros(2, device="meta") + torch.zeros(3, device="meta")
            with pytest.raises(RuntimeError, match="meta"):
                torch.zeros(2, device="meta").sum().item()
