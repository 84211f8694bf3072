"""The comparisons of a setting, corrected together, and what is read from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import fabricate
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from kdharness.stats.comparisons import ALPHA, Comparisons, Indices, Kind, Values, compare, families, weights_of
from kdharness.stats.settings import comparable
from kdharness.stats.significance import holm, t_p, weighted_holm
from kdharness.stats.standings import REFERENCES, standings

Scores = Mapping[str, Sequence[float | None]]


def family(scores: Scores, **changes: str) -> tuple[Comparisons, list[str]]:
    (found,) = families(comparable(fabricate.scores_table(scores, **changes))[0], REFERENCES)
    return found.comparisons, [name for name, _ in found.competitors.names]


def test_three_methods_by_hand() -> None:
    """Equal weights. Of 3 degrees of freedom p = 1 - 2 / pi * (a + sin a * cos a), tan a = t / sqrt(3)."""
    scores = {"vanilla": [88.0, 89.0, 88.0, 89.0], "kd": [90.0, 91.0, 91.0, 90.0], "at": [90.0, 92.0, 90.0, 92.0]}
    made, names = family(scores)
    assert names == ["at", "kd", "vanilla"]
    # at - kd: 0, 1, -1, 2; at - vanilla: 2, 3, 2, 3; kd - vanilla: 2, 2, 3, 1.
    assert made.mean.tolist() == [0.5, 2.5, 2.0]
    assert made.sd == pytest.approx([(5 / 3) ** 0.5, (1 / 3) ** 0.5, (2 / 3) ** 0.5])
    # t = 0.7746, 8.6603, 4.8990 of 3 degrees of freedom.
    ps = [0.495025, 0.0032390, 0.016277]
    assert made.weight == pytest.approx([1 / 3] * 3)
    assert made.p == pytest.approx([ps[0], 3 * ps[1], 2 * ps[2]], abs=5e-6)
    assert made.apart.tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("counts", "shares"),
    [
        ((1, 2, 0), (1 / 3, 2 / 3, 0)),  # equal
        ((1, 4, 1), (1 / 6, 4 / 6, 1 / 6)),  # equal
        ((1, 16, 28), (0.1, 0.45, 0.45)),
        ((1, 152, 2850), (0.1, 0.45, 0.45)),
        ((0, 9, 36), (0, 0.5, 0.5)),
        ((0, 0, 6), (0, 0, 1)),
        ((1, 0, 0), (1, 0, 0)),
    ],
)
def test_weights(counts: tuple[int, ...], shares: tuple[float, ...]) -> None:
    kinds = np.repeat(list(Kind), counts)
    weights = weights_of(kinds)
    assert [weights[kinds == kind].sum() for kind in Kind] == pytest.approx(shares)
    assert all(np.ptp(weights[kinds == kind]) == 0 for kind in Kind if counts[kind])


def test_weighted_holm_by_hand() -> None:
    # p / w: 0.02, 0.04, 0.3; the weights left: 1, 0.5, 0.1.
    adjusted = weighted_holm(np.array([0.016, np.nan, 0.01, 0.03]), np.array([0.4, np.nan, 0.5, 0.1]))
    assert adjusted == pytest.approx([0.02, np.nan, 0.02, 0.03], nan_ok=True)


def test_equal_weights_are_plain_holm() -> None:
    ps = np.random.default_rng(0).uniform(0, 0.2, 9)
    assert weighted_holm(ps, np.full(9, 1 / 9)) == pytest.approx(holm(ps.tolist()))


def test_each_is_the_paired_test_of_the_seeds_in_common() -> None:
    scores: Scores = {"kd": [90.0, 91.0, 91.0, 90.0], "at": [91.0, None, 92.5, 90.5], "sp": [None, None, None, 90.0]}
    made, names = family(scores)
    pairs = {(names[i], names[j]): at for at, (i, j) in enumerate(zip(made.left, made.right, strict=True))}
    assert set(pairs) == {("at", "kd"), ("kd", "sp")}  # no pair of what is not complete
    assert (made.n[pairs["kd", "sp"]], made.tests) == (1, 1)
    assert np.isnan(made.p[pairs["kd", "sp"]])
    assert made.p[pairs["at", "kd"]] == pytest.approx(t_p([1.0, 1.5, 0.5]))


def test_pairs_are_of_one_regime_and_references_of_all() -> None:
    scores = {name: [90.0, 91.0, 92.0] for name in ("at", "kd", "sp")}
    own = fabricate.records_of({"byot": [90.0, 92.0, 91.0], "dml": [92.0, 91.0, 90.0]}, regime="no_teacher")
    rows = comparable(fabricate.table_of([*fabricate.records_of(scores), *own]))[0]
    (found,) = families(rows, REFERENCES)
    names, made = [name for name, _ in found.competitors.names], found.comparisons
    assert {(names[i], names[j]) for i, j in zip(made.left, made.right, strict=True)} == {
        ("at", "kd"), ("byot", "kd"), ("dml", "kd"), ("kd", "sp"), ("at", "sp"), ("byot", "dml"),
    }  # fmt: skip


def draws_of(k: int, n: int, spreads: Values, generator: np.random.Generator) -> Values:
    """[k, n]: equal methods, whose seeds have something in common."""
    return 90 + generator.normal(0, 0.4, n) + spreads[:, None] * generator.normal(size=(k, n))


def all_pairs(k: int) -> tuple[Indices, Indices, Indices]:
    """Of k competitors, the first two of them references: left, right and kind."""
    left, right = np.triu_indices(k, 1)
    return left, right, 2 - (left < 2).astype(int) - (right < 2).astype(int)


@pytest.mark.parametrize("uneven", [False, True], ids=["one spread", "unequal spreads"])
@pytest.mark.parametrize("n", [3, 5, 10])
@pytest.mark.parametrize("k", [4, 20, 60])
def test_equal_methods_are_separated_in_at_most_five_percent(k: int, n: int, uneven: bool) -> None:
    """Of 400 tables in which nothing differs, as many say that something does as chance allows at 5 %."""
    draws, generator = 400, np.random.default_rng(n * k)
    spreads = np.geomspace(0.1, 3.0, k) if uneven else np.full(k, 0.4)
    left, right, kinds = all_pairs(k)
    false = sum(bool(compare(draws_of(k, n, spreads, generator), left, right, kinds).apart.any()) for _ in range(draws))
    assert false <= stats.binom.isf(0.001, draws, ALPHA)


def test_the_gain_of_kd_is_found_in_a_large_table() -> None:
    """3 points at a deviation of 0.6, by five seeds, among 78 methods."""
    generator, found = np.random.default_rng(0), 0
    left, right, kinds = all_pairs(78)
    for _ in range(100):
        values = draws_of(78, 5, np.full(78, 0.6 / 2**0.5), generator)
        values[1] += 3
        made = compare(values, left, right, kinds)
        found += bool(made.apart[(left == 0) & (right == 1)][0])
    assert found >= 97


@st.composite
def tables(draw: st.DrawFn) -> Scores:
    """Methods beside two references; some far from others, some with little spread, some without a seed."""
    n, scores = draw(st.integers(1, 6)), {}
    for name in ("vanilla", "kd", *draw(st.sampled_from([(), ("a",), ("a", "b", "c"), ("a", "b", "c", "d", "e")]))):
        level, spread = draw(st.sampled_from([0, 0.3, 2, 5])), draw(st.sampled_from([0.1, 0.5, 2]))
        steps = draw(st.lists(st.integers(-4, 4), min_size=n, max_size=n))
        missing = draw(st.sampled_from([-1] * 4 + [0]))
        scores[name] = [None if i == missing else 90 + level + spread * step / 4 for i, step in enumerate(steps)]
    return scores


@settings(max_examples=25, deadline=None)
@given(tables())
def test_verdicts_ties_and_intervals_never_contradict_each_other(scores: Scores) -> None:
    board = standings(fabricate.scores_table(scores)).set_index("method")
    ranked = board[board["rank"].notna()]
    letters = {name: set(text) for name, text in ranked["tie_group"].items()}
    assert (board.loc[board["rank"].isna(), "tie_group"] == "").all()
    for name, row in ranked.iterrows():
        apart = [other for other in ranked.index if other != name and not letters[name] & letters[other]]
        better = [other for other in apart if ranked.loc[other, "top1_mean"] > row["top1_mean"]]
        assert row["rank_low"] == 1 + len(better)
        assert row["rank_high"] == len(ranked) - len(apart) + len(better)
        assert row["rank_low"] <= row["rank"] <= row["rank_high"]
        for reference in {*REFERENCES} & {*ranked.index} - {name}:
            verdict = row[f"gain_over_{reference}_verdict"]
            assert (verdict in ("better", "worse")) == (reference in apart)
            assert verdict != "better" or row["rank"] < ranked.loc[reference, "rank"]
            assert verdict != "worse" or row["rank"] > ranked.loc[reference, "rank"]
        assert row["n"] >= 3 or (row["rank_low"], row["rank_high"]) == (1, len(ranked))


def test_verdicts_across_references_say_the_same_of_both() -> None:
    board = standings(fabricate.table_of(fabricate.records_of(fabricate.SCORES)))
    plain = board[board["variant"] == ""].set_index("method")
    assert plain.loc["kd", "gain_over_vanilla_verdict"] == "better"
    assert plain.loc["vanilla", "gain_over_kd_verdict"] == "worse"
    names = ("", "_ci_low", "_ci_high")
    there, back = (
        [plain.loc[m, f"gain_over_{r}{e}"] for e in names] for m, r in (("kd", "vanilla"), ("vanilla", "kd"))
    )
    assert there == [-back[0], -back[2], -back[1]]
    assert plain.loc["kd", "gain_over_vanilla_t_p_holm"] == plain.loc["vanilla", "gain_over_kd_t_p_holm"]


def test_other_seeds_than_the_others_widen_the_interval() -> None:
    """By the mean `late` is first; over the seeds in common it is found worse than `a`."""
    hard, easy = [80.0, 80.1, 79.9, 80.0], [90.0, 90.1, 89.9, 90.0]
    a = [fabricate.record(fabricate.cell("a", seed), value) for seed, value in enumerate([*hard, *easy])]
    late = [fabricate.record(fabricate.cell("late", 4 + i), v - 2 + i / 50) for i, v in enumerate(easy)]
    board = standings(fabricate.table_of([*a, *late])).set_index("method")
    assert board["rank"].to_dict() == {"late": 1, "a": 2}
    assert board[["rank_low", "rank_high"]].loc["late"].to_list() == [1, 2]
    assert board[["rank_low", "rank_high"]].loc["a"].to_list() == [1, 2]
    assert not set(board.loc["a", "tie_group"]) & set(board.loc["late", "tie_group"])
