"""Which public samples a teacher is asked about: the five rules of RONA (see rona.py), which see the student's outputs
alone.

    kcenter   greedy k-center (Sener and Savarese, ICLR 2018): the first centre at random, then again and again the
              sample that is farthest from its nearest centre, argmax_i min_{j in Q} KL(p_i || p_j)
    random    without replacement
    gibbs     largest Gini impurity  1 - sum_c p_c^2
    margin    smallest gap between the two largest probabilities
    diverse   margin, taken in equal shares from ten clusters of the probabilities (mini-batch k-means)

p: softmax of the student's logits at temperature tau. KL is computed from log-softmax, so that it stays finite where a
probability underflows; the published code divides by it and becomes NaN there. Ties go to the lowest position.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

CLUSTERS = 10


def random_queries(log_p: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of n positions, uniformly. log_p: [n, classes]; generator: on the CPU."""
    return torch.randperm(len(log_p), generator=generator)[:count]


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


def smallest_first(score: Callable[[Tensor], Tensor], log_p: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """The `count` positions with the smallest score."""
    return score(log_p.exp()).sort(stable=True).indices[:count]


def gini_purity(p: Tensor) -> Tensor:
    """sum_c p_c^2 of each row: the smaller, the larger the impurity."""
    return p.square().sum(dim=1)


def top_two_gap(p: Tensor) -> Tensor:
    """The difference of the two largest probabilities of each row."""
    largest = p.topk(2, dim=1).values
    return largest[:, 0] - largest[:, 1]


def diverse_queries(log_p: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Smallest gaps first in each cluster, one cluster after the other until `count` are found."""
    from sklearn.cluster import MiniBatchKMeans

    p = log_p.exp()
    seed = int(torch.randint(2**31, (1,), generator=generator))
    means = MiniBatchKMeans(min(CLUSTERS, len(p)), random_state=seed, n_init=1, batch_size=1024)
    cluster = torch.from_numpy(means.fit_predict(p.double().cpu().numpy())).long()
    order = top_two_gap(p).cpu().sort(stable=True).indices
    rank = torch.empty_like(order)
    for label in cluster.unique():
        members = order[cluster[order] == label]
        rank[members] = torch.arange(len(members))
    # By rank within the cluster, and among equal ranks by the gap: every cluster gives its share while it has any.
    turn = rank[order].sort(stable=True).indices
    return order[turn][:count]


RULES: dict[str, Callable[[Tensor, int, torch.Generator], Tensor]] = {
    "kcenter": greedy_k_center,
    "random": random_queries,
    "gibbs": partial(smallest_first, gini_purity),
    "margin": partial(smallest_first, top_two_gap),
    "diverse": diverse_queries,
}


def select_queries(rule: str, logits: Tensor, count: int, temperature: float, generator: torch.Generator) -> Tensor:
    """`count` different positions by the rule. logits: [n, classes], the student's; int64 [count] on the CPU."""
    log_p = torch.log_softmax(logits.float() / temperature, dim=1)
    return RULES[rule](log_p, min(count, len(logits)), generator).cpu()
