"""Private images whose membership is a coin: who is one, who learns them, and what stays the same in every draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kdharness.data.subsets import HIDDEN_SUBSETS, Subsets, apply
from kdharness.planning.neutral import model_part
from kdharness.planning.seeding import Seeding
from kdharness.protocol.coins import coins
from kdharness.protocol.scenario import Split
from kdharness.protocol.subset_sizes import subset_sizes

TARGETS = np.tile(np.arange(10), 40).astype(np.int64)
PLAIN = {"kind": "split", "public": 0.5, "seed": 0}
AUDIT = {**PLAIN, "candidates": 0.4, "canaries": 12}


def drawn(**changes: Any) -> Subsets:
    return apply({**AUDIT, **changes}, TARGETS, 10, 0.0)


def test_members_are_taught_and_the_others_are_nobodys() -> None:
    found = drawn()
    indices = {name: set(rows.tolist()) for name, rows in found.indices.items()}
    assert len(indices["candidates"]) == 80
    members = indices["candidates"] & indices["private"]
    others = indices["candidates"] - members
    assert 20 < len(members) < 60
    assert indices["teacher"] == set(range(400)) - others
    assert indices["train"] == indices["public"] == set(apply(PLAIN, TARGETS, 10, 0.0).indices["public"].tolist())
    assert set(np.flatnonzero(found.hidden["private"])) == indices["private"] == indices["teacher"] - indices["public"]


def test_canaries_have_another_label_whoever_learns_them() -> None:
    first, second = drawn(coin=0), drawn(coin=1)
    canaries = np.flatnonzero(first.hidden["canary"])
    assert len(canaries) == 12
    assert set(canaries) <= set(first.indices["candidates"])
    assert np.flatnonzero(first.targets != TARGETS).tolist() == canaries.tolist()
    assert (first.targets == second.targets).all()
    assert (first.hidden["canary"] == second.hidden["canary"]).all()


def test_a_coin_moves_members_alone() -> None:
    first, second = drawn(coin=0), drawn(coin=1)
    for name in ("train", "public", "candidates", "validation"):
        assert (first.indices[name] == second.indices[name]).all(), name
    assert not np.array_equal(first.indices["private"], second.indices["private"])
    assert not np.array_equal(first.indices["candidates"], drawn(seed=1).indices["candidates"])


def test_coins_are_fair_and_independent() -> None:
    """Of 400 draws of 50 coins: each image and each pair is within five standard deviations of chance."""
    tossed = np.array([coins({"seed": 0, "coin": coin, "candidates": 1.0}, 50) for coin in range(400)], dtype=float)
    assert np.abs(tossed.mean(axis=0) - 0.5).max() < 5 * 0.5 / 20
    correlations = np.corrcoef(tossed.T) - np.eye(50)
    assert np.abs(correlations).max() < 5 / 20
    assert np.std(tossed.sum(axis=1)) == pytest.approx(np.sqrt(50) / 2, rel=0.2), "not a half each time"


@pytest.mark.parametrize("validation", [0.0, 0.2])
@pytest.mark.parametrize("candidates", [0.013, 0.4, 1.0])
def test_sizes_are_known_before_labels_are(validation: float, candidates: float) -> None:
    scenario = {**AUDIT, "candidates": candidates, "coin": 3}
    indices = apply(scenario, TARGETS, 10, validation).indices
    planned = subset_sizes(scenario, len(TARGETS), validation)
    assert planned == {name: len(rows) for name, rows in indices.items() if name not in HIDDEN_SUBSETS}
    assert not set(indices["candidates"]) & set(indices["teacher_validation"])


def test_more_canaries_than_candidates_are_all_of_them() -> None:
    assert drawn(canaries=1000).hidden["canary"].sum() == 80


def test_the_coin_alone_is_paired_with_the_student_seed() -> None:
    paired = Seeding(scenarios="paired")
    audit = Split(kind="split", candidates=0.5, seed=7, coin=2)
    assert paired.of_scenario(audit, 3) == Split(kind="split", candidates=0.5, seed=7, coin=5)
    assert paired.of_scenario(Split(kind="split", seed=7), 3) == Split(kind="split", seed=10)


def test_no_key_moves_by_it() -> None:
    assert model_part(Split(kind="split")) == {"kind": "split", "public": 0.8, "seed": 0}
    assert model_part(Split(kind="split", candidates=0.5))["candidates"] == 0.5


@pytest.mark.parametrize("field", ["canaries", "coin"])
def test_it_means_nothing_without_candidates(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field} means nothing without candidates"):
        Split(kind="split", **{field: 1})
