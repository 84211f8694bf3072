"""The columns of `Results.leaderboard` and `claims` that are not those of the cells they are about."""

from __future__ import annotations

from collections.abc import Sequence

from kdharness.frames.cell_columns import CELLS
from kdharness.frames.column import (
    COST,
    IDENTITY,
    OUTCOME,
    PRIVACY,
    QUALITY,
    TEXT,
    Column,
    by_name,
    flags,
    integers,
    numbers,
    texts,
)
from kdharness.stats.claims import CLAIM_COLUMNS
from kdharness.stats.standings import REFERENCES, columns as board_columns

_BOARD = (
    *texts(IDENTITY, ("teacher_source", "first digits of the SHA-256 of an external teacher file")),
    *integers(
        QUALITY,
        ("rank", "", "by top1_mean within setting and regime; empty unless every planned seed is done"),
        ("rank_low", "", "the best rank that the data leave open"),
        ("rank_high", "", "the worst rank that the data leave open"),
        ("n", "", "seeds with a value"),
    ),
    *texts(
        QUALITY,
        ("tie_group", "two share a letter exactly when they were not told apart"),
        ("seeds", "those seeds, as 0-4 or 0,3"),
    ),
    *numbers(
        QUALITY,
        ("top1_mean", "%", "mean of top1"),
        ("top1_sd", "points", "standard deviation over seeds, with n - 1"),
        ("top1_ci_low", "%", "lower end of the mean's 95 % t interval"),
        ("top1_ci_high", "%", "upper end of the mean's 95 % t interval"),
        ("visible_difference", "points", "the smallest difference to the last reference that these seeds would show"),
        ("gap_share", "share", "gain over vanilla as a share of the gap between teacher and vanilla"),
    ),
    *flags(COST, ("pareto", "whether no complete variant is as good at less cost, or better at no more")),
    *integers(
        OUTCOME,
        ("planned", "", "cells planned"),
        ("ok", "", "cells that are ok"),
        ("failed", "", "cells that failed, ran out of memory or time"),
        ("pending", "", "cells interrupted or not run"),
        ("skipped", "", "cells skipped"),
    ),
    *flags(OUTCOME, ("complete", "whether every planned seed has a value")),
    *numbers(
        PRIVACY,
        ("epsilon_of_all", "", "what the row's students spent together"),
        ("delta_of_all", "probability", "the delta of that budget"),
    ),
)
# Of a gain over a reference: the end of the column's name, dtype, unit, meaning.
_GAIN = (
    *numbers(
        QUALITY,
        ("", "points", "mean difference from {}, over the seeds that both have"),
        ("_ci_low", "points", "lower end of the 95 % t interval of the gain over {}"),
        ("_ci_high", "points", "upper end of the 95 % t interval of the gain over {}"),
        ("_p", "", "two-sided p of the sign-flip test against {}"),
        ("_p_holm", "", "the same after Holm's correction over the setting's competitors"),
        ("_t_p_holm", "", "p of Student's paired test against {} after Holm's correction; what verdicts use"),
        ("_correlation", "", "correlation with runs of {} of the same seed"),
    ),
    *integers(
        QUALITY,
        ("_n", "", "seeds that both it and {} have"),
        ("_comparisons", "", "how many comparisons the correction counts"),
        ("_seeds_needed", "", "where undecided: about how many more seeds would settle it"),
    ),
    *texts(QUALITY, ("_verdict", "practically equal, better, worse or undecided against {}")),
)
_CLAIMS = (
    *texts(
        IDENTITY,
        ("teacher_source", "first digits of the SHA-256 of an external teacher file"),
        ("claim", "the claim, as the benchmark puts it"),
        ("paper", "who claims it"),
        ("better", "the method, with its variant, that is said to be better"),
        ("predictor", "its output that is meant"),
        ("metric", "the number that is compared"),
        ("than", "what it is compared with"),
        ("than_predictor", "the output of that"),
        ("than_metric", "the number of that"),
    ),
    *flags(IDENTITY, ("smaller", "whether less is better")),
    *numbers(IDENTITY, ("at_least", "the metric's", "by how much it is said to be better")),
    *texts(QUALITY, ("seeds", "the seeds that both have")),
    *integers(
        QUALITY,
        ("n", "", "number of these seeds"),
        ("teachers", "", "how many teachers stand behind the numbers"),
        ("tests", "", "how many tests the correction counts"),
        ("seeds_needed", "", "where undecided: about how many more seeds would settle it"),
    ),
    *numbers(
        QUALITY,
        ("difference", "the metric's", "by how much it is better, whichever way is better"),
        ("sd", "the metric's", "standard deviation of the difference over seeds"),
        ("ci_low", "the metric's", "lower end of the difference's 95 % t interval"),
        ("ci_high", "the metric's", "upper end of the difference's 95 % t interval"),
        ("p", "", "two-sided p of the sign-flip test, by itself"),
        ("p_holm", "", "the same after Holm's correction over tests"),
        ("t_p_holm", "", "p of Student's paired test after Holm's correction; what answers use"),
    ),
    *texts(
        QUALITY,
        ("answer", "holds, does not hold, undecided, or not measured"),
        ("reason", "what must be known of it"),
    ),
)


def of_board(references: Sequence[str] = REFERENCES) -> tuple[Column, ...]:
    """The leaderboard's columns, in order. What stands for several seeds has the meaning of one, over them."""
    gains = [
        Column(f"gain_over_{name}{each.name}", each.dtype, each.unit, each.group, each.meaning.format(name))
        for name in references
        for each in _GAIN
    ]
    known = {**by_name(CELLS), **by_name(_BOARD), **by_name(gains)}
    return tuple(known.get(name, _unknown(name)) for name in board_columns(references))


def of_claims() -> tuple[Column, ...]:
    """The columns of claims, in order."""
    known = {**by_name(CELLS), **by_name(_CLAIMS)}
    return tuple(known.get(name, _unknown(name)) for name in CLAIM_COLUMNS)


def _unknown(name: str) -> Column:
    return Column(name, TEXT, "", "", "")
