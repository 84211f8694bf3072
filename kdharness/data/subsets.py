"""What a scenario makes of a training split: named subsets, the labels training sees, and what stays hidden from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdharness.data.candidates import draw, mislabelled
from kdharness.protocol.private_parts import PrivatePart
from kdharness.protocol.seeds import stream
from kdharness.protocol.subset_sizes import Shares

Indices = NDArray[np.int64]

# What a scenario keeps from methods.
HIDDEN_SUBSETS = ("private", "candidates", "validation", "teacher_validation")


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
    validation: the share that is held out of what the student may see. It has the labels that training would see.
    Teachers have a validation of their own, "teacher_validation": the student's, and as large a share of what teachers
    see beside the student's images.
    """
    shares = Shares.of(scenario, len(targets), validation)
    parts = _KINDS[scenario["kind"]](scenario, targets, num_classes, shares.seen.images)
    held = _held(parts.targets, parts.seen, shares.seen.held)
    rest_held = _held(parts.targets, parts.rest, shares.rest.held)
    seen, rest = np.setdiff1d(parts.seen, held), np.setdiff1d(parts.rest, rest_held)
    drawn = draw(scenario, rest) if scenario.get("candidates") else None
    if drawn is not None:
        rest = np.setdiff1d(rest, drawn.left_out)
    indices = {"train": seen, "teacher": np.union1d(seen, rest) if shares.teacher_sees_rest else seen}
    if "private" in parts.hidden:
        indices |= {"public": seen, "private": rest}
        parts.hidden["private"] = _mask(len(targets), rest)
    indices |= {"validation": held, "teacher_validation": np.union1d(held, rest_held)}
    if drawn is None:
        return Subsets(indices, parts.targets, parts.hidden)
    hidden = {**parts.hidden, "canary": _mask(len(targets), drawn.rows[drawn.canaries])}
    labels = mislabelled(parts.targets, drawn, num_classes, scenario)
    return Subsets({**indices, "candidates": drawn.rows}, labels, hidden)


def _mask(length: int, rows: Indices) -> NDArray[np.bool_]:
    found = np.zeros(length, dtype=bool)
    found[rows] = True
    return found


def private_part(scenario: Mapping[str, Any], indices: Mapping[str, Indices], part: PrivatePart) -> Indices:
    """One of the disjoint parts of the private positions, ascending.

    Positions alone decide, and no label: an image that is another one changes one part, which is what PATE counts on.
    So does a candidate that is a member or not, since all candidates have their place.
    """
    generator = np.random.default_rng(stream("parts", str(scenario["public"]), scenario["seed"]))
    placed = np.union1d(indices["private"], indices.get("candidates", indices["private"]))
    return np.intersect1d(generator.permutation(placed)[part.number - 1 :: part.parts], indices["private"])


@dataclass(frozen=True)
class _Parts:
    """A train split in two, before validation is held out of it.

    seen: positions that the student may see.
    rest: the others.
    targets, hidden: as in Subsets.
    """

    seen: Indices
    rest: Indices
    targets: NDArray[np.int64]
    hidden: dict[str, NDArray[Any]]


def _all(targets: NDArray[np.int64]) -> Indices:
    return np.arange(len(targets), dtype=np.int64)


def _held(targets: NDArray[np.int64], among: Indices, count: int) -> Indices:
    """Of each class, as training sees it, in proportion."""
    return proportional(targets, among, count, stream("validation", 0)) if count else among[:0]


def _clean(scenario: Mapping[str, Any], targets: NDArray[np.int64], num_classes: int, count: int) -> _Parts:
    everything = _all(targets)
    return _Parts(everything, everything[:0], targets, {})


def _few(scenario: Mapping[str, Any], targets: NDArray[np.int64], num_classes: int, count: int) -> _Parts:
    """Few labelled images: the student's alone, or the teachers' too."""
    everything = _all(targets)
    chosen = stratified(targets, everything, count, stream("few", scenario["images"], scenario["seed"]))
    return _Parts(chosen, np.setdiff1d(everything, chosen), targets, {})


def _noise(scenario: Mapping[str, Any], targets: NDArray[np.int64], num_classes: int, count: int) -> _Parts:
    """A share of the labels is wrong, for teacher and student alike.

    symmetric: another class uniformly; asymmetric: the next class.
    """
    everything = _all(targets)
    generator = np.random.default_rng(stream("noise", scenario["type"], str(scenario["ratio"]), scenario["seed"]))
    corrupted = np.zeros(len(targets), dtype=bool)
    corrupted[generator.permutation(everything)[: round(scenario["ratio"] * len(everything))]] = True
    step = generator.integers(1, num_classes, len(targets)) if scenario["type"] == "symmetric" else 1
    noisy = np.where(corrupted, (targets + step) % num_classes, targets).astype(np.int64)
    return _Parts(everything, everything[:0], noisy, {"clean_targets": targets, "corrupted": corrupted})


def _split(scenario: Mapping[str, Any], targets: NDArray[np.int64], num_classes: int, count: int) -> _Parts:
    """Students see the public part; teachers see all of it, or the public part when a method asks for that."""
    everything = _all(targets)
    public = proportional(targets, everything, count, stream("split", str(scenario["public"]), scenario["seed"]))
    private = np.setdiff1d(everything, public)
    return _Parts(public, private, targets, {"private": _mask(len(targets), private)})


_KINDS = {"clean": _clean, "few": _few, "small": _few, "noise": _noise, "split": _split}
