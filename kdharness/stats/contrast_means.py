"""Methods held against one reference over all settings of a benchmark together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd

from kdharness.stats.contrast import Contrasted, judged
from kdharness.stats.paired import Verdict
from kdharness.stats.question import Question
from kdharness.stats.settings import COMPETITOR
from kdharness.text import seeds_text

# What settings share whose gains are averaged.
TOGETHER = ("benchmark", "track", "deviations")
COUNTED = (Verdict.BETTER, Verdict.EQUAL, Verdict.WORSE, Verdict.UNDECIDED)

MEAN_COLUMNS = (
    *TOGETHER, "regime", *COMPETITOR, "settings_planned", "settings", "better", "equal", "worse", "undecided", "n",
    "seeds", "gain", "sd", "ci_low", "ci_high", "p", "p_holm", "t_p", "t_p_holm", "equal_within", "equal_p",
    "equal_p_holm", "tests", "verdict", "seeds_needed",
)  # fmt: skip


def mean_contrasts(each: Sequence[Contrasted], table: pd.DataFrame, question: Question) -> pd.DataFrame:
    """One row per competitor that stands in several settings; MEAN_COLUMNS.

    each: of `contrasted`; table: its `table_of`. For each seed the gains are averaged over the settings in which the
    competitor is complete, all of equal weight (two at least); the interval is Student's over seeds, for settings that
    share a student or a teacher are not independent of each other. Seeds that one of them lacks are left out. better to
    undecided: in how many settings that is the table's verdict. Verdicts on means are `judged` in one family.
    """
    groups: dict[tuple[str, ...], dict[tuple[str, str], list[int]]] = {}
    for place, one in enumerate(each):
        if not one.about["reference"]:
            key = tuple(str(one.about[name]) for name in TOGETHER)
            name = str(one.about["method"]), str(one.about["variant"])
            groups.setdefault(key, {}).setdefault(name, []).append(place)
    found: list[dict[str, Any]] = []
    for key, competitors in groups.items():
        rows = [_row(name, places, each, table) for name, places in competitors.items() if len(places) > 1]
        numbers = judged([gains for _, gains in rows], question.equal_within)
        about = dict(zip(TOGETHER, key, strict=True))
        found += [{**about, **row, **known} for (row, _), known in zip(rows, numbers, strict=True)]
    frame = pd.DataFrame(found, columns=list(MEAN_COLUMNS))
    return frame.astype({"n": int, "tests": "Int64", "seeds_needed": "Int64"})


def _row(
    name: tuple[str, str], places: Sequence[int], each: Sequence[Contrasted], table: pd.DataFrame
) -> tuple[dict[str, Any], list[float]]:
    """What is known of a competitor, and its mean gain for each seed. places: its rows of the table."""
    complete = [each[place].gains for place in places if each[place].about["complete"] and each[place].gains]
    counted = complete if len(complete) > 1 else []
    seeds = [seed for seed in counted[0] if all(seed in gains for gains in counted)] if counted else []
    regimes = {str(each[place].about["regime"]) for place in places}
    words = Counter(table["verdict"].iloc[list(places)])
    about = {
        "regime": regimes.pop() if len(regimes) == 1 else "", "method": name[0], "variant": name[1],
        "settings_planned": len(places), "settings": len(complete),
        **dict(zip(("better", "equal", "worse", "undecided"), (words[word] for word in COUNTED), strict=True)),
        "n": len(seeds), "seeds": seeds_text(seeds),
    }  # fmt: skip
    return about, [sum(gains[seed] for gains in counted) / len(counted) for seed in seeds]
