"""How flat the minimum is that training found: test accuracy with Gaussian noise on the weights.

    w' = w + s * rms(w) * epsilon,   epsilon ~ N(0, 1),   rms(w) = sqrt(mean of w^2) over the tensor

Keskar, Mudigere, Nocedal, Smelyanskiy, Tang, "On Large-Batch Training for Deep Learning: Generalization Gap and Sharp
Minima", ICLR 2017, on flat minima; that networks which teach themselves bear more noise is a claim of Zhang et al.,
"Be Your Own Teacher", ICCV 2019, who do not say how their noise is scaled. Here it is relative to each tensor's own
size, because layers before a normalisation compute the same whatever their scale (Li et al., "Visualizing the Loss
Landscape of Neural Nets", NeurIPS 2018): noise of a fixed size would measure the norm of the weights.

Every weight of two and more dimensions gets noise: convolutions and linear layers, of exits and projectors too. Biases,
scales and shifts of normalisations and running statistics stay, so that statistics are not estimated anew.

The noise is drawn by the name and shape of a weight, by draw, and by nothing else: the same in all cells, and for all s
the same direction. Differences between methods are thus paired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from kdharness.api import Inspection, MetricSpec, hookimpl

PERCENT = (5, 10, 20, 40)  # s, in percent
DRAWS = 5


def noise(name: str, shape: tuple[int, ...], draw: int) -> Tensor:
    """Standard normal float32 of `shape`, from a generator of its own on the CPU."""
    text = f"weight_noise {name} {tuple(shape)} {draw}"
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def noisy(weights: Mapping[str, Tensor], scale: float, draw: int) -> dict[str, Tensor]:
    """The weights that get noise, with noise of `scale` times their own root mean square."""
    found = {}
    for name, weight in weights.items():
        if weight.ndim >= 2:
            size = weight.float().square().mean().sqrt()
            found[name] = weight + scale * size * noise(name, tuple(weight.shape), draw).to(weight.device)
    return found


def accuracies(cell: Inspection) -> dict[str, float]:
    """Percent on test, by output, of the cell as it stands."""
    return {
        name: 100.0 * (seen.logits.argmax(dim=1) == seen.targets).double().mean().item()
        for name, seen in cell.predict("test").items()
    }


def weight_noise(cell: Inspection) -> dict[str, dict[str, float]]:
    """By output, `weight_noise_top1_<s>`: accuracy in percent, the mean over draws; `weight_noise_change_<s>`: that
    less the accuracy without noise, in points.
    """
    plain = accuracies(cell)
    weights = {name: parameter.detach() for name, parameter in cell.parameters().items()}
    found: dict[str, dict[str, float]] = {name: {} for name in plain}
    for percent in PERCENT:
        total = dict.fromkeys(plain, 0.0)
        for draw in range(DRAWS):
            with cell.replaced(noisy(weights, percent / 100, draw)):
                for name, value in accuracies(cell).items():
                    total[name] += value
        for name, value in total.items():
            found[name][f"weight_noise_top1_{percent}"] = value / DRAWS
            found[name][f"weight_noise_change_{percent}"] = value / DRAWS - plain[name]
    return found


@hookimpl
def kdharness_metrics() -> Iterable[MetricSpec]:
    yield MetricSpec(
        "weight_noise",
        inspect=weight_noise,
        summary=f"accuracy with noise of {', '.join(map(str, PERCENT))} % of their size on the weights",
        unit="%",
        paper="Keskar, Mudigere, Nocedal, Smelyanskiy, Tang, On Large-Batch Training, ICLR 2017",
        on_request=True,
    )
