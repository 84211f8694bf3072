"""The confidence that audits rest on, and a leak that is there."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdharness.measure.audit import confidence
from kdharness.stats.attacks import lira_scores, rates_of
from kdharness.stats.epsilon_bounds import best_bound


def test_confidence_by_hand() -> None:
    """Probabilities 0.7, 0.2 and 0.1: log(0.7 / 0.3), and log(0.1 / 0.9)."""
    logits = torch.tensor([[0.7, 0.2, 0.1]]).log().repeat(2, 1)
    found = confidence(logits, torch.tensor([0, 2]))
    assert found.dtype is torch.float64
    assert found.tolist() == pytest.approx([np.log(0.7 / 0.3), np.log(0.1 / 0.9)], abs=1e-6)


def test_a_network_that_is_certain_has_a_finite_confidence() -> None:
    logits = torch.tensor([[900.0, 0.0, 0.0], [0.0, 900.0, 0.0]])
    assert confidence(logits, torch.tensor([0, 0])).tolist() == pytest.approx([900 - np.log(2), -900])


def memorised(images: Tensor, labels: Tensor, members: Tensor, seed: int) -> Tensor:
    """The confidences of a network that was trained until it knew every member."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(images.shape[1], 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        F.cross_entropy(network(images[members]), labels[members]).backward()
        optimizer.step()
    with torch.no_grad():
        logits = network(images)
    assert (logits.argmax(1) == labels)[members].all()
    return confidence(logits, labels)


def test_memorising_networks_are_found_out() -> None:
    """60 images of noise with labels of chance, about half of them learned by heart by each of six networks."""
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(60, 30, generator=generator), torch.randint(10, (60,), generator=generator)
    members = torch.rand(6, 60, generator=generator) < 0.5
    confidences = torch.stack([memorised(images, labels, m, seed) for seed, m in enumerate(members)]).numpy()
    scores = lira_scores(confidences, members.numpy())
    rates = rates_of(scores, members.numpy())
    assert rates.auc.low > 0.9
    assert rates.low_rates[0].low > 0.2, "far above 1 %"
    bound = best_bound([confidences.ravel()], members.numpy().ravel(), 1e-5)
    assert bound is not None
    assert bound.epsilon > 1.5
    others = members.numpy()[::-1].copy()
    assert rates_of(lira_scores(confidences, others), others).auc.low < 0.5, "not by other networks' members"
