"""Gradients of one sample at a time, for mechanisms that bound what each sample contributes.

A gradient per sample is only defined where samples do not mix. The network therefore runs in eval mode here: batch
normalisation uses its running statistics (which the ordinary passes over public images keep up), dropout is off.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from kdharness.api import eval_mode, full_precision

Gradients = dict[str, Tensor]


class SampleLoss(nn.Module):
    """A loss of one sample as a function of the parameters of `parts`.

    loss: from images [n, C, H, W] and targets [n, ...] to losses [n], through the parts.
    """

    def __init__(self, parts: Sequence[nn.Module], loss: Callable[[Tensor, Tensor], Tensor], trained: list[Tensor]):
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.loss = loss
        wanted = {id(p) for p in trained}
        self.trained = {name: p for name, p in self.named_parameters() if id(p) in wanted}

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        return self.loss(image[None], target[None])[0]

    def gradients(self, images: Tensor, targets: Tensor, chunk: int = 64) -> Iterator[Gradients]:
        """By parameter name [n, *shape], for up to `chunk` samples at a time."""

        def call(parameters: Mapping[str, Tensor], image: Tensor, target: Tensor) -> Tensor:
            loss: Tensor = functional_call(self, dict(parameters), (image, target))
            return loss

        parameters = {name: p.detach() for name, p in self.trained.items()}
        each = vmap(grad(call), in_dims=(None, 0, 0))
        # The bound on a gradient is a promise, and torch maps no normalisation of mixed types over samples.
        with eval_mode(self), full_precision(self):
            for part in zip(images.split(chunk), targets.split(chunk), strict=True):
                yield each(parameters, *part)


def norms_of(gradients: Gradients) -> Tensor:
    """Euclidean norms [n] over all parameters."""
    return torch.stack([g.flatten(1).square().sum(dim=1) for g in gradients.values()]).sum(dim=0).sqrt()


def mean_norm(chunks: Iterator[Gradients]) -> Tensor:
    """The mean norm over all samples, a scalar."""
    return torch.cat([norms_of(gradients) for gradients in chunks]).mean()


def clipped_mean(chunks: Iterator[Gradients], bound: Tensor | float) -> Gradients:
    """The mean over all samples of the gradients, each scaled down to norm `bound` where it is longer."""
    total, count = clipped_sum(chunks, bound)
    return {name: gradient / count for name, gradient in total.items()}


def clipped_sum(chunks: Iterator[Gradients], bound: Tensor | float) -> tuple[Gradients, int]:
    """Their sum, likewise, and over how many samples."""
    total: Gradients = {}
    count = 0
    for gradients in chunks:
        norms = norms_of(gradients).clamp_min(torch.finfo(torch.float32).tiny)
        factors = (bound / norms).clamp(max=1.0)
        count += len(factors)
        for name, gradient in gradients.items():
            kept = torch.einsum("n,n...->...", factors, gradient)
            total[name] = total[name] + kept if name in total else kept
    return total, count
