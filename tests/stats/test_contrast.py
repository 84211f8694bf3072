"""Methods against a reference: gains, tests, verdicts, costs, setting by setting and over settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import fabricate
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from kdharness.results.record import Record
from kdharness.stats.contrast import CONTRAST_COLUMNS, contrasted, contrasts, judged, mean_of, pareto, table_of
from kdharness.stats.contrast_means import MEAN_COLUMNS, mean_contrasts
from kdharness.stats.question import Question
from kdharness.stats.settings import as_dicts, competitor_of
from kdharness.stats.summary import estimate

KD = Question(("kd", ""), equal_within=0.2)
Scores = Mapping[str, Sequence[float | None]]


def compared(scores: Scores, question: Question = KD, **changes: Any) -> dict[str, dict[str, Any]]:
    return by_name(contrasts(fabricate.scores_table(scores, **changes), question))


def by_name(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {competitor_of(row): row for row in as_dicts(frame)}


def test_numbers_by_hand() -> None:
    row = compared({"kd": [90.0, 91.0, 92.0], "at": [91.0, 93.0, 92.0]})["at"]
    # Differences 1, 2, 0: mean 1, sd 1, t = 1 / (1 / sqrt 3) = 1.732 with 2 degrees of freedom: p 0.2254.
    assert (row["n"], row["gain"], row["sd"], row["p"], row["tests"]) == (3, 1.0, 1.0, 0.5, 1)
    assert row["ci_low"] == pytest.approx(1 - 2.484138, abs=1e-6)
    assert row["t_p"] == row["t_p_holm"] == pytest.approx(0.225403, abs=1e-6)
    # (0.2 - 1) / 0.57735 = -1.385641: the tail above it is 0.85.
    assert row["equal_p"] == pytest.approx(0.849927, abs=1e-6)
    assert (row["verdict"], row["mean"], row["complete"]) == ("undecided", 92.0, True)


def test_columns_and_the_reference_s_own_row() -> None:
    frame = contrasts(fabricate.scores_table({"kd": [90.0, 91.0, 92.0], "at": [91.0, 93.0, 92.0]}), KD)
    assert tuple(frame.columns) == CONTRAST_COLUMNS
    own = by_name(frame)["kd"]
    assert (own["method"], own["n"], own["verdict"], own["cost_ratio"]) == ("kd", 3, "", 1.0)
    assert math.isnan(own["gain"])
    assert pd.isna(own["tests"])


def test_any_variant_may_be_the_reference() -> None:
    question = Question(("kd", "temperature=2"))
    frame = compared({"kd": [90.0, 91.0], "kd[temperature=2]": [89.0, 91.0]}, question)
    assert frame["kd"]["gain"] == 0.5
    assert frame["kd[temperature=2]"]["reference"]


def test_less_is_better_of_a_loss() -> None:
    records = []
    for record in fabricate.records_of({"kd": [1.0, 2.0, 3.0], "at": [1.0, 2.0, 3.0]}):
        loss = 0.5 if record.cell.method == "kd" else 0.4 + 0.01 * record.cell.seed
        records.append(replace(record, values={**record.values, "nll": loss}))
    question = Question(("kd", ""), "nll", "nll", smaller=True, points=False)
    row = by_name(contrasts(fabricate.table_of(records), question))["at"]
    assert row["gain"] == pytest.approx(0.09)
    assert (row["verdict"], row["smaller"], row["mean"]) == ("better", True, pytest.approx(0.41))
    assert math.isnan(row["equal_p"])
    assert math.isnan(row["gap_share"])


def test_only_what_is_chosen_is_corrected_over() -> None:
    scores = {"kd": [90.0, 91.0, 92.0], "at": [91.0, 93.0, 92.0], "rkd": [91.5, 92.0, 93.5]}
    both = compared(scores)
    assert (both["at"]["tests"], both["rkd"]["tests"]) == (2, 2)
    few = compared(scores, Question(("kd", ""), chosen=(("rkd", ""),)))
    assert list(few) == ["kd", "rkd"]
    assert few["rkd"]["t_p_holm"] == few["rkd"]["t_p"]


def test_a_family_is_all_settings_of_a_track() -> None:
    scores = {"kd": [90.0, 91.0, 92.0], "at": [91.0, 93.0, 92.0]}
    records = [*fabricate.records_of(scores), *fabricate.records_of(scores, dataset="cifar", protocol="p2")]
    frame = contrasts(fabricate.table_of(records), KD)
    assert frame.loc[frame["method"] == "at", "tests"].to_list() == [2, 2]
    assert frame.loc[frame["method"] == "at", "t_p_holm"].to_numpy() == pytest.approx([0.450807] * 2, abs=1e-6)


def test_what_deviates_is_a_family_of_its_own() -> None:
    scores = {"kd": [90.0, 91.0, 92.0], "at": [91.0, 93.0, 92.0]}
    other = fabricate.records_of(scores, deviations="epochs=3", protocol="p2")
    frame = contrasts(fabricate.table_of([*fabricate.records_of(scores), *other]), KD)
    assert frame["deviations"].to_list() == ["", "", "epochs=3", "epochs=3"]
    assert set(frame["tests"].dropna()) == {1}


def test_failed_seeds_are_left_out_and_counted() -> None:
    frame = compared({"kd": [90.0, 91.0, 92.0], "at": [91.0, None, 93.0], "broken": [None] * 3})
    row = frame["at"]
    assert (row["n"], row["planned"], row["complete"], row["seeds"]) == (2, 3, False, "0,2")
    assert (frame["broken"]["n"], frame["broken"]["verdict"]) == (0, "")


def test_no_row_without_the_reference() -> None:
    assert not compared({"at": [90.0], "rkd": [91.0]})
    assert not compared({"kd": [None, None], "at": [90.0, 91.0]})
    assert contrasts(fabricate.table_of([]), KD).empty


# -- verdicts ----------------------------------------------------------------------------------------------------------


def test_practically_equal_needs_the_equivalence_test() -> None:
    rng = np.random.default_rng(0)
    near = (0.02 * rng.standard_normal(8)).tolist()
    apart = (1.0 + 0.1 * rng.standard_normal(8)).tolist()
    wide = (2.0 * rng.standard_normal(8)).tolist()
    rows = judged([near, apart, wide, [0.1, 0.0], [0.0] * 8, []], 0.2)
    assert [row["verdict"] for row in rows] == [
        "practically equal", "better", "undecided", "undecided", "practically equal", "",
    ]  # fmt: skip
    assert rows[0]["equal_p_holm"] == pytest.approx(4 * rows[0]["equal_p"])  # of four, the smallest
    assert judged([near], 0.0)[0]["verdict"] == "undecided"


def test_a_difference_may_be_real_and_too_small_to_matter() -> None:
    small = [0.10, 0.11, 0.09, 0.10, 0.105]
    row = judged([small], 0.2)[0]
    assert row["t_p_holm"] < 0.05
    assert row["verdict"] == "practically equal"
    assert judged([small], 0.01)[0]["verdict"] == "better"


def test_equal_steps_have_no_spread_to_judge_by() -> None:
    beyond, within, long = judged([[0.5, 0.5, 0.5], [0.0] * 3, [0.1] * 8], 0.2)
    assert [row["verdict"] for row in (beyond, within, long)] == ["undecided", "undecided", "practically equal"]
    assert [row["t_p_holm"] for row in (beyond, within, long)] == [1.0, 1.0, 1.0]
    assert [row["equal_p"] for row in (beyond, within, long)] == [1.0, 0.125, 2**-8]
    assert pd.isna(beyond["seeds_needed"])
    assert 3 + within["seeds_needed"] == 6  # 2^-6 is the first below 0.05 / 3


def test_equal_steps_are_rarely_called_equal_where_methods_are_not() -> None:
    """A test set of 100 images, on which few answers differ: three seeds may well agree by chance."""
    generator = np.random.default_rng(0)
    false = 0
    for _ in range(200):
        gained, lost = (generator.binomial(100, p, size=(20, 3)) for p in (0.0125, 0.0075))
        rows = judged((gained - lost).astype(float).tolist(), 0.2)
        false += any(row["verdict"] == "practically equal" for row in rows)
    assert false / 200 <= 0.05


def test_a_mean_is_that_of_the_leaderboard_to_the_last_bit() -> None:
    values = dict(enumerate([72.3, 73.1, 74.2, 71.7, 73.0, 72.6, 73.9, 73.0]))
    assert mean_of(values) == estimate([*values.values()]).mean == float(np.mean([*values.values()]))


@pytest.mark.parametrize("values", [[0.4, -0.2, 0.9, 0.3, 0.1], [0.05, -0.3, 0.25, 0.02, 0.1], [-0.6, 0.1, -0.4, -0.2]])
def test_so_many_more_seeds_would_settle_it(values: list[float]) -> None:
    """If mean and spread stayed as they are: with as many seeds it is settled, with one fewer it is not."""
    row = judged([values], 0.2)[0]
    assert row["verdict"] == "undecided"
    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))

    def is_settled(n: int) -> bool:
        error = sd / math.sqrt(n)
        clear = 2 * stats.t.sf(abs(mean) / error, n - 1) < 0.05
        return bool(clear or stats.t.sf((0.2 - abs(mean)) / error, n - 1) <= 0.05)

    n = len(values) + row["seeds_needed"]
    assert is_settled(n)
    assert n - 1 == len(values) or not is_settled(n - 1)


# -- costs -------------------------------------------------------------------------------------------------------------


def test_costs_and_who_is_unbeaten() -> None:
    seconds = {"kd": 2.0, "at": 3.0, "rkd": 4.0}
    records = []
    for record in fabricate.records_of({"kd": [90.0, 90.0], "at": [91.0, 91.0], "rkd": [90.5, 90.5]}):
        values = {**record.values, "alone_seconds": seconds[record.cell.method]}
        records.append(replace(record, values=values))
    frame = by_name(contrasts(fabricate.table_of(records), KD))
    assert {name: row["cost_seconds"] for name, row in frame.items()} == seconds
    assert frame["at"]["cost_ratio"] == 1.5
    assert {name for name, row in frame.items() if row["pareto"]} == {"at", "kd"}


def test_who_beats_whom() -> None:
    points = {"cheap": (1.0, 1.0), "good": (2.0, 2.0), "as good": (2.0, 2.0), "dear": (2.0, 3.0), "?": (9.0, math.nan)}
    best = pareto({(name, ""): point for name, point in points.items()})
    assert {name for name, _ in best} == {"cheap", "good", "as good"}


def test_share_of_the_gap() -> None:
    """Teachers at 97, vanilla at 92: kd at 94 has 2 of 5 points."""
    frame = compared({"vanilla": [92.0, 92.0], "kd": [94.0, 94.0], "at": [98.0, 98.0]})
    assert frame["kd"]["gap_share"] == pytest.approx(0.4)
    assert frame["at"]["gap_share"] == pytest.approx(1.2)
    assert math.isnan(frame["vanilla"]["gap_share"])
    tiny = compared({"vanilla": [96.5, 96.5], "kd": [96.9, 96.9]})
    assert all(math.isnan(row["gap_share"]) for row in tiny.values())


# -- over settings -----------------------------------------------------------------------------------------------------


def means(records: Sequence[Record], question: Question = KD) -> pd.DataFrame:
    each = contrasted(fabricate.table_of(records), question)
    return mean_contrasts(each, table_of(each, question), question)


def test_gains_are_averaged_seed_by_seed() -> None:
    one = fabricate.records_of({"kd": [90.0, 91.0, 92.0], "at": [91.0, 92.0, 93.5]})
    two = fabricate.records_of({"kd": [50.0, 51.0, 52.0], "at": [52.0, 54.0, 53.0]}, dataset="cifar", protocol="p2")
    frame = means([*one, *two])
    assert tuple(frame.columns) == MEAN_COLUMNS
    row = frame.iloc[0]
    # Gains 1, 1, 1.5 and 2, 3, 1: means 1.5, 2, 1.25 with mean 1.583333 and sd 0.381881.
    assert (row["method"], row["settings"], row["settings_planned"], row["n"]) == ("at", 2, 2, 3)
    assert row["gain"] == pytest.approx(1.583333, abs=1e-6)
    assert row["sd"] == pytest.approx(0.381881, abs=1e-6)
    assert (row["better"], row["undecided"]) == (1, 1)


def test_a_setting_counts_where_the_method_is_complete() -> None:
    one = fabricate.records_of({"kd": [90.0, 91.0, 92.0], "at": [91.0, 92.0, 93.5]})
    two = fabricate.records_of({"kd": [50.0, 51.0, 52.0], "at": [52.0, None, 53.0]}, dataset="cifar", protocol="p2")
    row = means([*one, *two]).iloc[0]
    assert (row["settings"], row["settings_planned"], row["n"]) == (1, 2, 0)
    assert math.isnan(row["gain"])


def test_one_setting_has_no_mean() -> None:
    assert means(fabricate.records_of({"kd": [90.0], "at": [91.0]})).empty
