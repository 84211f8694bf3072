"""Gains over all pairs of a benchmark that share one protocol."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import pandas as pd

from kdharness.stats.settings import BLOCK, COMPETITOR, SETTING
from kdharness.stats.summary import estimate, measurements
from kdharness.text import seeds_text

OVERALL_COLUMNS = (
    *BLOCK, "regime", *COMPETITOR, "pairs", "pairs_planned", "n", "seeds", "gain", "sd", "ci_low", "ci_high",
)  # fmt: skip


def overall(rows: pd.DataFrame, reference: str, value: str = "top1") -> pd.DataFrame:
    """The mean gain over the reference of every competitor, over the pairs that it finished; columns OVERALL_COLUMNS.

    rows: from `comparable`. For each seed the gains are averaged over the pairs, and the interval is Student's over
    seeds: pairs that share a student or a teacher are not independent of each other, seeds are. A pair counts when
    every planned seed of the competitor has a value; seeds that some counted pair lacks are left out.
    """
    found: list[dict[Hashable, Any]] = []
    for names, block in rows.groupby(list(BLOCK)):
        place: dict[Hashable, Any] = dict(zip(BLOCK, names, strict=True))
        settings = [setting for _, setting in block.groupby(list(SETTING))]
        competitors = block[["regime", *COMPETITOR]].drop_duplicates().sort_values(["regime", *COMPETITOR])
        for regime, method, variant in competitors.itertuples(index=False, name=None):
            if (method, variant) == (reference, ""):
                continue
            row = _over(settings, method, variant, reference, value)
            found.append({**place, "regime": regime, "method": method, "variant": variant, **row})
    return pd.DataFrame(found, columns=list(OVERALL_COLUMNS))


def _over(settings: list[pd.DataFrame], method: str, variant: str, reference: str, value: str) -> dict[Hashable, Any]:
    gains = []
    for setting in settings:
        planned = setting[(setting["method"] == method) & (setting["variant"] == variant)]
        ours = measurements(planned, value)
        base = measurements(setting[(setting["method"] == reference) & (setting["variant"] == "")], value)
        gain = (ours - base).dropna()
        if len(ours) and len(ours) == len(planned) and len(gain):
            gains.append(gain)
    both = pd.concat(gains, axis=1, join="inner") if gains else pd.DataFrame()
    mean = estimate(both.mean(axis=1).to_list())
    return {
        "pairs": len(gains), "pairs_planned": len(settings), "n": mean.n, "seeds": seeds_text(both.index),
        "gain": mean.mean, "sd": mean.sd, "ci_low": mean.ci_low, "ci_high": mean.ci_high,
    }  # fmt: skip
