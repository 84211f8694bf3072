"""Costs of networks: parameters, multiply-accumulates, latency."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from kdharness.api.functional import eval_mode
from kdharness.api.staged import StagedModel
from kdharness.device.device import Device

Shape = tuple[int, int, int]

# Unmeasured passes before the measured ones.
WARM_UP = 3


def count_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def count_parameters_used(module: nn.Module, input_shape: Shape, device: torch.device) -> int:
    """Parameters that the output depends on: an early exit's network holds deeper layers that it never runs."""
    parameters = list(module.parameters())
    wanted = [p.requires_grad for p in parameters]
    try:
        with torch.enable_grad(), eval_mode(module):
            for parameter in parameters:
                parameter.requires_grad_(True)
            output: Tensor = module(_blank(input_shape, device))
            found = torch.autograd.grad(output.sum(), parameters, allow_unused=True) if output.requires_grad else ()
    finally:
        for parameter, flag in zip(parameters, wanted, strict=True):
            parameter.requires_grad_(flag)
    used = [p.numel() for p, gradient in zip(parameters, found, strict=False) if gradient is not None]
    return sum(used) if found else count_parameters(module)


def count_macs(module: nn.Module, input_shape: Shape, device: torch.device) -> int:
    """Multiply-accumulates of convolutions and matrix products in one forward pass of one image, in eval mode."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), eval_mode(module), counter:
        module(_blank(input_shape, device))
    return int(counter.get_total_flops()) // 2


def latency_seconds(module: nn.Module, input_shape: Shape, device: Device, repeats: int = 20) -> float:
    """The shortest wall time of one forward pass of one image, in eval mode, after a few unmeasured passes.

    Other processes can only add to it, so that the shortest of several is the steadiest.
    """
    image = _blank(input_shape, device.torch)
    times = []
    with torch.no_grad(), eval_mode(module):
        for number in range(repeats + WARM_UP):
            start = time.perf_counter()
            module(image)
            device.synchronize()
            if number >= WARM_UP:
                times.append(time.perf_counter() - start)
    return min(times)


def _blank(input_shape: Shape, device: torch.device) -> Tensor:
    return torch.zeros((1, *input_shape), device=device)


@dataclass(frozen=True)
class NetworkCosts:
    """What one network costs for one image."""

    parameters: int
    macs: int
    latency_seconds: float

    @classmethod
    def of(cls, module: nn.Module, input_shape: Shape, device: Device) -> NetworkCosts:
        return cls(
            count_parameters(module),
            count_macs(module, input_shape, device.torch),
            latency_seconds(module, input_shape, device),
        )


class CostCache:
    """Costs by architecture, measured once per worker."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self._costs: dict[tuple[object, ...], NetworkCosts] = {}

    def of(self, model: StagedModel) -> NetworkCosts:
        key = (model.spec.name, model.image_shape, model.input_shape, model.placement, count_parameters(model))
        if key not in self._costs:
            self._costs[key] = NetworkCosts.of(model, model.image_shape, self.device)
        return self._costs[key]
