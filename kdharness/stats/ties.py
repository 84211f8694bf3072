"""Competitors that the data cannot tell apart: intervals of ranks, and letters of ties."""

from __future__ import annotations

import string

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]
Ranks = npt.NDArray[np.int64]


def rank_intervals(better: Flags, ranks: Ranks) -> tuple[Ranks, Ranks]:
    """The best and the worst rank that the data leave open to each of these competitors.

    better: [k, k], whether the first was found better than the second. ranks: by the mean. Where competitors have other
    seeds than each other, means and comparisons may disagree: an interval always holds the rank.
    """
    best, worst = 1 + better.sum(axis=0), len(ranks) - better.sum(axis=1)
    return np.minimum(best, ranks), np.maximum(worst, ranks)


def tie_groups(apart: Flags) -> list[str]:
    """A compact letter display (Piepho 2004): two competitors share a letter exactly when they were not told apart.

    apart: [k, k], symmetric, the competitors in the order of their means. 'a', 'ab', 'b'; where 26 letters are not
    enough, numbers ('1', '1 2', '2'). No letter could be taken from a competitor without two of them losing their last
    one in common.
    """
    groups = _groups(~apart)
    if len(groups) <= len(string.ascii_lowercase):
        names, between = list(string.ascii_lowercase), ""
    else:
        names, between = [str(i + 1) for i in range(len(groups))], " "
    members = [set(group) for group in groups]
    return [between.join(names[i] for i, own in enumerate(members) if each in own) for each in range(len(apart))]


def _groups(tied: Flags) -> list[tuple[int, ...]]:
    """Sets of which all members are tied, and of which each tie is in one; by their best members.

    Each tie that no set holds yet grows into one that nothing can be added to. (To insert and absorb may take sets
    without number on the way; that letters are such a cover: Gramm et al. 2007.)
    """
    tied = tied | np.eye(len(tied), dtype=np.bool_)
    covered = np.zeros_like(tied)
    found: list[Ranks] = []
    for i in range(len(tied)):
        while len(open_ties := np.flatnonzero(tied[i] & ~covered[i])):
            members = _grown(tied, i, int(open_ties[0]))
            covered[np.ix_(members, members)] = True
            found.append(members)
    return sorted(_swept(found, len(tied)))


def _grown(tied: Flags, i: int, j: int) -> Ranks:
    """i, j and what is tied to all, the nearest in rank first."""
    chosen, free = {i, j}, tied[i] & tied[j]
    for each in np.argsort(np.abs(np.arange(len(tied)) - i), kind="stable"):
        if free[each]:
            chosen.add(int(each))
            free &= tied[each]
    return np.array(sorted(chosen))


def _swept(groups: list[Ranks], count: int) -> list[tuple[int, ...]]:
    """Without the members whose ties are all in other sets too; the last sets first."""
    shared = np.zeros((count, count), dtype=np.int64)
    for members in groups:
        shared[np.ix_(members, members)] += 1
    kept = []
    for group in reversed(groups):
        members = group
        for each in group:
            if (shared[each, members] > 1).all():  # its own place counts its letters
                shared[each, members] -= 1
                shared[members, each] -= 1
                shared[each, each] += 1  # taken off twice
                members = members[members != each]
        if len(members):
            kept.append(tuple(members.tolist()))
    return kept
