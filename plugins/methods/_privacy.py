"""Bounds, noise and accounting for what a student learns from a teacher that saw private data (see rona.py).

One private record can change everything that the trained teacher says. The sensitivity of a release is therefore that
of the whole released quantity, and no share of sampled queries makes it smaller: the queries are public.

    losses      min(l_i, B), or l_i 1[l_i <= B]: the same gradient; noise added to l_i has none
    outputs     v B / max(|v|, B) + N(0, (sigma s)^2),  s = sqrt(2) B for vectors without negative entries, else 2 B
    gradients   mean_i of g_i B / max(|g_i|, B) + N(0, (2 B sigma)^2): every g_i can change, so 2 B and not 2 B / n

T Gaussian releases of noise multiplier sigma are together sqrt(T) / sigma Gaussian differentially private (Dong, Roth,
Su, "Gaussian Differential Privacy", JRSS B 2022), which is exact; the moments accountant of Abadi et al. (CCS 2016),
which RONA builds on, bounds it by  min_lambda T (lambda + 1) / (2 sigma^2) + ln(1 / delta) / lambda.

Noise is drawn on the CPU from a generator of its own, so that it is the same on every device and shifts no other draw.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from kdharness.api import BuildContext, Neutral

# Where noise that protects is drawn from: a secret of the system's, or a seed that is known, for tests.
NoiseSeed = Annotated[Literal["secret"] | Annotated[int, Field(ge=0)], Neutral("secret")]


def noise_source(context: BuildContext, secret: bool, name: str, device: bool = True) -> torch.Generator:
    """What noise is drawn from. name: of the generator that stands in where nothing is to be protected."""
    return context.secret_generator(device) if secret else context.generator(name, device=device)


def clip_losses(losses: Tensor, bound: Tensor | float) -> Tensor:
    """min(l_i, B). losses: [N]. Samples above the bound have no gradient."""
    return torch.where(losses > bound, torch.as_tensor(bound).to(losses), losses)


def gate_losses(losses: Tensor, bound: Tensor | float) -> Tensor:
    """l_i 1[l_i <= B]. losses: [N]."""
    return torch.where(losses > bound, torch.zeros_like(losses), losses)


def clip_norms(vectors: Tensor, bound: Tensor | float) -> Tensor:
    """Each row, of any shape, scaled down to Euclidean norm `bound` where it is longer. vectors: [N, ...]."""
    norms = row_norms(vectors).clamp_min(torch.finfo(vectors.dtype).tiny)
    factors = (bound / norms).clamp(max=1.0)
    return vectors * factors.reshape(-1, *[1] * (vectors.dim() - 1))


def row_norms(vectors: Tensor) -> Tensor:
    """Euclidean norms [N] of rows of any shape."""
    norms: Tensor = torch.linalg.vector_norm(vectors.flatten(1), dim=1)
    return norms


def noise_like(tensor: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal draws of a tensor's shape, dtype and device. generator: on that device."""
    return torch.randn(tensor.shape, generator=generator, device=tensor.device).to(tensor)


def release(
    vectors: Tensor, bound: Tensor | float, sigma: float, nonnegative: bool, generator: torch.Generator
) -> Tensor:
    """The rows, clipped to norm `bound`, with Gaussian noise of deviation sigma times their sensitivity."""
    sensitivity = (math.sqrt(2.0) if nonnegative else 2.0) * torch.as_tensor(bound).to(vectors)
    return clip_norms(vectors, bound) + sigma * sensitivity * noise_like(vectors, generator)


def project_to_simplex(vectors: Tensor) -> Tensor:
    """The probability vectors nearest to the rows [N, C] (Duchi, Shalev-Shwartz, Singer, Chandra, ICML 2008).

    All entries of a row less its largest have the same projection, and its cumulative sums do not lose the 1.
    """
    vectors = vectors - vectors.amax(dim=1, keepdim=True)
    ordered = vectors.sort(dim=1, descending=True).values
    count = torch.arange(1, vectors.shape[1] + 1, device=vectors.device)
    surplus = (ordered.cumsum(dim=1) - 1) / count
    support = (ordered > surplus).sum(dim=1, keepdim=True).clamp_min(1)
    return (vectors - surplus.gather(1, support - 1)).clamp_min(0)


def moments_epsilon(sigma: float, releases: int, delta: float) -> float:
    """epsilon of `releases` Gaussian releases by the moments accountant, without sampling."""
    from opacus.accountants.analysis.rdp import compute_rdp

    moments = np.logspace(-3, 4, 2000)
    renyi = compute_rdp(q=1.0, noise_multiplier=sigma, steps=releases, orders=moments + 1)
    return float(np.min(renyi + math.log(1 / delta) / moments))


def gaussian_epsilon(sigma: float, releases: int, delta: float) -> float:
    """epsilon of `releases` Gaussian releases of noise multiplier sigma: exact up to 450, beyond that the moments
    accountant's, which is a little larger (and either way no protection).
    """
    from opacus.accountants.analysis.gdp import delta_eps_mu, eps_from_mu

    if not releases:
        return 0.0
    bound, mu = moments_epsilon(sigma, releases, delta), math.sqrt(releases) / sigma
    if bound > 450:
        return bound
    return 0.0 if delta_eps_mu(eps=0.0, mu=mu) <= delta else float(eps_from_mu(mu=mu, delta=delta))
