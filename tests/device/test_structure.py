"""A hook, an attribute, a class or a module more or less is seen, and put back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import pytest
import torch
from torch import Tensor, nn

from kdharness.device.structure import Structure


class Network(nn.Module):
    """What it writes into itself while it runs is its own affair."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.last = nn.Linear(4, 3)
        self.scale = 1.0
        self.calls = 0

    @cached_property
    def width(self) -> int:
        return 4

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        self.seen = images
        self.layers[0].shown = images.shape[-self.width :]
        logits: Tensor = self.last(self.layers(images).mean((2, 3))) * self.scale
        return logits


class Zero(nn.Linear):
    """Another forward under the same weights."""

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * 0


def seen(network: Network) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network(torch.linspace(0, 1, 50).view(2, 1, 5, 5))
    return logits


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    network = Network().eval()
    network.requires_grad_(False)
    return network


CHANGES: dict[str, Callable[[Network], object]] = {
    "forward_hook": lambda n: n.last.register_forward_hook(lambda m, i, o: o * 0),
    "hook_with_names": lambda n: n.last.register_forward_hook(lambda m, i, k, o: o * 0, with_kwargs=True),
    "hook_always_called": lambda n: n.last.register_forward_hook(lambda m, i, o: o * 0, always_call=True),
    "pre_hook": lambda n: n.layers[1].register_forward_pre_hook(lambda m, i: (i[0] * 0,)),
    "gradient_hook": lambda n: n.last.register_full_backward_hook(lambda m, i, o: None),
    "gradient_pre_hook": lambda n: n.last.register_full_backward_pre_hook(lambda m, o: None),
    "state_hook": lambda n: n.register_state_dict_post_hook(lambda m, s, p, d: None),
    "load_hook": lambda n: n.register_load_state_dict_post_hook(lambda m, k: None),
    "eps": lambda n: setattr(n.layers[1], "eps", 100.0),
    "momentum": lambda n: setattr(n.layers[1], "momentum", None),
    "stride": lambda n: setattr(n.layers[0], "stride", (2, 2)),
    "own_number": lambda n: setattr(n, "scale", 2.0),
    "equal_of_another_kind": lambda n: setattr(n, "scale", True),
    "gone": lambda n: delattr(n.layers[1], "eps"),
    "forward": lambda n: setattr(n.last, "forward", lambda x: x[:, :3] * 0),
    "class": lambda n: setattr(n.last, "__class__", Zero),
    "module_more": lambda n: n.layers.append(nn.Softplus()),
    "module_other": lambda n: setattr(n, "last", Zero(4, 3)),
    "module_less": lambda n: n.layers.__delitem__(1),
    "order": lambda n: n.layers._modules.__setitem__("0", n.layers._modules.pop("0")),
    "parameter_other": lambda n: setattr(n.last, "bias", nn.Parameter(torch.zeros(3))),
    "buffer_other": lambda n: setattr(n.layers[1], "running_mean", torch.ones(4)),
    "gradient_wanted": lambda n: n.last.weight.requires_grad_(True),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_what_was_changed_is_seen_and_put_back(network: Network, kind: str) -> None:
    before = seen(network)
    structure = Structure(network)
    assert structure.stands
    CHANGES[kind](network)
    assert not structure.stands
    structure.put_back()
    assert structure.stands
    assert torch.equal(seen(network), before)


def test_what_a_network_writes_into_itself_counts_for_nothing(network: Network) -> None:
    structure = Structure(network)
    seen(network)
    assert (network.calls, structure.stands) == (1, True)


def test_a_hook_that_was_taken_away_again_leaves_nothing(network: Network) -> None:
    structure = Structure(network)
    for register in (network.last.register_forward_hook, network.last.register_full_backward_hook):
        register(lambda *seen: None).remove()
    assert structure.stands
