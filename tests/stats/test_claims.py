"""Claims: differences and answers computed by hand, and why some are not measured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import fabricate
import pandas as pd
import pytest
from scipy import stats

from kdharness.planning.cell import TeacherSource
from kdharness.protocol.claim import Claim
from kdharness.results.table import METRICS_COLUMNS
from kdharness.stats.claims import CLAIM_COLUMNS, judge

SCORES: dict[str, list[float | None]] = {
    "vanilla": [88.0, 88.5, 87.9, 88.2, 88.4],
    "kd": [91.0, 91.4, 90.9, 91.3, 91.2],  # over vanilla: 3.0, 2.9, 3.0, 3.1, 2.8
    "near": [91.1, 91.4, 90.8, 91.3, 91.3],  # over kd: 0.1, 0, -0.1, 0, 0.1
    "wild": [95.0, 90.0, 94.0, 89.0, 91.0],
    "broken": [None] * 5,
}


def claim(better: str = "kd", than: str = "vanilla", **changes: Any) -> Claim:
    """Settled as a plan would."""
    usual = {"text": "A is better", "smaller": False, "equal_within": 0.2 if not changes.get("at_least") else 0.0}
    return Claim(better=better, than=than, **{**usual, **changes})


def answer(
    about: Claim,
    scores: Mapping[str, Sequence[float | None]] = SCORES,
    metrics: Sequence[tuple[str, str, str, str, float]] = (),
) -> dict[str, Any]:
    judged = judge([about], fabricate.scores_table(scores), pd.DataFrame(metrics, columns=list(METRICS_COLUMNS)))
    assert judged.columns.to_list() == list(CLAIM_COLUMNS)
    assert len(judged) == 1
    return judged.iloc[0].to_dict()


def test_a_claim_that_holds() -> None:
    found = answer(claim())
    assert found["answer"] == "holds"
    assert found["difference"] == pytest.approx(2.96)
    sd = math.sqrt((0.04**2 + 0.06**2 + 0.04**2 + 0.14**2 + 0.16**2) / 4)
    half = 2.7764451 * sd / math.sqrt(5)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((2.96 - half, 2.96 + half))
    assert found["p"] == pytest.approx(2 / 32)
    assert (found["n"], found["seeds"]) == (5, "0-4")
    assert pd.isna(found["seeds_needed"])


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        (claim("vanilla", "kd"), "does not hold"),
        (claim(at_least=2.5), "holds"),
        (claim(at_least=3.0), "undecided"),
        (claim(at_least=4.0), "does not hold"),
        (claim("wild", "kd"), "undecided"),
        (claim("near", "kd"), "does not hold"),  # the interval of the difference lies within 0.2 points
        (claim("near", "kd", at_least=-0.2), "holds"),  # no worse by more than 0.2
        (claim("near", "kd", equal_within=0.0), "undecided"),
    ],
)
def test_answers(about: Claim, expected: str) -> None:
    assert answer(about)["answer"] == expected


def test_equal_says_so_and_undecided_says_how_many_more() -> None:
    assert answer(claim("near", "kd"))["reason"] == "practically equal: the difference is within ± 0.2"
    found = answer(claim("wild", "kd"))
    assert found["seeds_needed"] > 1


def test_a_row_says_what_was_claimed() -> None:
    rows = predictor_rows("kd", "nll", [0.1] * 5, SCORES)
    about = claim(
        "kd", "kd", paper="Hinton 2014", metric="top1", than_metric="nll", than_predictor="exit2", at_least=1.0
    )
    found = answer(about, metrics=rows)
    assert {name: found[name] for name in CLAIM_COLUMNS[CLAIM_COLUMNS.index("claim") : CLAIM_COLUMNS.index("n")]} == {
        "claim": "A is better", "paper": "Hinton 2014", "better": "kd", "predictor": "", "metric": "top1", "than": "kd",
        "than_predictor": "exit2", "than_metric": "nll", "smaller": False, "at_least": 1.0,
    }  # fmt: skip
    assert answer(claim(predictor="exit2", metric="nll"), metrics=rows)["predictor"] == "exit2"
    assert answer(claim())["than_metric"] == "top1"


def test_two_seeds_decide_nothing() -> None:
    found = answer(claim(), {"vanilla": [88.0, 88.1], "kd": [95.0, 95.2]})
    assert (found["answer"], found["n"], found["seeds_needed"]) == ("undecided", 2, 1)
    assert math.isnan(found["ci_low"])


def test_only_seeds_that_both_have_enter() -> None:
    found = answer(claim(), {"vanilla": [88.0, 88.0, 88.0, None, 10.0], "kd": [90.0, 90.1, 90.2, 99.0]})
    assert (found["seeds"], found["difference"]) == ("0-2", pytest.approx(2.1))


def predictor_rows(
    name: str, metric: str, values: Sequence[float], scores: Mapping[str, Sequence[float | None]]
) -> Any:
    frame = fabricate.scores_table(scores)
    cells = frame[frame["method"] == name].sort_values("seed")["cell"]
    return [(cell, "exit2", "test", metric, value) for cell, value in zip(cells, values, strict=True)]


def test_a_claim_on_an_output() -> None:
    rows = predictor_rows("kd", "top1", [89.0, 89.4, 89.0, 89.1, 89.5], SCORES)  # over vanilla: 1, .9, 1.1, .9, 1.1
    found = answer(claim(predictor="exit2"), metrics=rows)
    assert (found["answer"], found["difference"]) == ("holds", pytest.approx(1.0))
    within = answer(claim("kd", "kd", than_predictor="exit2"), metrics=rows)
    assert (within["answer"], within["difference"]) == ("holds", pytest.approx(1.96))


def test_an_output_on_several_splits_counts_on_test() -> None:
    rows = predictor_rows("kd", "top1", [89.0, 89.4, 89.0, 89.1, 89.5], SCORES)
    other = [(cell, name, "train", metric, 0.0) for cell, name, _, metric, _ in rows]
    assert answer(claim(predictor="exit2"), metrics=[*rows, *other])["difference"] == pytest.approx(1.0)


def test_operations_are_counted_not_sampled() -> None:
    scores = {"kd": [91.0], "vanilla": [88.0]}
    rows = [*predictor_rows("kd", "macs", [100.0], scores), *predictor_rows("vanilla", "macs", [310.0], scores)]
    about = claim(metric="macs", predictor="exit2", than_predictor="exit2", smaller=True, equal_within=0.0)
    found = answer(about, scores, rows)
    assert (found["answer"], found["difference"]) == ("holds", 210.0)


def test_less_can_be_better() -> None:
    frame = fabricate.scores_table(SCORES)
    frame["nll"] = frame["top1"].map(lambda top1: 1 - top1 / 100)
    empty = pd.DataFrame(columns=list(METRICS_COLUMNS))
    (row,) = judge([claim(metric="nll", smaller=True, equal_within=0.0)], frame, empty).to_dict("records")
    assert (row["answer"], row["difference"]) == ("holds", pytest.approx(0.0296))


def test_another_metric_of_the_other() -> None:
    found = answer(claim("kd", "kd", than_metric="teacher_top1"))  # teachers reach 97
    assert (found["answer"], found["difference"]) == ("does not hold", pytest.approx(91.16 - 97))


def test_an_x_column_by_its_short_name() -> None:
    frame = fabricate.scores_table(SCORES).assign(x_recovery=lambda f: f["top1"] / 2)
    (row,) = judge([claim(metric="recovery")], frame, pd.DataFrame(columns=list(METRICS_COLUMNS))).to_dict("records")
    assert (row["answer"], row["difference"]) == ("holds", pytest.approx(1.48))


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        (claim("broken", "kd"), "broken: 5 failed"),
        (claim("byot", "kd"), "byot was not planned"),
        (claim("kd[temperature=2]", "kd"), "kd[temperature=2] was not planned"),
        (claim(scenario="noise40"), "no setting of scenario noise40 has both"),
        (claim(dataset="mnist", pair="a:b"), "no setting of dataset mnist, pair a:b has both"),
        (claim(metric="sharpness"), "kd has no sharpness"),
        (claim(predictor="exit7"), "kd has no top1 of its output 'exit7'"),
    ],
)
def test_not_measured_says_why(about: Claim, reason: str) -> None:
    found = answer(about)
    assert (found["answer"], found["reason"], found["n"]) == ("not measured", reason, 0)
    assert math.isnan(found["difference"])


def test_no_seed_in_common() -> None:
    found = answer(claim(), {"vanilla": [88.0, None], "kd": [None, 91.0]})
    assert found["reason"] == "they have no seed in common"


def test_one_answer_per_setting_and_a_filter_for_one() -> None:
    records = [r for pair in ("conv32", "conv64") for r in fabricate.records_of(SCORES, teacher=pair)]
    frame, empty = fabricate.table_of(records), pd.DataFrame(columns=list(METRICS_COLUMNS))
    assert judge([claim()], frame, empty)["teacher"].to_list() == ["conv32", "conv64"]
    assert judge([claim(pair="conv64:conv16")], frame, empty)["teacher"].to_list() == ["conv64"]


def test_what_deviates_comes_last_and_says_so() -> None:
    short = fabricate.records_of(SCORES, deviations="recipe.epochs=2", protocol="p0")
    frame = fabricate.table_of([*short, *fabricate.records_of(SCORES)])
    judged = judge([claim()], frame, pd.DataFrame(columns=list(METRICS_COLUMNS)))
    assert judged["deviations"].to_list() == ["", "recipe.epochs=2"]


# -- corrected together -----------------------------------------------------------------------------------------------

CROWD: dict[str, list[float | None]] = {
    **SCORES,
    "slight": [91.5, 91.6, 91.7, 91.5, 91.6],  # over kd: 0.5, 0.2, 0.8, 0.2, 0.4: p 0.019 by itself
}


def judged(claims: Sequence[Claim], frame: pd.DataFrame | None = None) -> pd.DataFrame:
    frame = fabricate.scores_table(CROWD) if frame is None else frame
    return judge(claims, frame, pd.DataFrame(columns=list(METRICS_COLUMNS)))


def test_what_holds_by_itself_only_is_undecided_among_many_and_says_so() -> None:
    slight, others = claim("slight", "kd"), [claim("wild", name) for name in ("vanilla", "near", "slight")]
    (alone,) = judged([slight]).to_dict("records")
    assert (alone["answer"], alone["tests"], alone["reason"]) == ("holds", 1, "")
    assert alone["t_p_holm"] == pytest.approx(stats.ttest_1samp([0.5, 0.2, 0.8, 0.2, 0.4], 0).pvalue)
    found = judged([slight, *others]).to_dict("records")
    p = alone["t_p_holm"]
    # It is the smallest of four.
    assert found[0]["t_p_holm"] == pytest.approx(4 * p)
    assert {row["tests"] for row in found} == {4}
    assert found[0]["answer"] == "undecided"
    assert found[0]["reason"] == f"would hold by itself (p {p:.2g}), not among 4 tests"
    assert (found[0]["ci_low"], found[0]["ci_high"]) == (alone["ci_low"], alone["ci_high"])
    assert found[0]["seeds_needed"] > 0
    assert (found[0]["p"], found[0]["p_holm"]) == (pytest.approx(2 / 32), pytest.approx(8 / 32))


def test_holm_is_over_claims_and_settings_and_never_over_what_is_no_test() -> None:
    few = [r for r in fabricate.records_of(CROWD, scenario="few100") if r.cell.seed < 2]
    settings = [*fabricate.records_of(CROWD), *fabricate.records_of(CROWD, scenario="noise40"), *few]
    claims = [claim(), claim("slight", "kd"), claim("broken", "kd"), claim("kd", "vanilla", metric="student_macs")]
    frame = fabricate.table_of(settings)
    # Fewer operations, the same for every seed: counted.
    frame.loc[frame["method"] == "kd", "student_macs"] -= 10
    found = judged(claims, frame)
    tested = found[found["tests"].notna()]
    assert set(tested["tests"]) == {4}
    assert set(zip(tested["claim"], tested["scenario"], tested["better"], strict=True)) == {
        ("A is better", scenario, name) for scenario in ("clean", "noise40") for name in ("kd", "slight")
    }
    ps = [
        stats.ttest_1samp([3.0, 2.9, 3.0, 3.1, 2.8], 0).pvalue,
        stats.ttest_1samp([0.5, 0.2, 0.8, 0.2, 0.4], 0).pvalue,
    ]
    assert sorted(tested["t_p_holm"]) == pytest.approx([4 * ps[0], 4 * ps[0], 2 * ps[1], 2 * ps[1]])
    counted = found[found["metric"] == "student_macs"]
    assert set(counted["reason"]) == {"counted, the same for every seed"}
    assert counted[["p", "p_holm", "t_p_holm"]].isna().all(axis=None)


def test_no_difference_needs_its_interval_at_the_corrected_level() -> None:
    near, others = claim("near", "kd"), [claim("wild", name) for name in ("vanilla", "near", "kd")]
    assert judged([near])["reason"][0] == "practically equal: the difference is within ± 0.2"
    # 0.02 ± 0.104 at 95 %; among 4 tests the half is 4.31 standard errors, 0.161: still within. Among 80 it is not.
    row = judged([near, *others]).iloc[0]
    assert row["answer"] == "does not hold"
    many = judged([near, *[claim("wild", "kd", text=str(i)) for i in range(79)]]).iloc[0]
    assert (many["answer"], many["reason"]) == ("undecided", "within ± 0.2 by itself, not among 80 tests")


def test_a_deviating_run_changes_no_answer_of_the_benchmark() -> None:
    other = fabricate.records_of(CROWD, deviations="recipe.epochs=2", protocol="p0")
    frame = fabricate.table_of([*fabricate.records_of(CROWD), *other])
    found = judged([claim("slight", "kd"), claim()], frame)
    own = found[found["deviations"] == ""].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, judged([claim("slight", "kd"), claim()]))
    assert set(found["tests"]) == {2}


# -- what stands behind them ------------------------------------------------------------------------------------------


def test_teachers_behind_a_claim_are_counted() -> None:
    assert answer(claim())["teachers"] == 1
    assert (
        answer(claim("vanilla", "label_smoothing"), {"vanilla": [1.0] * 3, "label_smoothing": [2.0] * 3})["teachers"]
        == 0
    )
    each = [
        fabricate.record(fabricate.cell("kd", seed, teacher=TeacherSource("conv32", f"cell{seed}")), 90.0 + seed)
        for seed in range(3)
    ]
    (row,) = judged([claim("kd", "kd", than_metric="teacher_top1")], fabricate.table_of(each)).to_dict("records")
    assert (row["teachers"], row["reason"]) == (3, "")


def test_a_comparison_with_one_teacher_says_that_it_is_one() -> None:
    found = answer(claim("kd", "kd", than_metric="teacher_top1"))
    assert (found["teachers"], found["reason"]) == (1, "of this one teacher: how teachers differ is not in it")


# -- images -----------------------------------------------------------------------------------------------------------

LEAKS = [0.01, 0.03, 0.02, 0.05, 0.04]
WIDTH = 2 * 1.959963984540054 * 0.03  # a standard error of 0.03 over images


def attacked(seeding: str) -> pd.DataFrame:
    """A teacher leaks 0.1 more than its students, in every seed."""
    ends = {"low": -WIDTH / 2, "high": WIDTH / 2}
    records = []
    for seed, leak in enumerate(LEAKS):
        numbers = {"x_leak": leak, "x_teacher_leak": 0.2}
        numbers |= {f"{name}_{end}": value + by for name, value in numbers.items() for end, by in ends.items()}
        records.append(fabricate.record(fabricate.cell("kd", seed, seeding=seeding), 90.0, **numbers))
    return fabricate.table_of(records)


@pytest.mark.parametrize(
    ("seeding", "share"), [("student", 1.0), ("student+teacher", 1.0), ("student+teacher+data", 0.5)]
)
def test_an_interval_over_images_is_in_the_claims(seeding: str, share: float) -> None:
    about = claim("kd", "kd", metric="leak", than_metric="teacher_leak", smaller=True, equal_within=0.0)
    (row,) = judged([about], attacked(seeding)).to_dict("records")
    over_seeds, over_images = 0.00025 / 5, share * 2 * 0.03**2  # both sides have images
    degrees = 4 * ((over_seeds + over_images) / over_seeds) ** 2
    half = stats.t.ppf(0.975, degrees) * math.sqrt(over_seeds + over_images)
    assert (row["difference"], row["sd"]) == (pytest.approx(0.17), pytest.approx(math.sqrt(0.00025)))
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(0.17 - half), pytest.approx(0.17 + half))
    assert row["t_p_holm"] == pytest.approx(2 * stats.t.sf(0.17 / math.sqrt(over_seeds + over_images), degrees))
    assert math.isnan(row["p"])
    assert row["reason"].endswith("the interval holds the sampling of images")
