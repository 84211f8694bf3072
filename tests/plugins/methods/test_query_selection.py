"""The queries of RONA against toys worked out by hand, and against the authors' script."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from kdharness_plugins.methods import _query_selection as selection
from kdharness_plugins.methods._query_selection import Selection
from torch import Tensor

CLASSES = 5


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_greedy_k_center_on_five_points() -> None:
    # Two near pairs and a point of its own. Whichever comes first, the next centres are the farthest from all so far.
    p = torch.tensor([[0.90, 0.05, 0.05], [0.88, 0.07, 0.05], [0.05, 0.90, 0.05], [0.06, 0.89, 0.05], [0.1, 0.1, 0.8]])
    chosen = selection.greedy_k_center(p.log(), 5, generator()).tolist()
    assert sorted(chosen) == [0, 1, 2, 3, 4]
    near = {0: 0, 1: 0, 2: 1, 3: 1, 4: 2}
    assert {near[k] for k in chosen[:3]} == {0, 1, 2}
    divergence = (p[:, None] * (p[:, None].log() - p[None].log())).sum(2)
    for step in range(1, 5):
        nearest = divergence[:, chosen[:step]].min(dim=1).values
        nearest[chosen[:step]] = -1
        assert chosen[step] == int(nearest.argmax())


def test_greedy_k_center_stays_finite_where_probabilities_underflow() -> None:
    logits = torch.tensor([[0.0, 500.0], [500.0, 0.0], [0.0, 0.0], [0.0, 500.0]])
    assert (logits.softmax(1) == 0).any()
    chosen = Selection("kcenter", 1.0).queries(logits, 4, generator())
    assert sorted(chosen.tolist()) == [0, 1, 2, 3]
    first_three = set(chosen[:3].tolist())
    assert not {0, 3} <= first_three  # equal samples are not both centres before all others


@pytest.mark.parametrize(("classes", "copies"), [(3, 7), (10, 5), (100, 3)])
def test_greedy_k_center_breaks_ties_by_position(classes: int, copies: int) -> None:
    """Equal rows are exactly 0 apart: once each distinct row has a centre, the copies follow in their order."""
    distinct = (3 * torch.randn(6, classes, generator=generator())).log_softmax(1)
    log_p = distinct.repeat(copies, 1)
    chosen = selection.greedy_k_center(log_p, len(log_p), generator()).tolist()
    assert sorted(k % 6 for k in chosen[:6]) == list(range(6))
    assert all(k < 6 for k in chosen[1:6])
    assert chosen[6:] == sorted(chosen[6:])


def test_first_centre_is_random() -> None:
    firsts = {
        int(selection.greedy_k_center(torch.zeros(10, 3), 1, torch.Generator().manual_seed(s))[0]) for s in range(30)
    }
    assert len(firsts) > 5


def test_gibbs_and_margin_by_hand() -> None:
    p = torch.tensor([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [0.9, 0.1, 0.0], [0.6, 0.2, 0.2]]).clamp_min(1e-9)
    # Gini impurity 0.5, 0.66, 0.18, 0.56, the largest last; gap of the two largest 0, 0.1, 0.8, 0.4.
    assert Selection("gibbs", 3.0).queries(p.log(), 3, generator()).tolist() == [0, 3, 1]
    assert Selection("margin", 3.0).queries(p.log(), 3, generator()).tolist() == [0, 1, 3]


def test_temperature_reaches_the_scores_only_when_it_is_given() -> None:
    """Much softened, the gap of the first is the smaller one; as they are, that of the second."""
    logits = torch.tensor([[1.2, 0.0, -9.0, -9.0], [1.5, 0.0, 0.0, 0.0]])
    for rule in ("margin", "diverse"):
        assert Selection(rule, 100.0).queries(logits, 2, generator()).tolist() == [1, 0]
        assert Selection(rule, 1.0, temperature=100.0).queries(logits, 2, generator()).tolist() == [0, 1]
    softened = torch.tensor([[5.0, 0.0], [0.0, 5.0], [0.0, 0.4]])
    whole = Selection("kcenter", 1.0).queries(softened, 3, generator()).tolist()
    assert Selection("kcenter", 9.0, temperature=1.0).queries(softened, 3, generator()).tolist() == whole


# Ten tight clusters of six, and a large one of sixty, whose gaps are the smallest.
def clusters() -> Tensor:
    rows = []
    for cluster in range(10):
        for k in range(60 if cluster == 0 else 6):
            row = torch.full((10,), 0.01)
            row[cluster] += 0.9
            row[(cluster + 1) % 10] += 0.001 * (k % 6) + (0.05 if cluster == 0 else 0)
            rows.append(row / row.sum())
    return torch.stack(rows).log()


@pytest.mark.parametrize(("shares", "counts"), [("equal", [2] * 10), ("proportional", [11, 1, 1, 1, 1, 1, 1, 1, 1, 1])])
def test_diverse_takes_from_every_cluster(shares: selection.Shares, counts: list[int]) -> None:
    of = torch.tensor([0] * 60 + [c for c in range(1, 10) for _ in range(6)])
    chosen = Selection("diverse", 1.0, shares=shares).queries(clusters(), 20, generator())
    assert chosen.unique().numel() == 20
    assert torch.bincount(of[chosen], minlength=10).tolist() == counts


def test_columns_that_are_constant_are_standardised_to_zero() -> None:
    found = selection.standardised(torch.tensor([[1.0, 5.0], [3.0, 5.0]]))
    assert found.tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def vectors() -> dict[str, Tensor]:
    """What the authors' script chose among 120 samples at a rate of 0.4: its own functions, run in float64."""
    with np.load(Path(__file__).parents[2] / "vectors" / "rona_queries.npz") as file:
        return {name: torch.from_numpy(array) for name, array in file.items()}


@pytest.mark.parametrize("rule", ["gibbs", "margin"])
def test_scores_and_their_order_are_the_scripts(rule: selection.Rule) -> None:
    expected = vectors()
    chosen = Selection(rule, 3.0).queries(expected["logits"], 48, generator())
    assert chosen.tolist() == expected[rule].tolist()


def test_k_center_is_the_scripts() -> None:
    expected = vectors()
    first, firsts = int(expected["kcenter"][0]), []
    for seed in range(1000):  # a generator whose first centre is theirs
        drawn = torch.Generator().manual_seed(seed)
        firsts.append(int(torch.randint(120, (1,), generator=drawn)))
        if firsts[-1] == first:
            break
    chosen = Selection("kcenter", 3.0).queries(expected["logits"], 48, torch.Generator().manual_seed(len(firsts) - 1))
    assert chosen.tolist() == expected["kcenter"].tolist()


def test_quotas_of_clusters_are_the_scripts() -> None:
    """Their clusters are drawn from numpy's generator: what follows from them is compared."""
    expected = vectors()
    order = selection.smallest_first(selection.top_two_gap(expected["logits"].softmax(1)))
    chosen = selection.proportional_shares(order, expected["clusters"].long(), 48)
    assert chosen.tolist() == expected["diverse"].tolist()
    assert chosen.tolist() != order[:48].tolist()
    features = selection.standardised((expected["logits"] / 3).softmax(1))
    torch.testing.assert_close(features, expected["features"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rule", selection.RULES)
@pytest.mark.parametrize(("n", "count"), [(40, 20), (40, 39), (7, 7), (5, 9)])
@pytest.mark.parametrize("shares", ["proportional", "equal"])
def test_queries_are_different_positions(rule: selection.Rule, n: int, count: int, shares: selection.Shares) -> None:
    logits = torch.randn(n, CLASSES, generator=generator())
    chosen = Selection(rule, 3.0, shares=shares).queries(logits, count, generator())
    assert chosen.dtype == torch.int64
    assert chosen.unique().numel() == len(chosen) == min(n, count)
    assert 0 <= int(chosen.min()) <= int(chosen.max()) < n


@pytest.mark.parametrize("rule", selection.RULES)
def test_queries_are_drawn_from_the_given_generator_alone(rule: selection.Rule) -> None:
    logits = torch.randn(60, CLASSES, generator=generator())
    default = torch.get_rng_state()
    chosen = [Selection(rule, 3.0).queries(logits, 20, generator()).tolist() for _ in range(2)]
    assert torch.get_rng_state().equal(default)
    assert chosen[0] == chosen[1]
