"""What a scenario makes of a training split: named subsets, the labels training sees, and what stays hidden from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdharness.protocol.seeds import stream

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Subsets:
    """A train split under a scenario.

    indices: positions in the split, ascending, by subset name ("train", "teacher", ...).
    targets: int64 [N], labels as training sees them.
    hidden: arrays over the split for metrics alone, by name.
    """

    indices: Mapping[str, Indices]
    targets: NDArray[np.int64]
    hidden: Mapping[str, NDArray[Any]]


def stratified(targets: NDArray[np.int64], among: Indices, count: int, seed: int) -> Indices:
    """`count` positions out of `among`, as many of each class as its size allows, ascending.

    Classes get equal shares first; what is left over goes to classes in a seeded order.
    """
    generator = np.random.default_rng(seed)
    pools = _pools(targets, among, generator)
    order = generator.permutation(len(pools))
    taken = [0] * len(pools)
    left = min(count, len(among))
    while left:
        for k in order:
            if left and taken[k] < len(pools[k]):
                taken[k] += 1
                left -= 1
    return _first(pools, taken)


def proportional(targets: NDArray[np.int64], among: Indices, count: int, seed: int) -> Indices:
    """`count` positions out of `among`, of each class in proportion to its size, ascending.

    Shares are rounded down; what is left over goes to the classes with the largest remainders.
    """
    generator = np.random.default_rng(seed)
    pools = _pools(targets, among, generator)
    sizes = np.array([len(pool) for pool in pools])
    taken, remainders = np.divmod(sizes * count, len(among))
    taken[np.argsort(-remainders, kind="stable")[: count - taken.sum()]] += 1
    return _first(pools, taken.tolist())


def _pools(targets: NDArray[np.int64], among: Indices, generator: np.random.Generator) -> list[Indices]:
    """The positions of each class, in random order."""
    return [generator.permutation(among[targets[among] == c]) for c in np.unique(targets[among])]


def _first(pools: Sequence[Indices], taken: Sequence[int]) -> Indices:
    return np.sort(np.concatenate([pool[:n] for pool, n in zip(pools, taken, strict=True)])).astype(np.int64)


def apply(scenario: Mapping[str, Any], targets: NDArray[np.int64], num_classes: int, validation: float) -> Subsets:
    """The subsets of one scenario.

    scenario: its definition, as in a cell's document.
    validation: the share that is held out of all subsets.
    """
    everything = np.arange(len(targets), dtype=np.int64)
    held: Indices = everything[:0]
    if validation:
        held = proportional(targets, everything, round(validation * len(targets)), stream("validation", 0))
        everything = np.setdiff1d(everything, held)
    subsets = _KINDS[scenario["kind"]](scenario, targets, everything, num_classes)
    return Subsets({**subsets.indices, "validation": held}, subsets.targets, subsets.hidden)


def _clean(scenario: Mapping[str, Any], targets: NDArray[np.int64], among: Indices, num_classes: int) -> Subsets:
    return Subsets({"train": among, "teacher": among}, targets, {})


def _few(scenario: Mapping[str, Any], targets: NDArray[np.int64], among: Indices, num_classes: int) -> Subsets:
    """The student sees few labelled images, the teacher all."""
    chosen = stratified(targets, among, scenario["images"], stream("few", scenario["images"], scenario["seed"]))
    return Subsets({"train": chosen, "teacher": among}, targets, {})


def _small(scenario: Mapping[str, Any], targets: NDArray[np.int64], among: Indices, num_classes: int) -> Subsets:
    """Teachers and student see the same few labelled images."""
    few = _few(scenario, targets, among, num_classes)
    return Subsets({**few.indices, "teacher": few.indices["train"]}, targets, {})


def _noise(scenario: Mapping[str, Any], targets: NDArray[np.int64], among: Indices, num_classes: int) -> Subsets:
    """A share of the labels is wrong, for teacher and student alike.

    symmetric: another class uniformly; asymmetric: the next class.
    """
    generator = np.random.default_rng(stream("noise", scenario["type"], str(scenario["ratio"]), scenario["seed"]))
    corrupted = np.zeros(len(targets), dtype=bool)
    corrupted[generator.permutation(among)[: round(scenario["ratio"] * len(among))]] = True
    step = generator.integers(1, num_classes, len(targets)) if scenario["type"] == "symmetric" else 1
    noisy = np.where(corrupted, (targets + step) % num_classes, targets).astype(np.int64)
    return Subsets({"train": among, "teacher": among}, noisy, {"clean_targets": targets, "corrupted": corrupted})


def _split(scenario: Mapping[str, Any], targets: NDArray[np.int64], among: Indices, num_classes: int) -> Subsets:
    """Students see the public part; teachers see all of it, or the public part when a method asks for that."""
    count = round(scenario["public"] * len(among))
    public = proportional(targets, among, count, stream("split", str(scenario["public"]), scenario["seed"]))
    private = np.setdiff1d(among, public)
    member = np.zeros(len(targets), dtype=bool)
    member[private] = True
    return Subsets(
        {"train": public, "public": public, "private": private, "teacher": among}, targets, {"private": member}
    )


_KINDS = {"clean": _clean, "few": _few, "small": _small, "noise": _noise, "split": _split}
