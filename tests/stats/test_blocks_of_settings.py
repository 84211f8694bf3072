"""Win rates, regret, ranks and what decides them, by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import fabricate
import numpy as np
import pytest

from kdharness.results.record import Record
from kdharness.stats.blocks import Blocks, Removal, blocks_of, removals
from kdharness.stats.question import Question

KD = Question(("kd", ""))
Scores = Mapping[str, Sequence[float | None]]


def setting(number: int, scores: Scores, **changes: Any) -> list[Record]:
    return fabricate.records_of(scores, dataset=f"d{number}", protocol=f"p{number}", **changes)


def of(*settings: Scores, question: Question = KD) -> tuple[Blocks, ...]:
    records = [record for number, scores in enumerate(settings) for record in setting(number, scores)]
    return blocks_of(fabricate.table_of(records), question)


def by_name(blocks: Blocks, values: Any) -> dict[str, float]:
    return dict(zip(blocks.competitors, map(float, values), strict=True))


FIRST = {"kd": [90.0, 92.0], "at": [91.0, 92.0], "rkd": [89.0, 93.0]}
SECOND = {"kd": [50.0, 52.0], "at": [40.0, 41.0], "rkd": [45.0, 44.0]}


def test_wins_regret_and_best_by_hand() -> None:
    (blocks,) = of(FIRST)
    at, kd, rkd = (blocks.competitors.index(name) for name in ("at", "kd", "rkd"))
    # Seed 0: at, kd, rkd; seed 1: rkd, and kd and at are equal.
    assert blocks.wins[at, kd] == 0.75
    assert blocks.wins[kd, at] == 0.25
    assert blocks.wins[kd, rkd] == blocks.wins[rkd, kd] == 0.5
    assert np.isnan(np.diag(blocks.wins)).all()
    assert by_name(blocks, blocks.win_rate) == {"at": 0.625, "kd": 0.375, "rkd": 0.5}
    assert by_name(blocks, blocks.regret.mean(axis=0)) == {"at": 0.5, "kd": 1.0, "rkd": 1.0}
    assert by_name(blocks, blocks.best) == {"at": 0.5, "kd": 0.0, "rkd": 0.5}


def test_ranks_are_of_means_and_settings_weigh_equally() -> None:
    (blocks,) = of(FIRST, SECOND)
    # Means 91.5, 91, 91: 1, 2.5, 2.5. Means 40.5, 51, 44.5: 3, 1, 2.
    assert by_name(blocks, blocks.mean_ranks) == {"at": 2.0, "kd": 1.75, "rkd": 2.25}
    assert [blocks.competitors[i] for i in blocks.order] == ["kd", "at", "rkd"]


def test_who_decides() -> None:
    (blocks,) = of(FIRST, SECOND)
    # Without the first: kd, rkd, at: one pair turned. Without the second: at, kd, rkd: another one.
    assert removals(blocks, ("first", "second")) == (
        Removal("first", 1, "kd", 1, 3),
        Removal("second", 1, "at", 1, 3),
    )
    assert removals(of(FIRST)[0], ("first",)) == ()


def test_a_dataset_with_several_settings_is_left_out_as_a_whole() -> None:
    records = [*setting(0, FIRST), *setting(1, SECOND), *setting(1, SECOND, scenario="few100")]
    (blocks,) = blocks_of(fabricate.table_of(records), KD)
    assert Removal("all of d1", 2, "at", 2, 3) in removals(blocks, ("a", "b", "c"))


def test_less_is_better_of_a_loss() -> None:
    (blocks,) = of(FIRST, question=Question(("kd", ""), smaller=True))
    assert by_name(blocks, blocks.best) == {"at": 0.5, "kd": 0.5, "rkd": 0.5}
    assert by_name(blocks, blocks.regret.mean(axis=0)) == {"at": 1.0, "kd": 0.5, "rkd": 0.5}


def test_the_seeds_are_those_that_all_share() -> None:
    records = [*setting(0, {"kd": [90.0, 92.0, 94.0], "at": [91.0, 92.0, 93.0]}), *setting(0, {"rkd": [89.0, 93.0]})]
    (blocks,) = blocks_of(fabricate.table_of(records), KD)
    assert blocks.values.shape == (2, 3)


def test_who_is_not_complete_is_left_out_and_named() -> None:
    (blocks,) = of({**FIRST, "broken": [95.0, None]}, {**SECOND, "broken": [60.0, 61.0]})
    assert blocks.competitors == ("at", "kd", "rkd")
    assert blocks.left_out == ("methods left out, for they are not complete in all 2 settings: broken in 1",)


def test_a_setting_of_few_is_left_out_and_said() -> None:
    (blocks,) = of(FIRST, {"kd": [50.0, 51.0]})
    assert len(blocks.settings) == 1
    assert blocks.left_out == ("settings left out, for fewer than half of the methods are complete there: 1 of 2",)


def test_a_regime_has_blocks_of_its_own_that_the_reference_joins() -> None:
    records = [*setting(0, FIRST), *setting(0, {"pate": [80.0, 81.0], "rona": [70.0, 71.0]}, regime="private_data")]
    frame = fabricate.table_of(records)
    found = {blocks.names["regime"]: blocks.competitors for blocks in blocks_of(frame, KD)}
    assert found == {"": ("at", "kd", "rkd"), "private_data": ("kd", "pate", "rona")}
    asked = Question(("kd", ""), chosen=(("pate", ""), ("at", "")))
    (together,) = blocks_of(frame, asked)
    assert together.competitors == ("at", "kd", "pate")


@pytest.mark.parametrize("scores", [{"kd": [90.0], "at": [91.0]}, {"kd": [None], "at": [None], "rkd": [None]}, {}])
def test_nothing_of_fewer_than_three(scores: Scores) -> None:
    assert of(scores) == ()
