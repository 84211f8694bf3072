"""Which public samples a teacher is asked about, and in which order: the five rules of RONA (see rona.py). They see the
student's outputs alone.

    kcenter   greedy k-center (Sener and Savarese, ICLR 2018): the first centre at random, then again and again the
              sample that is farthest from its nearest centre, argmax_i min_{j in Q} KL(p_i || p_j)
    random    without replacement
    gibbs     largest Gini impurity  1 - sum_c p_c^2, the largest last
    margin    smallest gap between the two largest probabilities, the smallest first
    diverse   margin under quotas for the ten clusters of the probabilities (mini-batch k-means)

k-center is the paper's rule; all five, with their order, are the authors' script's. p is the softmax of the student's
logits: at the temperature of distillation for k-center and for the clusters, at 1 for gibbs, margin and the gaps of
diverse. Here one temperature may be given for all.

Quotas of diverse: "proportional" is the script's. Each probability is standardised over the samples before they are
clustered, and a cluster's quota, in proportion to its size, is rounded up: the largest gaps are left out at the end.
"equal" is ours: probabilities as they are, and equal shares.

The script's KL divides by p and becomes NaN where it underflows; here it comes from log-softmax and stays finite. Ties
go to the lowest position; the script leaves them to its sort.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

CLUSTERS = 10

Rule = Literal["kcenter", "random", "gibbs", "margin", "diverse"]
Shares = Literal["proportional", "equal"]


@dataclass(frozen=True)
class Seen:
    """What a rule sees of n samples.

    soft: log-probabilities [n, classes] for distances between samples.
    plain: those for scores of single samples.
    shares: of diverse.
    """

    soft: Tensor
    plain: Tensor
    shares: Shares


def random_queries(seen: Seen, count: int, generator: torch.Generator) -> Tensor:
    """Uniformly. generator: on the CPU."""
    return torch.randperm(len(seen.soft), generator=generator)[:count]


def kcenter_queries(seen: Seen, count: int, generator: torch.Generator) -> Tensor:
    return greedy_k_center(seen.soft, count, generator)


def greedy_k_center(log_p: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Positions of the centres in the order of their choice. Each step is one pass over the rows.

    KL is summed from differences, so that equal rows are exactly 0 apart and are chosen by position.
    """
    p = log_p.exp()
    first = int(torch.randint(len(log_p), (1,), generator=generator))
    chosen = torch.full((count,), first, dtype=torch.int64, device=log_p.device)
    nearest = torch.full_like(p[:, 0], float("inf"))
    for step in range(count):
        centre = chosen[step : step + 1]
        divergence = (p * (log_p - log_p.index_select(0, centre))).sum(dim=1).clamp_min(0)
        nearest = torch.minimum(nearest, divergence)
        nearest.index_fill_(0, centre, -float("inf"))  # no centre twice, not even among equal samples
        if step + 1 < count:
            chosen[step + 1] = nearest.argmax()
    return chosen


def gibbs_queries(seen: Seen, count: int, generator: torch.Generator) -> Tensor:
    """The `count` largest impurities, ascending: the purer of those chosen come first."""
    return smallest_first(gini_purity(seen.plain.exp()))[:count].flip(0)


def margin_queries(seen: Seen, count: int, generator: torch.Generator) -> Tensor:
    """The `count` smallest gaps, ascending."""
    return smallest_first(top_two_gap(seen.plain.exp()))[:count]


def smallest_first(scores: Tensor) -> Tensor:
    """Positions by score [n], ascending."""
    return scores.sort(stable=True).indices


def gini_purity(p: Tensor) -> Tensor:
    """sum_c p_c^2 of each row: the smaller, the larger the impurity."""
    return p.square().sum(dim=1)


def top_two_gap(p: Tensor) -> Tensor:
    """The difference of the two largest probabilities of each row."""
    largest = p.topk(2, dim=1).values
    return largest[:, 0] - largest[:, 1]


def diverse_queries(seen: Seen, count: int, generator: torch.Generator) -> Tensor:
    """Smallest gaps first, as many of each cluster as its quota has room for."""
    order = smallest_first(top_two_gap(seen.plain.exp())).cpu()
    features = seen.soft.exp().double().cpu()
    if seen.shares == "equal":
        return equal_shares(order, clustered(features, generator), count)
    return proportional_shares(order, clustered(standardised(features), generator), count)


def standardised(features: Tensor) -> Tensor:
    """Each column with mean 0 and standard deviation 1; one that is constant becomes 0. features: [n, k]."""
    spread = features.std(dim=0, correction=0)
    return (features - features.mean(dim=0)) / torch.where(spread > 0, spread, torch.ones_like(spread))


def clustered(features: Tensor, generator: torch.Generator) -> Tensor:
    """Each row's cluster, int64 [n]. features: [n, k] on the CPU."""
    from sklearn.cluster import MiniBatchKMeans

    seed = int(torch.randint(2**31, (1,), generator=generator))
    means = MiniBatchKMeans(min(CLUSTERS, len(features)), random_state=seed, n_init=1, batch_size=1024)
    return torch.from_numpy(means.fit_predict(features.numpy())).long()


def proportional_shares(order: Tensor, cluster: Tensor, count: int) -> Tensor:
    """In the order, whoever is within its cluster's quota. order, cluster: int64 [n].

    A cluster takes one more while it has less than count times its share of all samples: the quotas, rounded up, are
    enough for `count`.
    """
    quotas = (count * torch.bincount(cluster) + len(cluster) - 1) // len(cluster)
    within = ranks_within(order, cluster)[order] < quotas[cluster[order]]
    return order[within][:count]


def equal_shares(order: Tensor, cluster: Tensor, count: int) -> Tensor:
    """The first of every cluster, then the second of every cluster: each gives its share while it has any."""
    return order[ranks_within(order, cluster)[order].sort(stable=True).indices][:count]


def ranks_within(order: Tensor, cluster: Tensor) -> Tensor:
    """By position, its place in the order among those of its cluster."""
    rank = torch.empty_like(order)
    for label in cluster.unique():
        members = order[cluster[order] == label]
        rank[members] = torch.arange(len(members))
    return rank


RULES: dict[Rule, Callable[[Seen, int, torch.Generator], Tensor]] = {
    "kcenter": kcenter_queries,
    "random": random_queries,
    "gibbs": gibbs_queries,
    "margin": margin_queries,
    "diverse": diverse_queries,
}


@dataclass(frozen=True)
class Selection:
    """How queries are selected.

    softened: the temperature of distillation.
    temperature: one for all scores; None: each rule's own, as in the script.
    """

    rule: Rule
    softened: float
    temperature: float | None = None
    shares: Shares = "proportional"

    def queries(self, logits: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """`count` different positions, in the rule's order. logits: [n, classes], the student's; int64 [count] on the
        CPU.
        """
        soft, plain = (
            torch.log_softmax(logits.float() / (self.temperature or own), dim=1) for own in (self.softened, 1.0)
        )
        return RULES[self.rule](Seen(soft, plain, self.shares), min(count, len(logits)), generator).cpu()
