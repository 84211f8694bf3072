"""What RONA's queries cost: counts of what the sensitive teacher said, and the budgets that these stand for."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ._privacy import gaussian_epsilon, moments_epsilon

OWN_UNIT = {"output": "sample", "gradient": "batch"}  # what each release of the private mechanisms is about
PLURALS = {"sample": "samples", "batch": "batches", "epoch": "epochs"}


def is_private(mechanism: str, sigma: float) -> bool:
    """Whether its noise reaches what the student learns from."""
    return mechanism in OWN_UNIT and sigma > 0


def spent(
    mechanism: str, sigma: float, delta: float, counts: Mapping[str, int], noise_public: bool
) -> dict[str, float]:
    """The numbers that a cell states of its privacy. Where nothing was asked, epsilon is 0 under every mechanism.

    counts: of what the teacher said and a loss used, by unit: "sample", "batch", "epoch".
    noise_public: whether the noise can be repeated by who knows its seed; the budgets are as if it could not.
    """
    own, asked = OWN_UNIT.get(mechanism), counts["sample"] > 0
    found = {
        **{f"{plural}_queried": float(counts[unit]) for unit, plural in PLURALS.items()},
        "sigma": 0.0 if mechanism in ("none", "gate") else sigma,
        "epsilon_infinite": float(asked and not is_private(mechanism, sigma)),
    }
    if own is not None:
        found["releases"] = float(counts[own])
    if own is not None and is_private(mechanism, sigma):
        budgets = {unit: gaussian_epsilon(sigma, count, delta) for unit, count in counts.items()}
        found |= {f"epsilon_per_{unit}": epsilon for unit, epsilon in budgets.items()}
        found |= {"epsilon": budgets[own], "delta": delta, "mu": math.sqrt(counts[own]) / sigma}
        found["epsilon_moments"] = moments_epsilon(sigma, counts[own], delta) if counts[own] else 0.0
        found["noise_public"] = float(noise_public)
    elif not asked:
        found |= {"epsilon": 0.0, "delta": 0.0, "mu": 0.0}
    return found
